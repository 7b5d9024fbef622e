"""What packing keeps, what it refuses, and that a killed or a second packing does no harm."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import pipeline
from manifests import table
from manifests.errors import DataError, HqvoxError, Missing
from manifests.schema import MANIFEST, mel_column
from models.pack import pack
from pipeline import speech
from pipeline.frontend import PROFILES, WAVE
from tests.factories import picture
from tests.models.drawn import Sketch, write_manifest

ROOT = Path(__file__).resolve().parents[2]
MEL = "mel_sf2f"
BANDS = PROFILES["sf2f"].bands


def test_every_row_of_the_split_is_there_in_order_with_its_own_payload(manifest: Path, tmp_path: Path) -> None:
    packed = pack(manifest, "train", "sf2f", 64, tmp_path)
    rows = sorted(
        (row for row in table.read_rows(manifest) if row["split"] == "train"),
        key=lambda row: (row["identity_id"], row["row_id"]),
    )
    assert packed.people == tuple(sorted({row["identity_id"] for row in rows}))
    assert packed.genders == ("m", "f", "m", "f", "m", "f")
    assert packed.left_out == {"no face": 0, "no speech": 0} and packed.vad == "sf2f"
    a = packed.arrays
    clips, faces = ([row for row in rows if row["kind"] == kind] for kind in ("speech", "face"))
    assert [packed.people[p] for p in a["clip_person"]] == [row["identity_id"] for row in clips]
    assert [packed.people[p] for p in a["face_person"]] == [row["identity_id"] for row in faces]
    held = dict(table.read_payload(manifest.parent / "speech/part-0000.parquet", [MEL], [r["row_id"] for r in clips]))
    for place, row in enumerate(clips):
        mel = np.frombuffer(held[row["row_id"]][MEL], "<f2").reshape(-1, BANDS)
        start, frames = a["clip_start"][place], a["clip_frames"][place]
        np.testing.assert_array_equal(a["mels"][start : start + frames], mel)
        np.testing.assert_allclose(a["clip_mean"][place], mel.astype(float).mean(0), rtol=1e-5)
        np.testing.assert_allclose(a["clip_std"][place], mel.astype(float).std(0), rtol=1e-3)
    assert a["clip_frames"].sum() == len(a["mels"])
    shown = dict(
        table.read_payload(manifest.parent / "face/part-0000.parquet", ["image"], [r["row_id"] for r in faces])
    )
    (tmp_path / "face.png").write_bytes(shown[faces[0]["row_id"]]["image"])
    small = Image.open(tmp_path / "face.png").convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(a["faces"][0], np.asarray(small).transpose(2, 0, 1))


def test_a_waveform_is_packed_sample_for_sample_as_frames_of_10_ms(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "data", Sketch(audio=True))
    packed = pack(path, "train", WAVE, 64, tmp_path / "packed")
    a = packed.arrays
    assert a["mels"].dtype == np.int16 and a["mels"].shape[1] == 160 and packed.vad == "sf2f"
    assert a["clip_mean"].shape == a["clip_std"].shape == (18, 0)
    rows = sorted(
        (row for row in table.read_rows(path) if row["split"] == "train" and row["kind"] == "speech"),
        key=lambda row: (row["identity_id"], row["row_id"]),
    )
    held = dict(table.read_payload(path.parent / rows[0]["shard"], ["audio"], [row["row_id"] for row in rows]))
    for place, row in enumerate(rows):
        samples, rate = soundfile.read(io.BytesIO(held[row["row_id"]]["audio"]), dtype="int16")
        start, frames = a["clip_start"][place], a["clip_frames"][place]
        assert rate == 16_000 and frames in (90, 20, 130)
        np.testing.assert_array_equal(a["mels"][start : start + frames].ravel(), samples[: 160 * frames])


def test_samples_that_fill_no_frame_are_left_out(tmp_path: Path) -> None:
    sound = speech.encode_flac(np.arange(160 * 30 + 159, dtype=np.int16))
    path = write_manifest(tmp_path / "data", Sketch(audio=True, clips=(50,), payload={("speech", 0): {"audio": sound}}))
    packed = pack(path, "train", WAVE, 64, tmp_path / "packed")
    (place,) = np.flatnonzero(packed.arrays["clip_frames"] == 30)
    start = packed.arrays["clip_start"][place]
    np.testing.assert_array_equal(packed.arrays["mels"][start : start + 30].ravel(), np.arange(160 * 30))


NO_WAVES = {
    "made without": (Sketch(), Missing, "voices.keep_audio.*pipeline run voices manifest"),
    "null": (Sketch(audio=True, payload={("speech", 3): {"audio": None}}), DataError, "no audio"),
    "no sound": (Sketch(audio=True, payload={("speech", 3): {"audio": b"fLaC"}}), DataError, "audio cannot be decoded"),
    "too short": (Sketch(audio=True, clips=(1, 1)), DataError, "min_voiced_s"),
}


@pytest.mark.parametrize("case", NO_WAVES)
def test_what_is_no_waveform_says_so(tmp_path: Path, case: str) -> None:
    sketch, error, told = NO_WAVES[case]
    with pytest.raises(error, match=told):
        pack(write_manifest(tmp_path / "data", sketch), "train", WAVE, 64, tmp_path / "packed")


def test_without_soundfile_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_manifest(tmp_path / "data", Sketch(audio=True))
    monkeypatch.delitem(sys.modules, "pipeline.speech")
    monkeypatch.delattr(pipeline, "speech")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(Missing, match="pip install soundfile"):
        pack(path, "train", WAVE, 64, tmp_path / "packed")


def test_landmarks_are_where_the_packed_picture_shows_them(tmp_path: Path) -> None:
    """Through the alignment, pixel centres on pixel centres, to half the size."""
    path = write_manifest(tmp_path / "data", Sketch(landmarks=True, payload={("face", 1): {"landmarks": None}}))
    packed = pack(path, "train", "sf2f", 40, tmp_path / "packed")  # of pictures of 80 pixels
    rows = sorted(
        (row for row in table.read_rows(path) if row["split"] == "train" and row["kind"] == "face"),
        key=lambda row: (row["identity_id"], row["row_id"]),
    )
    held = dict(table.read_payload(path.parent / rows[0]["shard"], ["landmarks"], [row["row_id"] for row in rows]))
    unknown = 0
    for place, row in enumerate(rows):
        found = packed.arrays["landmarks"][place]
        assert found.shape == (68, 2)
        if held[row["row_id"]]["landmarks"] is None:
            unknown += 1
            assert np.isnan(found).all()
            continue
        x, y = np.reshape(held[row["row_id"]]["landmarks"], (68, 2)).T
        aligned = np.stack([0.25 * x + 0.05 * y + 3.0, -0.05 * x + 0.25 * y + 9.0], axis=1)
        np.testing.assert_allclose(found, (aligned + 0.5) / 2 - 0.5, rtol=1e-5)
    assert unknown == 1


def test_landmarks_that_no_shard_holds_are_unknown(manifest: Path, tmp_path: Path) -> None:
    for side in (64, 0):
        packed = pack(manifest, "train", "sf2f", side, tmp_path)
        faces = packed.arrays["faces"]
        assert packed.arrays["landmarks"].shape == (len(faces), 68, 2) and np.isnan(packed.arrays["landmarks"]).all()


def test_landmarks_of_another_number_are_a_data_error(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "data", Sketch(landmarks=True, payload={("face", 1): {"landmarks": [1.0] * 10}}))
    with pytest.raises(DataError, match="10 numbers in landmarks and 6 in transform"):
        pack(path, "train", "sf2f", 64, tmp_path / "packed")


def test_packed_once_and_anew_when_mels_were_made_again(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "data")
    cache = tmp_path / "packed"
    first = pack(path, "train", "sf2f", 64, cache)
    before = {file: file.stat().st_mtime_ns for file in cache.rglob("*.*")}
    again = pack(path, "train", "sf2f", 64, cache)
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*.*")} == before
    assert first.digest == again.digest
    rows = table.read_rows(path)
    # The same rows of the manifest, other mels in the shard: another VAD, say.
    write_manifest(tmp_path / "data", Sketch(payload={("speech", 0): {MEL: np.full((5, BANDS), 3, "<f2").tobytes()}}))
    assert table.read_rows(path) == rows
    other = pack(path, "train", "sf2f", 64, cache)
    assert other.digest != first.digest
    assert (other.arrays["mels"] == 3).all(axis=1).sum() == 5


def test_people_without_one_half_are_left_out_and_counted(tmp_path: Path) -> None:
    missing = {("id00000", "face"), ("id00001", "speech"), ("id00002", "speech")}
    path = write_manifest(tmp_path, keep=lambda row: (row["identity_id"], row["kind"]) not in missing)
    packed = pack(path, "train", "sf2f", 64, tmp_path / "packed")
    assert packed.people == ("id00003", "id00004", "id00005")
    assert packed.left_out == {"no face": 1, "no speech": 2}


def test_one_person_is_enough(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, Sketch(train=1))
    assert pack(path, "train", "sf2f", 64, tmp_path / "packed").people == ("id00000",)


@pytest.mark.parametrize("kind", ["face", "speech"])
def test_nobody_left_says_what_there_is(tmp_path: Path, kind: str) -> None:
    path = write_manifest(tmp_path, keep=lambda row: row["kind"] == kind)
    there = {"face": "6 people with a face and 0 with speech", "speech": "0 people with a face and 6 with speech"}
    with pytest.raises(DataError, match=there[kind]):
        pack(path, "train", "sf2f", 64, tmp_path / "packed")


BROKEN = {
    "too short": ("speech", {MEL: np.zeros((1, BANDS), "<f2").tobytes()}, DataError, "1 frames.*voices.min_voiced_s"),
    "NaN": (
        "speech",
        {MEL: np.full((9, BANDS), np.nan, "<f2").tobytes()},
        DataError,
        "not finite.*pipeline run voices",
    ),
    "half a frame": ("speech", {MEL: bytes(2 * BANDS * 9 + 2)}, DataError, "whole frames of 40 bands"),
    "no mel": ("speech", {MEL: None}, DataError, "no mel_sf2f"),
    "no picture": ("face", {"image": None}, DataError, "no image"),
    "no image file": ("face", {"image": b"GIF89a no"}, DataError, "cannot be decoded"),
    "half a picture": ("face", {"image": picture(3)[:120]}, DataError, "cannot be decoded"),
    "another row": ("face", {"row_id": "somebody else"}, DataError, "holds 21 of the 22 rows|holds 11 of the 12"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_payload_is_a_data_error_that_leaves_nothing(tmp_path: Path, case: str) -> None:
    kind, change, error, told = BROKEN[case]
    path = write_manifest(tmp_path / "data", Sketch(payload={(kind, 1): change}))
    with pytest.raises(error, match=told):
        pack(path, "train", "sf2f", 64, tmp_path / "packed")
    assert not [file for file in (tmp_path / "packed").iterdir() if not file.name.endswith(".lock")]


def test_a_row_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    path = write_manifest(tmp_path)
    rows = table.read_rows(path)
    speech = [row for row in rows if row["kind"] == "speech" and row["split"] == "train"]
    other = table.read_rows(path)[0] | {key: speech[1][key] for key in ("identity_id", "kind", "split", "shard")}
    table.write_table(path, MANIFEST, [*rows, other | {"row_id": speech[0]["row_id"]}], {})
    with pytest.raises(DataError, match="twice"):
        pack(path, "train", "sf2f", 64, tmp_path / "packed")


def test_without_pictures_nobody_needs_a_face(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, keep=lambda row: row["kind"] == "speech" or row["identity_id"] == "id00002")
    packed = pack(path, "train", "voice2face", 0, tmp_path / "packed")
    assert len(packed.people) == 6 and packed.left_out == {"no face": 0, "no speech": 0}
    assert packed.arrays["faces"].shape == (6, 3, 0, 0) and packed.arrays["face_person"].tolist() == list(range(6))
    with pytest.raises(DataError, match=r"0 with speech, none to listen to"):
        silent = write_manifest(tmp_path / "silent", keep=lambda row: row["kind"] == "face")
        pack(silent, "train", "voice2face", 0, tmp_path / "packed")


def test_a_picture_that_claims_to_be_huge_is_not_decoded(tmp_path: Path) -> None:
    png = bytearray(picture(1))
    png[16:24] = (60_000).to_bytes(4, "big") * 2  # the header's width and height
    import zlib

    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    path = write_manifest(tmp_path / "data", Sketch(payload={("face", 0): {"image": bytes(png)}}))
    with pytest.raises(DataError, match=r"cannot be decoded|pixels"):
        pack(path, "train", "sf2f", 64, tmp_path / "packed")


def test_a_missing_shard_and_a_missing_manifest_are_missing(tmp_path: Path) -> None:
    path = write_manifest(tmp_path / "data")
    (tmp_path / "data/speech/part-0000.parquet").unlink()
    with pytest.raises(Missing, match=r"part-0000\.parquet"):
        pack(path, "train", "sf2f", 64, tmp_path / "packed")
    with pytest.raises(Missing):
        pack(tmp_path / "none.parquet", "train", "sf2f", 64, tmp_path / "packed")


def test_a_front_end_that_was_not_extracted_names_the_setting_and_the_command(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, Sketch(profiles=("sf2f",)))
    with pytest.raises(Missing, match=r"voices\.profiles.*pipeline run voices manifest"):
        pack(path, "train", "voice2face", 64, tmp_path / "packed")


@pytest.mark.parametrize("shard", ["../secret.parquet", "/etc/passwd", "face/../../x.parquet"])
def test_a_shard_outside_the_manifests_folder_is_refused(tmp_path: Path, shard: str) -> None:
    path = write_manifest(tmp_path)
    rows = [row | {"shard": shard} if row["kind"] == "face" else row for row in table.read_rows(path)]
    table.write_table(path, MANIFEST, rows, {})
    with pytest.raises(DataError, match="below its own folder"):
        pack(path, "train", "sf2f", 64, tmp_path / "packed")


def test_another_table_is_refused(tmp_path: Path) -> None:
    path = write_manifest(tmp_path)
    with pytest.raises(DataError, match="expected 'hq_voxceleb'"):
        pack(path.parent / "face/part-0000.parquet", "train", "sf2f", 64, tmp_path / "packed")


@pytest.mark.parametrize("name", ["facts.json", "faces.npy", "frames.bin"])
def test_a_damaged_packing_says_so(manifest: Path, tmp_path: Path, name: str) -> None:
    pack(manifest, "train", "sf2f", 64, tmp_path)
    (file,) = tmp_path.glob(f"*/{name}")
    file.write_bytes(file.read_bytes()[:7])
    with pytest.raises(HqvoxError, match=r"damaged.*delete it"):
        pack(manifest, "train", "sf2f", 64, tmp_path)


SLOWLY = """
import sys, time
from pathlib import Path
from models import pack, pack_voices
real = pack_voices.write
def slow(*given):
    print("packing", flush=True)
    time.sleep(float(sys.argv[3]))
    real(*given)
pack_voices.write = slow
print(pack.pack(Path(sys.argv[1]), "train", "sf2f", 64, Path(sys.argv[2])).people)
"""


def _packing(manifest: Path, cache: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOWLY, str(manifest), str(cache), str(seconds)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_a_killed_packing_is_swept_up_by_the_next(manifest: Path, tmp_path: Path) -> None:
    process = _packing(manifest, tmp_path, 60)
    assert process.stdout is not None and process.stdout.readline() == "packing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob(".*.tmp")) and not list(tmp_path.glob("[!.]*"))
    assert len(pack(manifest, "train", "sf2f", 64, tmp_path).people) == 6
    assert not list(tmp_path.glob(".*.tmp"))


def test_two_processes_at_once_pack_once(manifest: Path, tmp_path: Path) -> None:
    first = _packing(manifest, tmp_path, 1)
    assert first.stdout is not None and first.stdout.readline() == "packing\n"
    started = time.monotonic()
    there = pack(manifest, "train", "sf2f", 64, tmp_path)  # waits for the other, then reads what it made
    assert first.wait() == 0
    assert time.monotonic() - started > 0.5
    assert json.dumps(list(there.people)) == first.stdout.read().strip().replace("(", "[").replace(")", "]").replace(
        "'", '"'
    )
    shutil.rmtree(tmp_path)


def test_the_schema_names_the_column_that_is_read() -> None:
    assert mel_column("sf2f").name == MEL

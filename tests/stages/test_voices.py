"""The voices stage on planted recordings: rows, drops, layouts, resume; and on real speech."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from manifests import table
from manifests.errors import Missing, UsageError
from pipeline import vad
from pipeline.frontend import PROFILES, from_float16, mel
from pipeline.names import row_id, sample_id
from pipeline.run import run_stage
from pipeline.settings import Params, Run, build
from pipeline.speech import decode_flac
from pipeline.stage import Context, Drop, Paths, Row
from pipeline.world.traits import draw_person
from pipeline.world.voices import speak
from stages.voices import STAGE, Settings, fingerprint, list_rows, process, writes

CONTEXT = Context(Paths(), buckets=2)


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV")
    return out.getvalue()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people in VoxCeleb's layout and one in a folder; a silent, a broken, a mislabelled and a stray file."""
    root = tmp_path_factory.mktemp("corpus")
    person = draw_person(0, 0)
    files = {
        "wav/id10001/v1/00001.wav": wav(speak(person, 1, 3.0).samples),
        "wav/id10001/v1/00002.wav": wav(speak(person, 2, 3.0, "silent").samples),
        "wav/id10001/v2/00001.wav": b"<html>gone</html>",
        "wav/id10002/v1/00001.flac": wav(speak(draw_person(0, 1), 1, 3.0).samples),  # a WAV under another name
        "Ann_Other/talk.wav": wav(speak(draw_person(0, 2), 1, 3.0).samples),
        "stray.wav": wav(speak(person, 3, 3.0).samples),
    }
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root.parent / "meta.csv").write_text("VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
                                          "id10001\tA.J._Buckley\tm\tIreland\tdev\n")  # fmt: skip
    return root


def settings(corpus: Path, **values: Any) -> Settings:
    return Settings(roots=(corpus,), metadata=(corpus.parent / "meta.csv",), **values)


def results(chosen: Settings) -> dict[str, Row | Drop]:
    rows = list_rows(chosen, CONTEXT)
    outcome = process(rows, chosen, CONTEXT)
    assert len(outcome) == len(rows)
    return {
        Path(row["path"]).relative_to(chosen.roots[0]).as_posix(): result
        for row, result in zip(rows, outcome, strict=True)
    }


def test_a_recording_becomes_a_row_of_the_contract(corpus: Path) -> None:
    row = results(settings(corpus))["wav/id10001/v1/00001.wav"]
    assert not isinstance(row, Drop)
    data = (corpus / "wav/id10001/v1/00001.wav").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert (row["identity_id"], row["name"], row["gender"], row["nationality"]) == (
        "id10001", "A.J._Buckley", "m", "Ireland",
    )  # fmt: skip
    assert row["row_id"] == row_id("id10001", "wav/id10001/v1/00001.wav")
    assert (row["sha256"], row["sample_id"]) == (digest, sample_id("id10001", digest))
    assert (row["video_id"], row["utterance"], row["source_rate"]) == ("v1", "00001", 16_000)
    assert row["source_duration_s"] == pytest.approx(3.0)
    assert set(row) == set(writes(settings(corpus)).names)


def test_audio_mel_and_segments_are_those_of_the_voiced_part(corpus: Path) -> None:
    row = results(settings(corpus))["wav/id10001/v1/00001.wav"]
    assert not isinstance(row, Drop)
    samples = speak(draw_person(0, 0), 1, 3.0).samples
    spans = vad.segments(samples, "sf2f")
    voiced = vad.voiced(samples, spans)
    frames = mel(voiced, PROFILES["sf2f"])
    assert np.array_equal(decode_flac(row["audio"]), voiced)
    assert np.array_equal(from_float16(row["mel_sf2f"], PROFILES["sf2f"]), frames.astype(np.float16))
    assert row["n_frames"] == len(frames)
    assert row["duration_s"] == len(voiced) / 16_000
    assert row["segments_sf2f"] == [edge / 16_000 for span in spans for edge in span]


def test_every_bad_file_is_a_drop_with_its_reason(corpus: Path) -> None:
    found = results(settings(corpus))
    assert {name: result.reason for name, result in found.items() if isinstance(result, Drop)} == {
        "wav/id10001/v1/00002.wav": "no_speech",
        "wav/id10001/v2/00001.wav": "not_a_recording",
        "stray.wav": "no_speaker_folder",
    }
    silent = found["wav/id10001/v1/00002.wav"]
    assert isinstance(silent, Drop)
    assert (silent.value, silent.limit) == (0.0, 0.3)


def test_limits_drop_with_value_and_limit(corpus: Path) -> None:
    for changed, reason in (({"min_voiced_s": 60.0}, "no_speech"), ({"max_duration_s": 2.0}, "too_long"),
                            ({"max_bytes": 1000}, "too_many_bytes")):  # fmt: skip
        result = results(settings(corpus, **changed))["Ann_Other/talk.wav"]
        assert isinstance(result, Drop)
        assert result.reason == reason


def test_several_profiles_make_a_column_each_with_their_own_vad(corpus: Path) -> None:
    chosen = settings(
        corpus, profiles=("voice2face", "sf2f", "modern"), vads=("voice2face", "sf2f", "modern"), keep_audio=False
    )
    row = results(chosen)["Ann_Other/talk.wav"]
    assert not isinstance(row, Drop)
    assert set(row) == set(writes(chosen).names)
    assert row["audio"] is None
    assert len(row["mel_voice2face"]) == row["n_frames"] * 64 * 2
    samples = speak(draw_person(0, 2), 1, 3.0).samples
    for name in chosen.vads:
        edges = [edge / 16_000 for span in vad.segments(samples, name) for edge in span]
        assert row[f"segments_{name}"] == edges


def test_a_vanished_file_is_a_drop(corpus: Path) -> None:
    row = list_rows(settings(corpus), CONTEXT)[0] | {"path": "/nowhere/1.wav"}
    (result,) = process([row], settings(corpus), CONTEXT)
    assert isinstance(result, Drop)
    assert result.reason == "unreadable_file"


def test_the_fingerprint_sees_a_replaced_file_of_the_same_size(tmp_path: Path) -> None:
    chosen = Settings(roots=(tmp_path,))
    (tmp_path / "ann").mkdir()
    prints = []
    for seed in (1, 2, 1):
        (tmp_path / "ann/1.wav").write_bytes(wav(speak(draw_person(0, 0), seed, 3.0).samples))
        prints.append(fingerprint(list_rows(chosen, CONTEXT), chosen, CONTEXT))
    assert prints[0] == prints[2] != prints[1]


def test_names_from_strangers_stay_names(tmp_path: Path) -> None:
    (tmp_path / "<script>").mkdir()
    (tmp_path / "<script>/\u202egnp.wav").write_bytes(wav(speak(draw_person(0, 0), 1, 3.0).samples))
    (bad := tmp_path / "ann").mkdir()
    Path(f"{bad}/\udcff.wav").write_bytes(wav(speak(draw_person(0, 0), 1, 3.0).samples))
    chosen = Settings(roots=(tmp_path,))
    for row in process(list_rows(chosen, CONTEXT), chosen, CONTEXT):
        assert not isinstance(row, Drop)
        assert "<" not in row["identity_id"]
        for value in row.values():
            if isinstance(value, str):
                value.encode()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"profiles": ["mfcc"]}, "voices.profiles: unknown 'mfcc'; valid: sf2f, voice2face, modern"),
        ({"vads": ["energy"]}, "voices.vads: unknown 'energy'; valid: sf2f, voice2face, modern"),
        ({"profiles": ["sf2f", "modern"]}, "2 profiles and 1 vads"),
        ({"profiles": ["sf2f", "sf2f"], "vads": ["sf2f", "modern"]}, "named once"),
        ({"layout": "kaldi"}, "voices.layout"),
    ],
)
def test_wrong_settings_are_named(section: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(Settings, section, "voices")


def test_an_absent_root_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="pipeline demo"):
        list_rows(Settings(roots=(tmp_path / "none",)), CONTEXT)


def run(corpus: Path, out: Path, workers: int = 1) -> dict[str, bytes]:
    paths = Paths(out / "data", out / "reports", out / "metrics", out / "review")
    section = {"roots": [str(corpus)], "metadata": [str(corpus.parent / "meta.csv")]}
    summary = run_stage(STAGE, Params(paths, Run(buckets=2, max_failed=0.0), {"voices": section}), workers)
    assert summary is not None
    assert (summary.input, summary.kept) == (6, 3)
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*.parquet"))}


def test_the_runner_writes_the_same_bytes_at_any_worker_count(corpus: Path, tmp_path: Path) -> None:
    one, two = run(corpus, tmp_path / "one"), run(corpus, tmp_path / "two", workers=2)
    assert one == two
    assert run(corpus, tmp_path / "one") == one  # resumed
    shards = table.shards(tmp_path / "one/data/voices")
    assert sum(len(table.read_rows(shard)) for shard in shards) == 3


def test_real_speech_of_odd_formats(real_data: Path) -> None:
    """8 kHz digits, 48 kHz stereo, FLAC and MP3: all people are found, and their voiced part is most of it."""
    chosen = Settings(roots=(real_data / "speech",), metadata=(real_data / "meta/vox1_meta.csv",))
    listed = list_rows(chosen, CONTEXT)
    known = next(row for row in listed if row["name"])  # somebody of VoxCeleb
    rows = [known] + [
        row
        for row in listed
        if row["source"].split("/")[0] in ("fsdd_jackson", "vctk_p236", "libri_19") or row["source"].endswith(".mp3")
    ]
    kept = [row for row in process(rows, chosen, CONTEXT) if not isinstance(row, Drop)]
    assert len(kept) == len(rows) > 12
    assert kept[0]["identity_id"].startswith("id1")
    assert len({row["identity_id"] for row in kept}) >= 5
    assert {row["source_rate"] for row in kept} == {8_000, 16_000, 44_100, 48_000}
    assert all(row["duration_s"] > 0.6 * row["source_duration_s"] for row in kept)

"""Where a recording lies says whose it is, in VoxCeleb's archives and in anybody's folders."""

import os
from pathlib import Path

import pytest

from pipeline.recordings import empty_folders, find, locate


@pytest.mark.parametrize(
    ("place", "speaker", "video_id", "utterance"),
    [
        ("id10001/1zcIwhmdeo4/00001.wav", "id10001", "1zcIwhmdeo4", "00001"),
        ("wav/id10001/1zcIwhmdeo4/00001.wav", "id10001", "1zcIwhmdeo4", "00001"),
        ("vox2/dev/aac/id00012/21Uxsk56VDQ/00001.m4a", "id00012", "21Uxsk56VDQ", "00001"),
        ("vox1/test/id10270/zjwijMp0Qyw/00001.flac", "id10270", "zjwijMp0Qyw", "00001"),
        ("Ann_Example/interview.wav", "Ann_Example", None, "interview"),
        ("Test/interview.wav", "Test", None, "interview"),
        ("alice/2019/spring/talk.mp3", "alice", "2019/spring", "talk"),
        ("stray.wav", None, None, "stray"),
    ],
)
def test_auto_reads_published_and_private_layouts(
    place: str, speaker: str | None, video_id: str | None, utterance: str
) -> None:
    path = Path(place)
    found = locate(path, path.parts, "auto")
    assert (found.speaker, found.video_id, found.utterance) == (speaker, video_id, utterance)


def test_folder_layout_takes_every_first_folder_for_a_speaker() -> None:
    assert locate(Path("x"), ("dev", "monday", "a.wav"), "folder").speaker == "dev"


def test_voxceleb_layout_places_nothing_that_is_not_three_deep() -> None:
    assert locate(Path("x"), ("id10001", "a.wav"), "voxceleb").speaker is None


def test_only_recordings_are_found_and_in_order(tmp_path: Path) -> None:
    for name in ("b/2.flac", "a/1.WAV", "a/notes.txt", "a/.hidden.wav", "c/x.m4a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [found.path.relative_to(tmp_path).as_posix() for found in find(tmp_path, "auto")] == [
        "a/1.WAV", "b/2.flac", "c/x.m4a",
    ]  # fmt: skip


def test_folders_without_any_file_below_are_empty(tmp_path: Path) -> None:
    (tmp_path / "full/deep").mkdir(parents=True)
    (tmp_path / "full/deep/a.wav").touch()
    (tmp_path / "bare/deeper").mkdir(parents=True)
    assert empty_folders(tmp_path) == [tmp_path / "bare", tmp_path / "bare/deeper"]


def test_links_to_folders_do_not_make_the_walk_endless(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.wav").touch()
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert len(list(find(tmp_path, "auto"))) == 1


def test_a_pipe_named_like_a_recording_is_passed_over(tmp_path: Path) -> None:
    """Reading it would never end."""
    (tmp_path / "ann").mkdir()
    os.mkfifo(tmp_path / "ann/x.wav")
    (tmp_path / "ann/y.wav").write_bytes(b"")
    assert [found.path.name for found in find(tmp_path, "auto")] == ["y.wav"]

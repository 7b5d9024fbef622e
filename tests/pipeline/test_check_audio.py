"""The comparison of recordings and metadata finds what was left out on purpose."""

from pathlib import Path

from pipeline.check_audio import compare, read_utterances, table
from pipeline.identities import Identities, Identity
from pipeline.recordings import locate

PEOPLE = Identities({i: Identity(i, name) for i, name in (("id10001", "A.J._Buckley"), ("id10002", "A.R._Rahman"))})


def places(*names: str):  # type: ignore[no-untyped-def]
    return [locate(Path(name), Path(name).parts, "auto") for name in names]


def test_what_is_missing_unknown_or_homeless_is_named() -> None:
    listed = {"id10001/v1/00001", "id10001/v1/00002"}
    found = places("id10001/v1/00001.wav", "id99999/v1/00001.m4a", "lost.wav")
    check = compare(found, PEOPLE, listed, [Path("wav/id10002")])
    assert check.missing_speakers == ("id10002",)
    assert check.unknown_speakers == ("id99999",)
    assert check.missing_utterances == ("id10001/v1/00002",)
    assert check.empty_folders == ("wav/id10002",)
    assert check.homeless == ("lost.wav",)
    assert (check.speakers, check.recordings) == (1, 3)
    assert check.by_suffix == {".m4a": 1, ".wav": 2}
    assert not check.complete
    for name in ("id10002", "id99999", "id10001/v1/00002", "lost.wav"):
        assert name in table(check)


def test_a_folder_called_by_the_persons_name_is_known() -> None:
    check = compare(places("A.J._Buckley/v/1.wav", "A R Rahman/v/1.wav"), PEOPLE, {"id10001/v/1"}, [])
    assert check.complete
    assert check.unknown_speakers == ()


def test_names_cannot_steer_the_terminal() -> None:
    check = compare(places("\x1b[2J\u202eowned/v/1.wav"), PEOPLE, set(), [Path("empty\udcff\nmissing speakers 0")])
    assert "  [2Jowned" in table(check).splitlines()
    assert "  empty\ufffd missing speakers 0" in table(check).splitlines()


def test_voxcelebs_lists_are_read() -> None:
    split = "1 id10003/na8-QEFmj44/00003.wav\n2 id10003/tCq2LcKO6xY/00002.wav\n"
    pairs = "1 id10270/5r0dWxy17C8/00001.wav id10270/x6uYqmx31kE/00001.m4a\n"
    assert read_utterances(split + pairs) == {
        "id10003/na8-QEFmj44/00003",
        "id10003/tCq2LcKO6xY/00002",
        "id10270/5r0dWxy17C8/00001",
        "id10270/x6uYqmx31kE/00001",
    }


def test_long_lists_are_cut_and_counted() -> None:
    check = compare([], PEOPLE, {f"id10001/v/{n:05d}" for n in range(100)}, [])
    assert "... and 80 more" in table(check)

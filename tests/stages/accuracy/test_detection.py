"""The measurement of detection: its rules on planted boxes, the labels themselves, and the aims on real photographs."""

from pathlib import Path
from typing import Any

import pytest

from pipeline import images
from pipeline.geometry import Box
from stages.accuracy import detection
from stages.accuracy.detection import Label, Seen
from stages.accuracy.finding import Finding, Unmeasured
from stages.accuracy.labelled import by_eye, files

FACE = (100.0, 100.0, 200.0, 200.0)
NEAR = (110.0, 110.0, 210.0, 210.0)  # overlaps FACE by 0.68
AWAY = (160.0, 160.0, 260.0, 260.0)  # by 0.09
SMALL = (300.0, 100.0, 340.0, 140.0)


def seen(label: Label, *boxes: Box, rival_area: float = 0.0) -> Seen:
    main = list(boxes[0]) if boxes else None
    recipes = dict.fromkeys(("as set", "dlib's HOG alone"), boxes)
    return Seen(label, {"face_box": main, "rival_area": rival_area}, recipes)


def figures(pictures: list[Seen]) -> dict[str, Finding]:
    return {found.what: found for found in detection.judged(pictures)}


def test_a_face_is_missed_where_the_main_box_does_not_mark_it() -> None:
    label = Label(1, True, FACE)
    assert not label.missed(FACE)
    assert not label.missed(NEAR)
    assert label.missed(AWAY)
    assert label.missed(None)
    assert Label(0, False, None).missed(FACE)


def test_a_box_is_wrong_only_where_no_face_at_all_is() -> None:
    label = Label(1, True, FACE, (SMALL,))  # a face that does not count may still be marked
    assert label.wrong([NEAR, SMALL]) == 0
    assert label.wrong([NEAR, AWAY, SMALL]) == 1
    assert Label(0, False, None).wrong([FACE, SMALL]) == 2


def test_only_a_counted_face_of_rival_size_makes_several() -> None:
    assert Label(2, False, FACE, (NEAR,)).several
    assert not Label(1, False, FACE, (NEAR,)).several  # a drawing, say
    assert not Label(2, False, FACE, (SMALL, NEAR)).several  # the counted one is small
    assert not Label(0, False, None).several


def test_planted_misses_and_wrong_boxes_are_counted() -> None:
    one = Label(1, True, FACE)
    pictures = [
        seen(one, NEAR),
        seen(one),  # not found
        seen(one, AWAY),  # elsewhere, so wrong too
        seen(one, FACE, AWAY, rival_area=1.0),  # one box too many: several, says the stage
        seen(Label(2, False, FACE, (NEAR,)), FACE, NEAR, rival_area=1.0),
        seen(Label(0, False, None)),
    ]
    by_name = figures(pictures)
    assert by_name["faces found"].figure.value == 2 / 4
    assert by_name["faces found"].note == "faces not found: 100 px"
    assert by_name["main face elsewhere"].figure.value == 1 / 4
    assert (by_name["boxes on no face"].figure.value, by_name["boxes on no face"].count) == (2 / 6, 6)
    assert by_name["several faces or one, as by eye"].figure.value == 3 / 4
    assert by_name["faces found"].met is False


def test_a_detector_that_finds_nothing_has_no_share_of_wrong_boxes() -> None:
    assert set(figures([seen(Label(1, True, FACE))])) == {"faces found", "main face elsewhere"}


def test_a_label_is_read_from_its_line() -> None:
    line = {
        "count": "2",
        "clear": "0",
        "left": "1",
        "top": "2",
        "right": "3",
        "bottom": "4",
        "others": "5 6 7 8;9 9 10 10",
    }
    assert detection.read_label(line) == Label(
        2, False, (1.0, 2.0, 3.0, 4.0), ((5.0, 6.0, 7.0, 8.0), (9.0, 9.0, 10.0, 10.0))
    )
    empty = dict.fromkeys(("left", "top", "right", "bottom", "others"), "")
    assert detection.read_label({"count": "0", "clear": "0"} | empty) == Label(0, False, None)
    with pytest.raises(ValueError, match="not enough values"):
        detection.read_label(line | {"others": "5 6 7"})


def test_the_labels_say_nothing_impossible() -> None:
    lines = by_eye("faces")
    assert len(lines) == 296
    for sha256, line in lines.items():
        label = detection.read_label(line)
        assert len(sha256) == 64
        assert (label.main is None) == (label.count == 0), sha256
        assert not label.clear or label.count == 1, sha256
        assert len(label.others) >= label.count - 1, sha256
        for left, top, right, bottom in (*([label.main] if label.main else []), *label.others):
            assert 0 <= left < right, sha256
            assert 0 <= top < bottom, sha256
        assert not label.clear or (label.main and label.main[2] - label.main[0] >= 24), sha256


def test_every_photograph_is_labelled_and_every_box_lies_inside_it(real_data: Path) -> None:
    lines = by_eye("faces")
    photographs = {file.sha256: file.path for file in files(real_data, "faces", "faces_odd") if file.sha256 in lines}
    assert set(photographs) == set(lines)
    assert {file.sha256 for file in files(real_data, "faces")} <= set(lines)
    for sha256, path in photographs.items():
        header = images.header(path.read_bytes(), 100_000_000)
        label = detection.read_label(lines[sha256])
        for _, _, right, bottom in (*([label.main] if label.main else []), *label.others):
            assert right <= header.width, path.name
            assert bottom <= header.height, path.name


def test_data_without_the_labelled_photographs_measures_nothing(tmp_path: Path) -> None:
    (tmp_path / "PROVENANCE.csv").write_text("file,sha256,category,identity,label\nfaces/a.png,00,faces,a,\n")
    (found,) = detection.measure(tmp_path)
    assert isinstance(found, Unmeasured)
    assert "faces/" in found.why


@pytest.mark.slow
def test_the_aims_are_met_on_real_photographs(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only: dict[str, Any] = {"as set": detection._RECIPES["as set"]}
    monkeypatch.setattr(detection, "_RECIPES", only)
    by_name = {found.what: found for found in detection.measure(real_data) if isinstance(found, Finding)}
    assert [name for name, found in by_name.items() if found.met is False] == []
    assert {"faces found", "main face elsewhere", "boxes on no face"} <= set(by_name)
    assert by_name["several faces or one, as by eye"].figure.value >= 0.95

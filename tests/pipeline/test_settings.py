"""Settings: what is wrong is said, all of it, before anything runs."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from manifests.errors import UsageError
from pipeline import settings
from pipeline.run import check_settings
from stages import STAGES, load


@dataclass(frozen=True, slots=True)
class Sample:
    limit: float = 5.0
    sides: tuple[int, ...] = (1, 2)
    folder: Path = Path("x")
    on: bool = True
    ceiling: float | None = 3.0


def test_values_arrive_as_their_types() -> None:
    built = settings.build(Sample, {"limit": 4, "sides": [3], "folder": "a/b", "on": False, "ceiling": None}, "s")
    assert built == Sample(4.0, (3,), Path("a/b"), False, None)


def test_every_wrong_value_is_named() -> None:
    with pytest.raises(UsageError) as error:
        settings.build(Sample, {"limit": "5", "on": "false", "sides": [1.5]}, "s")
    assert all(name in str(error.value) for name in ("s.limit", "s.on", "s.sides.0"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crawll: {}", "unknown section crawll; valid: paths, run, crawl"),
        ("run: {bucket: 3}", "run: unknown key bucket; valid: buckets"),
        ("- 1", "expected sections"),
        ("run: 3", "run must hold"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        settings.load(file, STAGES)


def test_an_absent_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no settings file"):
        settings.load(tmp_path / "p.yaml", STAGES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crawl: {threads: 0}", "crawl.threads"),
        ("crawl: {timeout_s: -1}", "crawl.timeout_s"),
        ("landmarks: {max_yaw_deg: .nan}", "finite"),
        ("landmarks: {max_yaw_deg: -5}", "landmarks.max_yaw_deg"),
        ("align: {pupil_distance: 0}", "align.pupil_distance"),
        ("align: {1: 2}", "unknown key 1"),
        ("whiten: {min_coverage: 1.5}", "whiten.min_coverage"),
        ("stats: {thumbnail_px: 0}", "stats.thumbnail_px"),
        ("voices: {profiles: [sf3f]}", "sf3f"),
        ("review: {min_per_person: 9}", "min_per_person"),
        ('crawl: {contact: "a\\nb"}', "crawl.contact"),
    ],
)
def test_a_value_out_of_range_is_an_error_before_anything_runs(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        check_settings([load(name) for name in STAGES], settings.load(file, STAGES))


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_bytes(b"\xff\xfe\x00run")
    with pytest.raises(UsageError, match="not YAML"):
        settings.load(file, STAGES)

"""What a run tells: means of finite iterations, a log that survives a kill, pictures, trackers."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from manifests.errors import Missing, UsageError
from models import report
from models.report import LOG, Reporter, save_grid
from models.system import Phase

PHASE = Phase("one", "paired", 10, 4, (30, 50), {})
JUDGE = {"name": "own-a", "sha256": "ab" * 32}


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / LOG).read_text().splitlines()]


def losses(value: float, other: float = 1.0) -> dict[str, torch.Tensor]:
    return {"a": torch.tensor(value), "b": torch.tensor(other, dtype=torch.bfloat16)}


def test_means_leave_out_what_is_not_finite_and_count_it(tmp_path: Path) -> None:
    with Reporter(tmp_path, (), leads=True) as reporter:
        for value, other in ((1.0, 1.0), (float("nan"), 5.0), (3.0, 2.0), (4.0, float("inf"))):
            reporter.add(losses(value, other), 4)
        assert reporter.report(PHASE, 0, 4) == 2
        assert reporter.report(PHASE, 0, 4) == 0  # nothing new: nothing told
        reporter.add(losses(7.0), 4)
        assert reporter.report(PHASE, 0, 5) == 0
    first, second = lines(tmp_path)
    assert first["losses"] == {"a": 2.0, "b": 1.5} and first["not_finite"] == 2 and first["iteration"] == 4
    assert second["losses"] == {"a": 7.0, "b": 1.0}


def test_seconds_of_a_run_are_those_of_its_iterations(tmp_path: Path) -> None:
    """What a killed sitting did and another does again counts once; a log of before there were seconds has none."""
    told = [{"phase": "p", "phase_number": 0, "iteration": i, "losses": {}, "seconds": 1.5} for i in (1, 2, 3)]
    told.append({"phase": "p", "phase_number": 0, "iteration": 3, "validation": {}})
    (tmp_path / LOG).write_text("".join(json.dumps(line) + "\n" for line in told))
    assert report.training_seconds(tmp_path) == 4.5
    with Reporter(tmp_path, (), leads=True) as reporter:
        reporter.go_on_from(0, 1)
        reporter.add(losses(1.0), 4)
        reporter.report(PHASE, 0, 2)
    assert 1.5 <= report.training_seconds(tmp_path) < 3
    with pytest.raises(Missing, match="models train"):
        report.training_seconds(tmp_path / "none")


def test_all_iterations_not_finite_is_no_division_by_zero(tmp_path: Path) -> None:
    with Reporter(tmp_path, (), leads=True) as reporter:
        reporter.add(losses(float("nan")), 4)
        assert reporter.report(PHASE, 0, 1) == 1


def test_a_resumed_log_forgets_what_is_done_again_and_half_lines(tmp_path: Path) -> None:
    told = [{"phase": "p", "phase_number": p, "iteration": i, "losses": {"a": 1.0}} for p in (0, 1) for i in (1, 2, 3)]
    whole = "".join(json.dumps(line) + "\n" for line in told)
    for half in ("", '{"phase": "p", "losses": {"a": 1.0}', '{"pha', "\n", '{"phase_number": "0"}', "[1]", "\x00\xff"):
        (tmp_path / LOG).write_text(whole + half, encoding="latin-1")
        Reporter(tmp_path, (), leads=True).go_on_from(1, 2)
        assert lines(tmp_path) == told[:5]
    Reporter(tmp_path, (), leads=True).go_on_from(2, 0)
    assert lines(tmp_path) == told[:5]


def test_who_does_not_lead_writes_nothing(tmp_path: Path) -> None:
    with Reporter(tmp_path, ("tensorboard",), leads=False) as reporter:
        reporter.go_on_from(0, 0)
        reporter.add(losses(1.0), 4)
        reporter.report(PHASE, 0, 1)
    assert not list(tmp_path.iterdir())


def test_a_grid_shows_rows_above_each_other(tmp_path: Path) -> None:
    faces = torch.zeros(2, 3, 3, 4, 4)
    faces[1, 2, 0] = 1.0  # the last of the second row is red
    faces[0, 0] = 2.0  # beyond white
    save_grid(tmp_path / "grid.png", faces)
    picture = Image.open(tmp_path / "grid.png")
    assert picture.size == (12, 8)
    assert picture.getpixel((11, 7)) == (255, 0, 0) and picture.getpixel((0, 0)) == (255, 255, 255)
    assert picture.getpixel((11, 0)) == (0, 0, 0)


def tell(out: Path, tracker: str) -> None:
    for iteration in (1, 2):  # the second time as a resumed run
        with Reporter(out, (tracker,), leads=True) as reporter:
            reporter.go_on_from(0, iteration - 1)
            reporter.add(losses(iteration), 4)
            reporter.report(PHASE, 0, iteration)
            reporter.validated(PHASE, 0, iteration, {"cosine": 0.5}, JUDGE, torch.rand(2, 2, 3, 8, 8))


def test_validation_names_its_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(tmp_path, (), leads=True) as reporter:
        reporter.validated(PHASE, 0, 3, {"cosine": 0.25, "[red]": 1.0}, JUDGE, torch.rand(2, 2, 3, 8, 8))
        reporter.validated(PHASE, 0, 4, {"pixel_l1": 0.5}, None, torch.rand(2, 2, 3, 8, 8))
    told = capsys.readouterr().err
    assert "one 3, validation by own-a (sha256 abababababab): cosine 0.25  [red] 1" in told
    assert "one 4, validation: pixel_l1 0.5" in told
    assert [line["validation_judge"] for line in lines(tmp_path)] == [JUDGE, None]


def test_tensorboard_gets_losses_metrics_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell(tmp_path, "tensorboard")
    held = EventAccumulator(str(tmp_path / "tensorboard"))
    held.Reload()
    assert [(event.step, event.value) for event in held.Scalars("one/a")] == [(1, 1.0), (2, 2.0)]
    assert [event.value for event in held.Scalars("one/val/cosine")] == [0.5, 0.5]
    assert held.Tags()["images"] == ["one/faces"]


def test_dvclive_gets_losses_metrics_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dvclive", reason="DVCLive is not installed")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    tell(tmp_path, "dvclive")
    live = tmp_path / "dvclive"
    assert json.loads((live / "metrics.json").read_text())["one"]["a"] == 2.0
    table = (live / "plots/metrics/one/a.tsv").read_text().splitlines()
    assert table[0].split("\t") == ["step", "a"] and [row.split("\t")[0] for row in table[1:]] == ["1", "2"]
    assert len(list((live / "plots/images").rglob("*.png"))) == 2


def test_dvclive_in_a_repository_without_commits_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dvclive", reason="DVCLive is not installed")
    from dvc.repo import Repo
    from dvc.scm import Git

    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.chdir(tmp_path)
    Git.init(str(tmp_path)).close()
    Repo.init(str(tmp_path)).close()
    with pytest.raises(UsageError, match=r"first commit, or leave --track dvclive out"):
        Reporter(tmp_path / "run", ("dvclive",), leads=True)


def test_a_tracker_that_is_not_installed_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for tracker, module in (("tensorboard", "torch.utils.tensorboard"), ("dvclive", "dvclive.live")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(Missing, match="pip install"):
            Reporter(tmp_path, (tracker,), leads=True)
    assert set(report.TRACKERS) == {"tensorboard", "dvclive"}

"""The exported network gives torch's faces, for any number of voices of any length."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

from manifests.errors import DataError, Missing
from models import export, generate, state
from models.cli import main
from models.state import Model
from tests.models import drawn, scored

pytestmark = pytest.mark.usefixtures("one_thread")


def check(model: Model, path: Path, bands: int, sizes: Iterator[tuple[int, int]]) -> None:
    """Faces of mels of these sizes (voices, frames) equal those of `models generate`, and differ between voices."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    for voices, frames in sizes:
        mels = rng.normal(11, 3, (voices, frames, bands)).astype(np.float32)
        (found,) = session.run(["face"], {"mel": mels.transpose(0, 2, 1)})
        wanted = []
        for mel in mels:
            heard = generate.batch(torch.from_numpy(mel.T[None].copy()), mel)
            wanted.append(model.system.faces(model.networks, model.settings, heard)[0].numpy())
        assert np.abs(found - np.stack(wanted)).max() <= 1e-4, (voices, frames)
        assert voices == 1 or np.abs(found[0] - found[1]).max() > 1e-3, "the faces do not depend on the voice"


@pytest.mark.slow
@pytest.mark.parametrize(("make", "bands"), [(scored.sf2f_model, 40), (scored.voice2face_model, 64)])
def test_onnx_gives_torchs_faces_at_other_lengths_and_batches(
    make: Callable[[], Model], bands: int, tmp_path: Path
) -> None:
    model, path = make(), tmp_path / "deep" / "faces.onnx"
    if model.system.FRONT_END == "voice2face":
        with torch.no_grad():  # a generator of so few weights and no norms makes one face of all voices, else
            for weight in model.networks["generator"].parameters():
                weight.mul_(3 if weight.dim() > 1 else 0)
    assert export.export(model, path) <= 1e-4
    onnx.checker.check_model(onnx.load(path), full_check=True)
    check(model, path, bands, iter([(1, 33), (1, 126), (2, 47), (7, 100), (2, 1500)]))
    assert [p.name for p in path.parent.iterdir()] == ["faces.onnx"]


@pytest.mark.slow
def test_the_command_writes_the_file(tmp_path: Path) -> None:
    model = scored.sf2f_model()
    told = model.facts | {
        "settings": state.settings_of(drawn.SF2F), "average": 0.0,
        "place": {"phase": 2, "iteration": 1, "skipped": 0, "best": {}},
    }  # fmt: skip
    state.write(tmp_path / state.LAST, state.weights(model.networks), told)
    ended = CliRunner().invoke(main, ["export", "--checkpoint", str(tmp_path), "--onnx", str(tmp_path / "f.onnx")])
    assert ended.exit_code == 0, ended.output
    assert "differs from torch by at most" in ended.output and (tmp_path / "f.onnx").is_file()


@pytest.mark.slow
def test_a_file_that_says_otherwise_than_torch_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_TOLERANCE", -1.0)
    with pytest.raises(DataError, match="not written"):
        export.export(scored.sf2f_model(), tmp_path / "f.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_the_message_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(Missing, match=r"pip install .*export"):
        export.export(scored.sf2f_model(), tmp_path / "f.onnx")

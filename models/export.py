"""A trained system as ONNX, from log-mel or waveform to face, checked against torch before it is written."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from manifests.errors import DataError, Missing
from models.state import Model, expect_faces
from models.system import Batch, generator
from pipeline.frontend import WAVE, width

_FEWEST_FRAMES = 33  # torch takes a size of 1, which fewer frames would reach inside the encoder, for a constant
_TOLERANCE = 1e-4  # of a face in 0..1
_TRIALS = ((1, 0), (1, 92), (3, 117), (2, 447), (5, 968))  # batch, frames beyond the fewest


class Whole(nn.Module):
    """Mel or waveform in, face out, as `models generate` makes it without fusing."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        self.networks = nn.ModuleDict(model.networks)

    def forward(self, mel: Tensor) -> Tensor:
        """Raw log-mels (B, bands, F), or frames of the waveform (B, HOP, F), to faces (B, 3, S, S) in 0..1."""
        mean, deviation = mel.mean(dim=2), mel.std(dim=2, correction=0)
        nobody, face = torch.zeros(1, dtype=torch.long), torch.zeros(1)
        heard = Batch(mel, mean, deviation, nobody, face, nobody, nobody)
        return generator(self._model.system).faces(self._model.networks, self._model.settings, heard)


def export(model: Model, out: Path) -> float:
    """Write the ONNX file; return the largest difference from torch over voices of several lengths.

    A system that hears waveforms takes those as long as it was trained on or longer: `models generate` repeats shorter
    ones, the file cannot. Raises Missing without the packages of the extra `[export]`, DataError for a system that ONNX
    has no words for, and where the file says otherwise than torch.
    """
    expect_faces(model)
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter writes through it
    except ImportError as error:
        raise Missing(f"{error}: pip install -c constraints.txt -e '.[export]'") from error
    name, fewest = ("wave", _trained_on(model)) if model.system.FRONT_END == WAVE else ("mel", _FEWEST_FRAMES)
    whole = Whole(model).eval()
    rng = np.random.default_rng(0)
    program = _program(whole, _voices(rng, model, 2, fewest + 92), name, fewest)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        program.save(str(temporary))
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        _expect_any_length(session.get_inputs()[0].shape)
        worst = 0.0
        for size, more in _TRIALS:
            voices = _voices(rng, model, size, fewest + more)
            (made,) = session.run(["face"], {name: voices.numpy()})
            worst = max(worst, float(np.abs(made - whole(voices).numpy()).max()))
        if not worst <= _TOLERANCE:
            raise DataError(
                f"the exported network differs from torch by {worst:.2g}, allowed {_TOLERANCE}: not written"
            )
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return worst


def _expect_any_length(shape: list[str | int]) -> None:
    """Raise DataError where the exporter took the sample's batch, or its frames, for a constant."""
    if isinstance(shape[0], int) or isinstance(shape[2], int):
        raise DataError(f"this system cannot be written as ONNX: the file takes no other voices than of shape {shape}")


def _trained_on(model: Model) -> int:
    """Frames of the longest crop that a system was trained on."""
    phases = model.system.phases(model.settings)
    return max(_FEWEST_FRAMES, *(phase.frames[1] for phase in phases))


def _voices(rng: np.random.Generator, model: Model, batch: int, frames: int) -> Tensor:
    """Noise as loud as what the front end gives."""
    mean, deviation = (0.0, 0.1) if model.system.FRONT_END == WAVE else (10.0, 3.0)
    shape = batch, width(model.system.FRONT_END), frames
    return torch.from_numpy(rng.normal(mean, deviation, shape).astype(np.float32))


def _program(whole: Whole, sample: Tensor, name: str, fewest: int) -> torch.onnx.ONNXProgram:
    axes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("frames", min=fewest)}
    try:
        program = torch.onnx.export(
            whole, (sample,), input_names=[name], output_names=["face"], dynamic_shapes=(axes,), dynamo=True,
            verbose=False,
        )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        told = str(error.__cause__ or error).strip().partition("\n")[0][:300]
        raise DataError(f"this system cannot be written as ONNX: {told}") from error
    assert program is not None
    return program

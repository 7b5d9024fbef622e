"""A trained system as ONNX, from raw log-mel to face, checked against torch before it is written."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from manifests.errors import DataError, Missing
from models.state import Model, expect_faces
from models.system import Batch
from pipeline.frontend import PROFILES

_FEWEST_FRAMES = 33  # torch takes a size of 1, which fewer frames would reach inside the encoder, for a constant
_TOLERANCE = 1e-4  # of a face in 0..1
_TRIALS = ((1, _FEWEST_FRAMES), (1, 125), (3, 150), (2, 480), (5, 1001))  # batch, frames


class Whole(nn.Module):
    """Mel in, face out, as `models generate` makes it without fusing."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        self.networks = nn.ModuleDict(model.networks)

    def forward(self, mel: Tensor) -> Tensor:
        """Raw log-mels (B, bands, F) to faces (B, 3, S, S) in 0..1."""
        mean, deviation = mel.mean(dim=2), mel.std(dim=2, correction=0)
        nobody, face = torch.zeros(1, dtype=torch.long), torch.zeros(1)
        heard = Batch(mel, mean, deviation, nobody, face, nobody, nobody)
        return self._model.system.faces(self._model.networks, self._model.settings, heard)


def export(model: Model, out: Path) -> float:
    """Write the ONNX file; return the largest difference from torch over mels of several lengths.

    Raises Missing without the packages of the extra `[export]`, DataError where the file says otherwise than torch.
    """
    expect_faces(model)
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter writes through it
    except ImportError as error:
        raise Missing(f"{error}: pip install -c constraints.txt -e '.[export]'") from error
    bands = PROFILES[model.facts["front_end"]].bands
    whole = Whole(model).eval()
    axes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("frames", min=_FEWEST_FRAMES)}
    rng = np.random.default_rng(0)
    sample = torch.from_numpy(rng.normal(10, 3, (2, bands, 125)).astype(np.float32))
    program = torch.onnx.export(
        whole, (sample,), input_names=["mel"], output_names=["face"], dynamic_shapes=(axes,), dynamo=True, verbose=False
    )
    assert program is not None
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        program.save(str(temporary))
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        worst = 0.0
        for size, frames in _TRIALS:
            mel = rng.normal(10, 3, (size, bands, frames)).astype(np.float32)
            (made,) = session.run(["face"], {"mel": mel})
            worst = max(worst, float(np.abs(made - whole(torch.from_numpy(mel)).numpy()).max()))
        if not worst <= _TOLERANCE:
            raise DataError(
                f"the exported network differs from torch by {worst:.2g}, allowed {_TOLERANCE}: not written"
            )
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return worst

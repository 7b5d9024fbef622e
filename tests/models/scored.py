"""Models and judges to score in tests: real networks of a few weights, and systems whose scores are known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from models import sf2f, voice2face
from models.judges import Judge
from models.state import Model
from models.system import Batch
from tests.models import drawn

CPU = torch.device("cpu")


class Projection(nn.Module):
    """Embeds a face by a fixed random projection of its pixels."""

    def __init__(self, side: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(3 * side * side, dim)

    def states(self, face: Tensor) -> list[Tensor]:
        return [self.project(face.flatten(1) - 0.5)]


def judge(side: int = 64, dim: int = 12, name: str = "projection", sha256: str = "b" * 64) -> Judge:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = Projection(side, dim).requires_grad_(False)
    return Judge(name, sha256, network, lambda faces: faces, CPU)


def facts(**changed: Any) -> dict[str, Any]:
    return {
        "experiment": "tiny",
        "system": "sf2f",
        "settings": {},
        "seed": 0,
        "place": {"phase": 0, "iteration": 1},
        "manifest": "m" * 64,
        "front_end": "sf2f",
        "vad": "sf2f",
        "n_identities": 6,
        "loss_judge": None,
    } | changed


def settled(networks: dict[str, nn.Module], bands: int) -> dict[str, nn.Module]:
    """Batch norms that have seen something, and weights large enough that voices give different faces."""
    for network in networks.values():
        for weight in network.parameters():
            if weight.dim() > 1:
                nn.init.orthogonal_(weight.flatten(1), gain=1.4)
    encoder, decoder = networks["encoder"].train(), networks.get("decoder", nn.Identity()).train()
    with torch.no_grad():
        for _ in range(30):
            decoder(nn.functional.normalize(encoder(torch.randn(8, bands, 125))))
    for network in networks.values():
        network.eval().requires_grad_(False)
    return networks


def sf2f_model(fuser: bool = True, **changed: Any) -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        networks = settled(sf2f.build(drawn.SF2F, 6), sf2f.BANDS)
    fusing = sf2f.phases(drawn.SF2F)[-1] if fuser else None
    return Model(sf2f, drawn.SF2F, networks, facts(**changed), "c" * 64, fusing)  # type: ignore[arg-type]


def voice2face_model() -> Model:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        networks = settled(voice2face.build(drawn.VOICE2FACE, 6), voice2face.BANDS)
    told = facts(system="voice2face", front_end="voice2face", vad="voice2face")
    return Model(voice2face, drawn.VOICE2FACE, networks, told, "d" * 64, None)  # type: ignore[arg-type]


def clairvoyant(same: bool = False, **changed: Any) -> Model:
    """Makes the very face that it should, or with `same` one face for everybody."""

    def faces(_networks: Any, _settings: Any, batch: Batch) -> Tensor:
        return torch.full_like(batch.face, 0.3) if same else batch.face

    system = SimpleNamespace(GENERATES=True, FRONT_END="sf2f", side=lambda _settings: 64, faces=faces)
    return Model(system, None, {}, facts(**changed), "e" * 64, None)  # type: ignore[arg-type]


def manifest(folder: Path, **changed: Any) -> Path:
    """Nine people to test, of three recordings: two of several windows, one shorter than any."""
    return drawn.write_manifest(folder, drawn.Sketch(**({"test": 9, "clips": (400, 60, 300)} | changed)))

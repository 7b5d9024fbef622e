"""Validation: the same draw every time, the metrics written out, networks left as they were."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import data, judges, sf2f, validate
from models.pack import pack
from models.system import Batch, System
from models.validate import Validation
from tests.models.drawn import Sketch, write_manifest
from tests.models.steps import built

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


class Blurred:
    """Stands in for a system: every face is its voice's own, and a noise that the voice decides."""

    GENERATES = True

    @staticmethod
    def faces(networks: Mapping[str, nn.Module], settings: Any, batch: Batch) -> Tensor:
        del settings
        assert not any(network.training for network in networks.values())
        noise = [torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(int(mel.sum()))) for mel in batch.mel]
        return 0.3 * batch.face + 0.7 * torch.stack(noise)


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory, judge: Path) -> Validation:
    folder = tmp_path_factory.mktemp("val")
    path = write_manifest(folder, Sketch(train=1, val=7, test=1))
    corpus = data.load(pack(path, "val", "sf2f", 64, folder / "packed"), CPU)
    return Validation(corpus, judges.load(str(judge), CPU), 0, CPU)


@pytest.mark.parametrize("number", [0, 2], ids=["crops", "windows"])
def test_metrics_are_those_of_the_same_faces_every_time(
    validation: Validation, tiny: sf2f.Settings, number: int
) -> None:
    networks = built(sf2f, tiny)
    networks["decoder"].eval()
    phase = sf2f.phases(tiny)[number]
    modes = {name: network.training for name, network in networks.items()}
    first, shown = validation.measure(cast(System, Blurred), networks, tiny, phase)
    again, _ = validation.measure(cast(System, Blurred), networks, tiny, phase)
    assert first == again
    assert {name: network.training for name, network in networks.items()} == modes
    assert shown.shape == (2, 7, 3, 64, 64)
    assert first["pixel_l1"] == pytest.approx(float((shown[0] - shown[1]).abs().mean()), rel=1e-5)
    assert validation.judge is not None
    found = validation.judge.embed(shown[1])
    faces = validation.corpus.faces.float() / 255
    wanted = F.normalize(validation.judge.embed(faces).view(7, 2, -1).mean(1))  # two faces each
    assert first["cosine"] == pytest.approx(float((found * wanted).sum(1).mean()), rel=1e-4)
    assert first["l1"] == pytest.approx(float((found - wanted).abs().sum(1).mean()), rel=1e-4)
    scores = found @ wanted.T
    rank = torch.tensor([sum(row[n] >= row[i] for n in range(7) if n != i) for i, row in enumerate(scores.tolist())])
    assert {k: v for k, v in first.items() if k.startswith("recall")} == pytest.approx(
        {f"recall_{k}": float((rank < k).float().mean()) for k in (1, 5)}
    )


def test_the_real_faces_shown_are_the_persons_own(validation: Validation, tiny: sf2f.Settings) -> None:
    _, shown = validation.measure(sf2f, built(sf2f, tiny), tiny, sf2f.phases(tiny)[0])
    owner = validation.corpus.packed.arrays["face_person"]
    for person, face in enumerate((shown[0] * 255).round().to(torch.uint8)):
        own = validation.corpus.faces[np.flatnonzero(owner == person)]
        assert any(torch.equal(face, other) for other in own)


def test_many_people_are_measured_in_parts(
    validation: Validation, tiny: sf2f.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "_AT_ONCE", 3)
    _, shown = validation.measure(sf2f, built(sf2f, tiny), tiny, sf2f.phases(tiny)[2])
    assert shown.shape == (2, 7, 3, 64, 64)


def test_without_a_judge_pixels_are_compared(validation: Validation, tiny: sf2f.Settings) -> None:
    plain = Validation(validation.corpus, None, 0, CPU)
    measured, _ = plain.measure(sf2f, built(sf2f, tiny), replace(tiny, perceptual=0.0), sf2f.phases(tiny)[0])
    assert measured.keys() == {"pixel_l1"}

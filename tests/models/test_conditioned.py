"""QTA 1 to 3 on generators whose answers are known: who hears what, which noise, and by whose eyes it is judged."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.noise import truncated
from models.reproduction import conditioned
from models.reproduction.conditioned import QTA_2
from models.reproduction.entry import Entry, Found, Line, Member, Value

FIRST, LAST = Member("first", "i2g", "i2g-small"), Member("last", "i2g-no-mil", "i2g-small")
ENTRY = Entry("E", "", "Asks.", lambda lab, entry: Found(), (FIRST, LAST), QTA_2)
HEARD = {  # the conditions of three people, by whose speech encoder
    "first": torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
    "last": torch.tensor([[3.0, 0.0], [-1.0, 0.0], [0.0, -1.0]]),
}
SEEN = {"first": 1.0, "last": -1.0}  # what a face encoder makes of a face that is its condition
REAL = torch.tensor([[1.0, 0.0], [9.0, 0.0], [3.0, 0.0], [9.0, 0.0], [0.0, 5.0], [0.0, 9.0]])  # two of each person


class Studio:
    """A generator that draws the condition itself, whatever the noise, and notes what it was given."""

    corpus = SimpleNamespace(
        packed=SimpleNamespace(genders=("f", "m", "m"), arrays={"face_person": np.array([0, 0, 1, 1, 2, 2])}),
        portraits=(np.array([0, 2, 4]), np.array([2, 2, 2])),
    )

    def __init__(self, lab: Any, member: Member) -> None:
        self.lab, self.name = lab, member.name

    def conditions(self) -> Tensor:
        return HEARD[self.name]

    def noise(self, count: int, limit: float | None = None) -> Tensor:
        return truncated((count, 200), limit, torch.Generator().manual_seed(self.lab.seed))

    def faces(self, conditions: Tensor, noise: Tensor) -> Tensor:
        self.lab.drawn.append((self.name, conditions, noise))
        return conditions

    def embedded(self, faces: Tensor) -> Tensor:
        return SEEN[self.name] * faces

    def real(self) -> Tensor:
        return REAL


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the studios share; `drawn` is what each was asked to draw."""
    monkeypatch.setattr(conditioned, "Studio", Studio)
    return SimpleNamespace(seed=0, device=torch.device("cpu"), drawn=[])


def values(line: Line) -> dict[str, Value]:
    return {name: value["mean"] if isinstance(value, dict) else value for name, value in line.values.items()}


def test_each_generator_hears_the_same_speech_in_its_own_way(lab: Any) -> None:
    """QTA 2 (b): with the noise of the other, which nothing cuts off; the first's inference network judges."""
    first, last = conditioned.preferences(lab, ENTRY).tables[0].ours
    for name, conditions, _ in lab.drawn:
        assert torch.equal(conditions, HEARD[name])
    assert [name for name, _, _ in lab.drawn] == ["first", "last", "last"]
    noises = [noise for _, _, noise in lab.drawn]
    assert all(torch.equal(noises[0], other) for other in noises) and noises[0].abs().max() > 2
    # The first's likeness is 4, 1, 1; that of the last's faces 6, -1, -1; of real ones 2, 3, 5.
    assert values(first)[QTA_2[0]] == pytest.approx(100 / 3)
    assert values(first)[QTA_2[1]] == pytest.approx(200 / 3)
    assert QTA_2[1] not in last.values


def test_a_face_is_asked_for_by_its_voice_and_by_anothers(lab: Any) -> None:
    """QTA 2 (c): the second face goes better with the first person's voice, which is louder, than with its own."""
    first, last = conditioned.preferences(lab, ENTRY).tables[0].ours
    assert values(first)[QTA_2[2]] == pytest.approx(200 / 3)
    # The last's encoder turns its faces round: likeness -9, -1, -1 by the own voice, and 0, 3, 0 by another's.
    assert values(last)[QTA_2[2]] == 0


def test_faces_that_are_their_conditions_follow_them_with_any_noise(lab: Any) -> None:
    """QTA 1, where the noise is not truncated either."""
    first, different, same = conditioned.follows(lab, ENTRY).tables[0].ours[:3]
    assert values(first)["r"] == pytest.approx(1)
    for line, distance in ((same, 1.0), (different, 0.5)):  # of the woman one man's voice is a copy
        assert values(line) == pytest.approx({"conditions": distance, "faces": distance}, abs=0.02)
    assert all(noise.abs().max() > 2 for _, _, noise in lab.drawn)


def test_faces_that_look_for_real_ones_are_made_with_truncated_noise(lab: Any) -> None:
    """QTA 3: by L2 a face of the last's is found, that of the first person; by cosine that of the third."""
    found = conditioned.retrieval(lab, ENTRY).tables[0]
    assert "Galleries of 3 x 2 faces." in found.title
    by_name = {line.name: values(line) for line in found.ours}
    assert [name for name in by_name if name.startswith("last")] == ["last, l1", "last, l2", "last, cosine"]
    assert by_name["first, l2"]["R@1"] == 0
    for name in ("first, cosine", "last, l2", "last, cosine", "random"):
        assert by_name[name]["R@1"] == pytest.approx(100 / 3)
    for name, conditions, noise in lab.drawn:
        assert torch.equal(conditions, HEARD[name]) and 0.9 < noise.abs().max() <= 1

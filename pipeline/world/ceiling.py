"""How well anybody could find a face by its voice in the synthetic world: retrieval with the hidden traits in hand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.world.traits import Person, draw_person, private_noise_sd, voice_latent, voice_loading_matrix

RANKS = (1, 5, 10)
_WORLD = 1  # seed of the people asked about: the ceiling is a property of the recipe, not of one world


def log_likelihoods(voices: Sequence[Person], faces: Sequence[Person]) -> NDArray[np.float64]:
    """Return log p(voice | face) up to a constant, (voices, faces): no retrieval can beat ranking by it."""
    sd, matrix = private_noise_sd(), voice_loading_matrix()
    expected = np.stack([matrix @ face.face.vector() for face in faces])
    rows = []
    for voice in voices:
        # The same sound means other standardised traits in a man than in a woman.
        latent = {gender: voice_latent(voice.voice, gender) for gender in "mf"}
        heard = np.stack([latent[face.gender] for face in faces])
        rows.append(-0.5 * (((heard - expected) / sd) ** 2).sum(axis=1))
    return np.stack(rows)


def recall_at(scores: NDArray[np.float64], ranks: Sequence[int] = RANKS) -> dict[int, float]:
    """Return the share of rows whose diagonal entry is among the best `rank` of its row."""
    better = (scores > np.diagonal(scores)[:, None]).sum(axis=1)
    return {rank: float((better < rank).mean()) for rank in ranks}


def ceiling(gallery: int = 100, rounds: int = 20) -> dict[int, float]:
    """Return the best possible voice-to-face Recall@1, 5 and 10 among `gallery` people, averaged over rounds."""
    found = []
    for number in range(rounds):
        people = [draw_person(_WORLD, number * gallery + k) for k in range(gallery)]
        found.append(recall_at(log_likelihoods(people, people)))
    return {rank: float(np.mean([one[rank] for one in found])) for rank in RANKS}

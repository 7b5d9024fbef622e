"""What a run's best checkpoints are chosen by: faces for the voices of split `val`, the same draw every time."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from models import data, metrics
from models.data import Corpus, Draw
from models.judges import Judge
from models.system import Batch, Phase, System, generator

_GRID = 8  # people shown
_AT_ONCE = 64


class Validation:
    """The people of `val`, their real faces' embeddings, and one draw of their voices for each kind of phase."""

    SMALLER_IS_BETTER: ClassVar = frozenset({"pixel_l1", "l1"})

    def __init__(self, corpus: Corpus, judge: Judge | None, seed: int, device: torch.device) -> None:
        self.corpus, self.judge, self.seed, self.device = corpus, judge, seed, device
        self._wanted = None if judge is None else metrics.references(judge, corpus)

    def measure(
        self, module: System, networks: Mapping[str, nn.Module], settings: Any, phase: Phase
    ) -> tuple[dict[str, float], Tensor]:
        """Metrics, and (2, people, 3, S, S) of real and generated faces to look at, 0..1.

        Networks are put into eval mode and back.
        """
        modes = {name: network.training for name, network in networks.items()}
        for network in networks.values():
            network.eval()
        parts = [self._batch(phase, people) for people in np.array_split(np.arange(self.corpus.n_people), self._parts)]
        made = torch.cat([generator(module).faces(networks, settings, batch) for batch in parts])
        real = torch.cat([batch.face for batch in parts])
        for name, network in networks.items():
            network.train(modes[name])
        measured = {"pixel_l1": float((made - real).abs().mean())}
        if self.judge is not None and self._wanted is not None:
            found = self.judge.embed(made)
            measured["cosine"] = float(metrics.cosine(found, self._wanted).mean())
            measured["l1"] = float(metrics.l1(found, self._wanted).mean())
            for k in (1, 5, 10):
                if k < self.corpus.n_people:
                    measured[f"recall_{k}"] = float(metrics.hits(found, self._wanted, k).float().mean())
        return measured, torch.stack([real[:_GRID], made[:_GRID]]).cpu()

    @property
    def _parts(self) -> int:
        return -(-self.corpus.n_people // _AT_ONCE)

    def _batch(self, phase: Phase, people: data.Ints) -> Batch:
        rng = np.random.default_rng([self.seed, int(people[0])])
        face = data.one_each(self.corpus.portraits, people, rng)
        frames = phase.frames[1]
        if phase.kind == "windows":
            clip, start, count = data.windows(self.corpus, people, frames, phase.stride, phase.windows, None)
            drawn = Draw(clip, start, frames, people, face, people, count)
        else:
            clip = data.one_each(self.corpus.clips, people, rng)
            drawn = Draw(clip, data.crop_start(self.corpus, clip, frames, rng), frames, people, face, people)
        return data.gather(self.corpus, drawn, self.device)

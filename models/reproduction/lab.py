"""What ids share: runs that are trained once, judges, corpora, evaluations."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from manifests import table
from manifests.errors import DataError, Missing, UsageError
from manifests.schema import MANIFEST
from models import data, evaluate, face_features, judges, pack, pretrain_face, probes, report, state, system
from models.data import Corpus
from models.evaluate import Plan
from models.face_features import PUBLISHED, FaceFeatures
from models.face_net import Half
from models.facts import place_of
from models.judges import Judge
from models.listening import Classes
from models.reproduction.budgets import SPENDING, Spending, folder_name, planned
from models.reproduction.entry import Budget, Member
from models.reproduction.people import Labels
from models.scores import Figure
from models.setup import Options
from models.state import LAST, Model
from models.train import train

T = TypeVar("T")
SECONDS = (1.25, 5.0)  # of speech, where an id does not say otherwise
_FULL_JUDGE = "dlib"
_ANY_FRONT_END = "sf2f"  # of a corpus that only faces are read of


@dataclass(frozen=True)
class Lab:
    """A manifest, a folder of runs, and a budget."""

    manifest: Path
    out: Path
    budget: Budget
    device: torch.device
    raw: Path | None = None  # manifest of the same people's unfiltered data
    judge_name: str | None = None  # of the scores; None: dlib's at the full budget, else our own
    seed: int = 0
    say: Callable[[str], None] = lambda text: None
    labels: Labels = field(default_factory=dict)  # of people, beside the manifest's
    _done: dict[Hashable, Any] = field(default_factory=dict)  # what this process has made, by name

    @property
    def spending(self) -> Spending:
        """What the budget fixes."""
        return SPENDING[self.budget]

    @property
    def runs(self) -> Path:
        """The folder of runs: those of another budget or seed are other runs."""
        return self.out / "runs" / f"{self.budget}-{self.seed}"

    @property
    def cache(self) -> Path:
        """Where splits are packed."""
        return self.runs / "packed"

    def expect_inputs(self) -> None:
        """Raise what the manifests and the judge would raise later, before anything is trained.

        The manifest of unfiltered data must be another one, and nobody in both may be of two splits: UsageError.
        """
        table.expect(self.manifest, MANIFEST)
        if self.raw is not None:
            table.expect(self.raw, MANIFEST)
            _expect_same_people(self.manifest, self.raw)
        if self.judge_name is not None:
            _ = self.judge

    def pictures(self, entry_id: str) -> Path:
        """The folder of an id's result and figures: those of another budget or seed lie elsewhere."""
        folder = self.out / f"{self.budget}-{self.seed}" / entry_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def manifest_of(self, member: Member) -> Path:
        """What a member is trained on. Raises Missing where that is the unfiltered data, and none are named."""
        if not member.raw:
            return self.manifest
        if self.raw is None:
            raise Missing(
                "the unfiltered data of the same people: `pipeline run --params params/filtered_vggface.yaml` makes "
                "their manifest, --raw names it"
            )
        return self.raw

    def trained(self, member: Member) -> Path:
        """The folder of a finished run, trained now unless it was before."""
        name = folder_name(member, self.budget)

        def made() -> Path:
            experiment, settings = planned(member, self.budget)
            settings = self._with_networks(settings)
            before = self._before(member)
            start = None if before is None else self.trained(before)
            if not _is_finished(out, len(system.plan(system.load(experiment.system), settings))):
                self.say(f"{name}: training")
            options = Options(self.device, self.seed, start=start, average=self.spending.average, validate_every=0)
            train(out, self.manifest_of(member), experiment, settings, options)
            return out

        out = self.runs / name
        return self.once(name, made)

    def _before(self, member: Member) -> Member | None:
        """Whose networks a member begins with."""
        return member.full_start if self.budget == "full" else member.start

    def training_seconds(self, member: Member) -> float:
        """How long a member's training took, with that of the networks it begins with."""
        before = self._before(member)
        return report.training_seconds(self.trained(member)) + (self.training_seconds(before) if before else 0.0)

    def _with_networks(self, settings: Any) -> Any:
        """Our own face networks in the places of published ones, below the full budget."""
        if self.budget == "full":
            return settings
        own = {}
        if system.needs_judge(settings):
            own["judge"] = str(self._own("own-a", "a", self.spending.face))
        if system.needs_features(settings):
            own["features"] = str(self._own("own-vgg-a", "a", self.spending.features))
        return replace(settings, **own)

    def _own(self, name: str, half: Half, settings: pretrain_face.Settings) -> Path:
        """A face network of ours, trained now unless it was before."""

        def made() -> Path:
            out = self.runs / f"{name}.safetensors"
            if not out.exists():
                self.say(f"{name}: training")
            return pretrain_face.train(out, self.manifest, half, settings, self.device)

        return self.once(name, made)

    @property
    def judge(self) -> Judge:
        """The face network that scores every id; it is in nobody's loss."""

        def made() -> Judge:
            full = self.budget == "full"
            name = self.judge_name or (_FULL_JUDGE if full else str(self._own("own-b", "b", self.spending.face)))
            return judges.load(name, self.device)

        return self.once("judge", made)

    @property
    def features(self) -> FaceFeatures:
        """The face network whose features Speech2Face and AR-SPM predict."""

        def made() -> FaceFeatures:
            full = self.budget == "full"
            name = PUBLISHED if full else str(self._own("own-vgg-a", "a", self.spending.features))
            return face_features.load(name, self.device)

        return self.once("features", made)

    @property
    def classifier(self) -> tuple[Classes | None, Figure]:
        """What gives a face its classes for the VGGFace Score; None and why there is none."""
        return self.once("classifier", lambda: probes.classifier(self.device))

    def model(self, member: Member) -> Model:
        """A member's trained networks."""
        return state.load_model(self.trained(member), self.device)

    def corpus(self, model: Model, split: str = "test") -> Corpus:
        """A split as a model hears and sees it. Raises DataError for a split of one person."""
        corpus = evaluate.corpus_of(model, self.manifest, split, self.cache, self.device)
        if corpus.n_people < 2:
            raise DataError(f"{self.manifest}: split {split} has one person: nobody to tell them from")
        return corpus

    def faces(self, split: str, side: int) -> Corpus:
        """A split for its faces alone."""
        return data.load(pack.pack(self.manifest, split, _ANY_FRONT_END, side, self.cache), self.device)

    def report(self, member: Member, seconds: tuple[float, ...] = SECONDS, manifest: Path | None = None) -> Figure:
        """A generator's evaluation on split `test`; its files lie in the folder of the run."""
        run, told_on = self.trained(member), manifest or self.manifest

        def made() -> Figure:
            plan = Plan(runs=self.spending.runs, seconds=seconds, seed=self.seed)
            found, sheet = evaluate.evaluate(self.model(member), told_on, self.judge, plan, self.cache)
            evaluate.write(run, found, sheet, plan)
            return found

        return self.once(("report", run.name, seconds, told_on), made)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, made once in this process."""
        if key not in self._done:
            self._done[key] = make()
        made: T = self._done[key]
        return made


def _is_finished(run: Path, phases: int) -> bool:
    """Whether a run has no iterations left."""
    last = run / LAST
    return last.is_file() and place_of(last, state.read(last)[1]).phase >= phases


def _expect_same_people(manifest: Path, raw: Path) -> None:
    """Raise UsageError unless `raw` holds other data of the same people in the same splits."""
    if pack.digest_of(manifest) == pack.digest_of(raw):
        raise UsageError(f"--raw {raw} holds the data of --manifest: name the manifest of the unfiltered data")
    split_of, of_raw = ({row["identity_id"]: row["split"] for row in table.read_rows(p, ["identity_id", "split"])}
                        for p in (manifest, raw))  # fmt: skip
    both = sorted(set(split_of) & set(of_raw))
    moved = [person for person in both if split_of[person] != of_raw[person]]
    if moved or not both:
        found = f"{moved[0]} is in split {of_raw[moved[0]]}, not {split_of[moved[0]]}" if moved else "nobody is in both"
        raise UsageError(
            f"--raw {raw}: {found}; expected the same people in the same splits, so that nobody who was trained on is "
            "tested: `pipeline run --params params/filtered_vggface.yaml` makes it"
        )

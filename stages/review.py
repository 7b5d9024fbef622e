"""Keep each person's best pictures: those that people chose, or (`mode: auto`) the best by quality score."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from manifests.errors import UsageError
from manifests.schema import REVIEW, WHITEN, Table
from manifests.table import digest_of
from pipeline.quality import quality
from pipeline.review import decisions, gold
from pipeline.review.decisions import Verdict
from pipeline.stage import Context, Drop, Row, ShardStage


@dataclass(frozen=True, slots=True)
class Settings:
    """The `review` section of params.yaml."""

    mode: Literal["auto", "human"] = "auto"  # auto: the best by quality; human: only what a person decided to keep
    min_per_person: int = 3  # pictures; a person with fewer is left out
    max_per_person: int = 7  # pictures; the best of more

    def __post_init__(self) -> None:
        if not 1 <= self.min_per_person <= self.max_per_person:
            raise UsageError(
                f"review.min_per_person is {self.min_per_person} and review.max_per_person {self.max_per_person}; "
                "expected 1 <= min <= max"
            )


def judge(row: Row, verdict: Verdict | None, stale: bool, mode: str) -> Row | Drop:
    """One picture on its own: a candidate row with `quality` and `decided_by`, or why it is none.

    A person's word holds in both modes, and so does a person's doubt: the machine does not overrule `unsure`.
    """
    if verdict is None and mode == "human":
        return Drop("awaiting_review", detail="its decisions are about an earlier picture" if stale else None)
    if verdict is None or verdict.decision == "keep":
        return row | {"quality": quality(row), "decided_by": verdict.by if verdict else "auto"}
    detail = ", ".join(verdict.reasons) or None
    reasons = {"reject": "rejected_by_reviewer", "wrong_person": "wrong_person", "unsure": "awaiting_review"}
    return Drop(reasons[verdict.decision], detail=detail)


def choose(candidates: Sequence[Row], settings: Settings) -> dict[str, Row | Drop]:
    """row_id -> what becomes of it, for all candidates of one person.

    Pictures kept by people come before the machine's choice, then quality decides; equal quality goes by id.
    """
    order = sorted(candidates, key=lambda row: (row["decided_by"] == "auto", -row["quality"], row["row_id"]))
    kept, rest = order[: settings.max_per_person], order[settings.max_per_person :]
    results: dict[str, Row | Drop] = {
        row["row_id"]: Drop("not_among_best", place, settings.max_per_person)
        for place, row in enumerate(rest, start=len(kept) + 1)
    }
    if len(kept) < settings.min_per_person:
        few = Drop("too_few_kept", len(kept), settings.min_per_person)
        return results | {row["row_id"]: few for row in kept}
    ranked = sorted(kept, key=lambda row: (-row["quality"], row["row_id"]))
    return results | {row["row_id"]: row | {"rank": rank} for rank, row in enumerate(ranked, start=1)}


def review(
    rows: Sequence[Row], verdicts: Mapping[str, Verdict], stale: frozenset[str], settings: Settings
) -> list[Row | Drop]:
    """One result per row, in order; `stale` holds the sample ids whose decisions are about an earlier picture."""
    judged = [judge(row, verdicts.get(row["sample_id"]), row["sample_id"] in stale, settings.mode) for row in rows]
    people: dict[str, list[Row]] = defaultdict(list)
    for result in judged:
        if not isinstance(result, Drop):
            people[result["identity_id"]].append(result)
    chosen: dict[str, Row | Drop] = {}
    for candidates in people.values():
        chosen |= choose(candidates, settings)
    by_hand = Counter(r["identity_id"] for r in judged if not isinstance(r, Drop) and r["decided_by"] != "auto")
    full = {identity_id for identity_id, kept in by_hand.items() if kept >= settings.max_per_person}
    results = [r if isinstance(r, Drop) else chosen[r["row_id"]] for r in judged]
    return [_not_asked(r, settings) if row["identity_id"] in full else r for row, r in zip(rows, results, strict=True)]


def _not_asked(result: Row | Drop, settings: Settings) -> Row | Drop:
    """What waits for a person's word waits no more where enough pictures are kept already: no export asks about it."""
    if isinstance(result, Drop) and result.reason == "awaiting_review":
        return Drop("not_among_best", None, settings.max_per_person, "enough are kept")
    return result


def process(rows: Sequence[Row], settings: Settings, context: Context) -> list[Row | Drop]:
    """Apply the decisions and known answers that exist to the whitened pictures of some people."""
    decided = decisions.read(context.paths.review / decisions.FILE)
    answers = gold.read(context.paths.review / gold.FILE)
    shown = {row["sample_id"]: row["image_sha256"] for row in rows}
    located = [row | {"shard": row["_shard"], "row": row["_row"]} for row in rows]
    stale = frozenset(d.sample_id for d in decided if shown.get(d.sample_id) not in (None, d.shown_sha256))
    settled = decisions.verdicts(decided, shown) | gold.verdicts(answers, shown)
    return review(located, settled, stale, settings)


def fingerprint(rows: Sequence[Row], _settings: Settings, context: Context) -> str:
    """The digest of what was decided about these pictures: a new decision makes only their shard run again."""
    shown = {row["sample_id"] for row in rows}
    decided = decisions.read(context.paths.review / decisions.FILE)
    answers = gold.read(context.paths.review / gold.FILE)
    return digest_of(
        [
            [asdict(decision) for decision in decided if decision.sample_id in shown],
            [asdict(answer) for answer in answers if answer.sample_id in shown],
        ]
    )


def writes(_settings: Settings) -> Table:
    """The table this stage writes."""
    return REVIEW


def next_step(reasons: Mapping[str, int]) -> str | None:
    """What a person should do now, given the stage's drops by reason; None where nothing waits."""
    waiting = reasons.get("awaiting_review", 0)
    if not waiting:
        return None
    return (
        f"{waiting} pictures wait for a person's decision. Run `pipeline review-export`, decide, run `pipeline "
        "review-import FILE` with what comes back, then `dvc repro` again."
    )


STAGE = ShardStage("review", writes, Settings, process, reads=WHITEN, fingerprint=fingerprint, instant=True)

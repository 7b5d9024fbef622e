"""What each reviewer did, how fast, how right on known answers, and whether their measure shifts as they go on."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from pipeline.review.agreement import Words
from pipeline.review.decisions import DECISIONS, Decision, time_of

_SURE = 0.01  # p-value below which a shift is reported: with twenty reviewers, chance shows one every fifth time
_MATTERS = 0.1  # share; smaller shifts are not worth a talk
_FEWEST = 10  # people, pictures, known answers or repeats without which nothing is said
_WEAK = 0.8  # share of known answers or of repeats, below which a reviewer is named

Ordered = Sequence[Decision]  # one reviewer's last words, first to last


@dataclass(frozen=True, slots=True)
class Reviewer:
    """One reviewer's work; shares are None where nothing was counted."""

    name: str
    pictures: int  # tasks decided
    words: dict[str, int]  # by decision
    first: str | None  # ISO 8601
    last: str | None
    hours: float  # sum of the seconds spent on pictures
    median_s: float | None  # seconds per picture
    shared: int  # pictures that others decided as well
    agreed: float | None  # share of the others' decisions about them that are the same
    gold: int  # pictures with a known answer
    gold_right: float | None
    repeats: int  # pictures decided again in a later round
    repeats_same: float | None
    drifts: tuple[str, ...]  # sentences: what is worth a look


def measure(words: Words, people: Mapping[str, str], gold: Mapping[tuple[str, str], str]) -> tuple[Reviewer, ...]:
    """All reviewers by name; `people` is sample_id -> identity_id, `gold` as `gold.read` gives it."""
    mine: dict[str, list[Decision]] = defaultdict(list)
    for said in words.values():
        for name, decision in said.items():
            mine[name].append(decision)
    return tuple(_reviewer(name, in_time(mine[name]), words, people, gold) for name in sorted(mine))


def in_time(decisions: Sequence[Decision]) -> list[Decision]:
    """From first to last; as in the file where a line has no time."""
    if any(decision.at is None for decision in decisions):
        return list(decisions)
    return sorted(decisions, key=lambda decision: time_of(decision.at or ""))


def _reviewer(
    name: str,
    said: Ordered,
    words: Words,
    people: Mapping[str, str],
    gold: Mapping[tuple[str, str], str],
) -> Reviewer:
    counts = Counter(decision.decision for decision in said)
    seconds = [decision.seconds for decision in said if decision.seconds is not None]
    times = [decision.at for decision in said if decision.at is not None]
    others = [other for decision in said for other in _others(decision, words)]
    known = [gold[d.sample_id, d.shown_sha256] == d.decision for d in said if (d.sample_id, d.shown_sha256) in gold]
    again = repeats(said)
    same = [mine.decision == other.decision for mine, other in others]
    found = (keep_trend(said, people), strictness(others), agreement_trend(others), _weak(known, again))
    return Reviewer(
        name=name,
        pictures=len(said),
        words={word: counts[word] for word in DECISIONS},
        first=min(times, key=time_of, default=None),
        last=max(times, key=time_of, default=None),
        hours=round(sum(seconds) / 3600, 4),
        median_s=round(median(seconds), 3) if seconds else None,
        shared=len({mine.task_id for mine, _ in others}),
        agreed=_share(same),
        gold=len(known),
        gold_right=_share(known),
        repeats=len(again),
        repeats_same=_share(again),
        drifts=tuple(sentence for sentences in found for sentence in sentences),
    )


def _others(decision: Decision, words: Words) -> list[tuple[Decision, Decision]]:
    """The decision beside each other reviewer's about the same task."""
    said = words[decision.task_id]
    return [(decision, said[name]) for name in sorted(said) if name != decision.reviewer]


def _share(hits: Sequence[bool]) -> float | None:
    return round(sum(hits) / len(hits), 6) if hits else None


def repeats(said: Ordered) -> list[bool]:
    """For each picture decided again in a later round: whether the reviewer said the same as the time before."""
    before: dict[tuple[str, str], str] = {}
    same: list[bool] = []
    for decision in sorted(said, key=lambda decision: decision.round):
        picture = decision.sample_id, decision.shown_sha256
        if picture in before:
            same.append(before[picture] == decision.decision)
        before[picture] = decision.decision
    return same


def keep_trend(said: Ordered, people: Mapping[str, str]) -> list[str]:
    """Whether the kept share moves as the reviewer goes from person to person (Kendall's test of trend)."""
    from scipy import stats

    kept: dict[str, list[bool]] = defaultdict(list)  # a person is one unit: their pictures resemble each other
    for decision in said:
        if decision.sample_id in people:
            kept[people[decision.sample_id]].append(decision.decision == "keep")
    shares = [sum(hits) / len(hits) for hits in kept.values()]
    if len(shares) < 2 * _FEWEST or len(set(shares)) == 1:
        return []
    early, late = (sum(half) / len(half) for half in _halves(shares))
    if abs(late - early) < _MATTERS or stats.kendalltau(range(len(shares)), shares).pvalue >= _SURE:
        return []
    return [f"keeps {'more' if late > early else 'fewer'} as time goes on: {early:.0%} at first, {late:.0%} later"]


def strictness(others: Sequence[tuple[Decision, Decision]]) -> list[str]:
    """Whether, where reviewers differ about keeping, this one mostly leans to one side (sign test)."""
    from scipy import stats

    more = sum(mine.decision == "keep" and other.decision != "keep" for mine, other in others)
    fewer = sum(mine.decision != "keep" and other.decision == "keep" for mine, other in others)
    differ = more + fewer
    if differ < _FEWEST or differ < _MATTERS * len(others) or stats.binomtest(more, differ).pvalue >= _SURE:
        return []
    word, side = ("milder", "kept") if more > fewer else ("stricter", "did not keep")
    return [f"{word} than others: {side} {max(more, fewer)} of the {differ} pictures on which they differ"]


def agreement_trend(others: Sequence[tuple[Decision, Decision]]) -> list[str]:
    """Whether the reviewer agrees less with the others in the later half (Fisher's exact test)."""
    from scipy import stats

    early, late = _halves([mine.decision == other.decision for mine, other in others])
    if len(early) < _FEWEST:
        return []
    before, after = sum(early) / len(early), sum(late) / len(late)
    table = [[sum(early), len(early) - sum(early)], [sum(late), len(late) - sum(late)]]
    if before - after < _MATTERS or stats.fisher_exact(table).pvalue >= _SURE:
        return []
    return [f"agrees less as time goes on: {before:.0%} at first, {after:.0%} later"]


def _halves(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    middle = len(values) // 2
    return values[:middle], values[middle:]


def _weak(known: Sequence[bool], again: Sequence[bool]) -> list[str]:
    named = (("right on {:.0%} of {} known answers", known), ("says the same on {:.0%} of {} repeats", again))
    return [
        words.format(sum(hits) / len(hits), len(hits))
        for words, hits in named
        if len(hits) >= _FEWEST and sum(hits) / len(hits) < _WEAK
    ]

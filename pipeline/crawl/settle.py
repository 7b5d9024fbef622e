"""Judge what is known of listed rows, without a byte of any picture: which answers still hold, and what is kept."""

from collections.abc import Callable, Sequence

from manifests.removals import REMOVED, Removals
from pipeline.crawl.politeness import FetchLimits
from pipeline.crawl.record import Facts, Record
from pipeline.names import sample_id
from pipeline.stage import FAILED, UNREADABLE_FILE, Drop, Row


def not_asked(row: Row, removed: Removals) -> Drop | None:
    """Why a listed row is not asked for at all."""
    if row["fault"]:
        return Drop(row["fault"], detail=row["fault_detail"])
    if removed.blocks(row["identity_id"], row["source"]):
        return Drop(REMOVED, detail="the person or the address")
    return None


def judged(facts: Facts, limits: FetchLimits, removed: Removals) -> Facts | Drop:
    """A picture under the limits and removals of today."""
    if removed.blocks(sha256=facts.sha256):
        return Drop(REMOVED, detail="the content")
    if facts.bytes > limits.max_bytes:
        return Drop("too_large", facts.bytes, limits.max_bytes)
    if facts.width * facts.height > limits.max_pixels:
        detail = f"{facts.width} x {facts.height} pixels; at most {limits.max_pixels}"
        return Drop("too_many_pixels", limit=limits.max_pixels, detail=detail)
    return facts


def still_holds(record: Record, limits: FetchLimits, allow_private: bool, local: str | None) -> bool:
    """Whether an earlier answer is that of today: it was judged by the same limits, on the same local file."""
    known = record.trace.local if record.trace else record.facts and record.facts.sha256
    if local != known and (local is not None or record.trace is not None):
        return False
    drop = record.drop
    if drop is None:
        return True
    by_limit = {
        "too_large": limits.max_bytes,
        "too_many_pixels": limits.max_pixels,
        "too_many_redirects": limits.max_redirects,
    }
    if drop.reason in by_limit:
        return drop.limit == by_limit[drop.reason]
    if drop.reason == "private_address":
        return not allow_private
    return drop.reason not in (FAILED, UNREADABLE_FILE)


def settle(
    rows: Sequence[Row], record_of: Callable[[str], Record | None], limits: FetchLimits, removed: Removals
) -> list[Facts | Drop]:
    """One result for each listed row, in order; the same bytes twice for one person are kept under the first row."""
    results: list[Facts | Drop] = []
    first: dict[str, str] = {}  # sample_id: row_id
    for row in rows:
        result: Facts | Drop | None = not_asked(row, removed)
        if result is None:
            record = record_of(row["row_id"])
            result = record.result if record else Drop(FAILED, detail="no answer was written down")
        if isinstance(result, Facts):
            result = judged(result, limits, removed)
        if isinstance(result, Facts):
            sample = sample_id(row["identity_id"], result.sha256)
            if first.setdefault(sample, row["row_id"]) != row["row_id"]:
                result = Drop("duplicate", detail=f"the same bytes as row {first[sample]}")
        results.append(result)
    return results

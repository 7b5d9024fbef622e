"""How large the galleries may be that matching is trained with: the right one and strangers of the same batch."""

from manifests.errors import DataError, UsageError


def expect_batch(candidates: int, batch: int) -> None:
    """Raise UsageError where a batch, or a process's share of one, cannot hold a gallery."""
    if not 2 <= candidates <= batch:
        raise UsageError(
            f"{candidates} candidates, and {batch} voices and faces in a batch of each process: expected 2 candidates "
            "or more, and a batch as large; change --set candidates, or the batch"
        )


def expect_people(candidates: int, people: int) -> None:
    """Raise DataError for fewer training people than a gallery shows: it shows nobody twice."""
    if people < candidates:
        raise DataError(
            f"{people} training people: a gallery of {candidates} needs as many; take a manifest of more, or lower "
            "--set candidates"
        )

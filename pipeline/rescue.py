"""Finish a shard whose worker died: find by bisection the rows that end every process they are given to.

They become drops; the other rows of the shard are done as if those had not been there. What died of something else
(a worker was killed by hand, its machine went away) is simply done again.
"""

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from manifests.errors import HqvoxError
from pipeline import deadline
from pipeline.engine import Died, started
from pipeline.shard import Outcome, Task, rehearse, row_ids, run_task
from pipeline.stage import CRASHED, KILLED, TIMED_OUT, Drop


def rescue(task: Task) -> Outcome:
    """Do a shard, each try in a process of its own, without the rows that no process survives.

    Raises HqvoxError where processes die and no row is to blame.
    """
    outcome = _alone(task)
    if not isinstance(outcome, Died):
        return outcome
    rows = culprits(row_ids(task), partial(_death_over, task))
    quarantined = {row: death(exit_code, task.context.max_row_s) for row, exit_code in rows.items()}
    outcome = _alone(replace(task, quarantined=quarantined))
    if isinstance(outcome, Died):
        raise HqvoxError(
            f"stage {task.stage.name}: every process dies over {task.shard} ({_signal(outcome.exit_code)}), and no row "
            "of it alone is to blame. Where memory is short, try fewer --workers or more `run.buckets`; finished "
            "shards are kept"
        )
    return outcome


def culprits(rows: Sequence[str], death_over: Callable[[Sequence[str]], int | None]) -> dict[str, int]:
    """The rows that kill a process alone, with its exit code; `death_over` tries some rows in one process."""
    exit_code = death_over(rows) if rows else None
    if exit_code is None:
        return {}
    if len(rows) == 1:
        return {rows[0]: exit_code}
    half = len(rows) // 2
    return culprits(rows[:half], death_over) | culprits(rows[half:], death_over)


def death(exit_code: int, max_row_s: float) -> Drop:
    """The drop of a row that ended its process, from the exit code."""
    if exit_code == -deadline.SIGNAL:
        return Drop(TIMED_OUT, limit=max_row_s, detail="not done within `run.max_row_s`")
    if exit_code == -signal.SIGKILL:
        return Drop(KILLED, detail="its process was killed, as the kernel does where memory runs out")
    return Drop(CRASHED, detail=f"its process ended by {_signal(exit_code)}")


def _signal(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    return signal.Signals(-exit_code).name


def _alone(task: Task) -> Outcome | Died[Task]:
    worker = started()
    outcome = worker.call(run_task, task)
    if not isinstance(outcome, Died):
        worker.close()
    return outcome


def _death_over(task: Task, rows: Sequence[str]) -> int | None:
    """The exit code of a process that died over these rows; None where it lives."""
    worker = started()
    answer = worker.call(_rehearse, (task, frozenset(rows)))
    if isinstance(answer, Died):
        return answer.exit_code
    worker.close()
    return None


def _rehearse(what: tuple[Task, frozenset[str]]) -> None:
    rehearse(*what)

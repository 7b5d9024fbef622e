"""`python -m tests.faults.toy_command WORKERS SECONDS`: the toy stages as a command, in the current folder.

Every row takes SECONDS to score, so that there is a middle to be killed in. The file `log` gets a line per scored
row, and `pids` the process that scores it. Paths are relative, so that any folder gets the same bytes.
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from manifests.errors import HqvoxError
from pipeline.run import run_stage
from pipeline.stage import Row
from tests.pipeline.toy import NUMBER_STAGE, SQUARE_STAGE, Scoring, params, score

PEOPLE, SHARDS = 12, 6


def slow_score(row: Row, scoring: Scoring) -> Row:
    with Path("pids").open("a") as pids:
        pids.write(f"{os.getpid()}\n")
    time.sleep(float(Path("pace").read_text()))
    return score(row, scoring)


def main(workers: int) -> None:
    chosen = params(Path(), buckets=SHARDS, log="log", max_square=10**6)
    chosen.stages["numbers"] = {"people": PEOPLE}
    run_stage(NUMBER_STAGE, chosen, workers)
    run_stage(replace(SQUARE_STAGE, score=slow_score), chosen, workers)


if __name__ == "__main__":
    Path("pace").write_text(sys.argv[2])
    try:
        main(int(sys.argv[1]))
    except HqvoxError as error:
        sys.exit(f"error: {error}")

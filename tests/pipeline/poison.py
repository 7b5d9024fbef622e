"""Toy stages with rows that end the process they are given to, and the time it takes to find that out."""

import os
import signal
import time
from dataclasses import replace

from pipeline.stage import Context, Drop, Row
from tests.pipeline.toy import NUMBER_STAGE, SQUARE_STAGE, Limits, Listing, Scoring, make_numbers, render, score

CRASHES, IS_KILLED, HANGS, EXITS = 12, 21, 30, 42  # values of the toy's numbers


def deadly(row: Row) -> None:
    """What a broken decoder may do over a hostile file."""
    match row["value"]:
        case 12:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 21:
            os.kill(os.getpid(), signal.SIGKILL)
        case 30:
            time.sleep(600)
        case 42:
            os._exit(7)


def score_deadly(row: Row, scoring: Scoring) -> Row:
    deadly(row)
    return score(row, scoring)


def render_deadly(row: Row, scores: Row, limits: Limits) -> Row:
    deadly(row)
    return render(row, scores, limits)


def make_deadly(rows: list[Row], settings: Listing, context: Context) -> list[Row | Drop]:
    made: list[Row | Drop] = []
    for row in rows:
        deadly(row)
        made += make_numbers([row], settings, context)
    return made


SCORE_DEADLY = replace(SQUARE_STAGE, score=score_deadly)
RENDER_DEADLY = replace(SQUARE_STAGE, render=render_deadly)
MAKE_DEADLY = replace(NUMBER_STAGE, process=make_deadly)

"""How errors end a command: one message, the exit code of their kind, and quiet where nobody listens any more."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFUSED = """
import click
from manifests.command import exit_codes
from manifests.errors import DataError

@click.command()
@exit_codes
def main():
    print("running", flush=True)
    raise DataError("row \\x1b[31m7 is broken")

main()
"""


def started(rank: str | None) -> "subprocess.Popen[str]":
    others = {name: value for name, value in os.environ.items() if name != "RANK"}
    return subprocess.Popen(
        [sys.executable, "-c", REFUSED], cwd=ROOT, env=others | ({} if rank is None else {"RANK": rank}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("rank", [None, "0", "1"])
def test_an_error_is_one_line_and_its_exit_code(rank: str | None) -> None:
    """Under torchrun too, where a process that fails alone is not the first one."""
    process = started(rank)
    told = process.communicate(timeout=60)[1]
    assert (told, process.returncode) == ("error: row \ufffd[31m7 is broken\n", 3)


def test_under_torchrun_what_the_first_process_told_is_not_told_again() -> None:
    process = started("1")
    assert process.stdout is not None and process.stdout.readline() == "running\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)  # as torchrun does when the first has ended
    told = process.communicate(timeout=60)[1]
    assert (told, process.returncode) == ("", 3)


def test_output_that_nobody_reads_any_more_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "models.cli", "list"],
            cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (done.stderr, done.returncode) == ("", 1)

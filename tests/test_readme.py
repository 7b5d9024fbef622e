"""The README cannot go stale: its help is the command's, and it knows every verb, stage and weight file."""

import re
import subprocess
import sys
from pathlib import Path

from click import Command, Context, Group

from manifests import weights
from stages import STAGES
from stages.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def verbs(command: Command, prefix: str = "pipeline") -> list[str]:
    if not isinstance(command, Group):
        return [prefix]
    return [verb for name, child in command.commands.items() for verb in verbs(child, f"{prefix} {name}")]


def test_the_help_in_the_readme_is_the_commands_own() -> None:
    """Rewrite it with `python tests/test_readme.py`."""
    block = re.search(r"<!-- help -->\n```text\n(.*?)```\n<!-- /help -->", README, re.DOTALL)
    assert block is not None
    assert block[1] == _help()


def _help() -> str:
    return main.get_help(Context(main, info_name="pipeline", terminal_width=100)) + "\n"


def test_every_verb_has_help_of_its_own() -> None:
    found = verbs(main)
    assert len(found) == 13
    for verb in found:
        done = subprocess.run(
            [sys.executable, "-m", "stages.cli", *verb.split()[1:], "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(done.stdout.splitlines()) >= 5, verb


def test_every_stage_is_in_the_stage_table() -> None:
    assert re.findall(r"^\| `(\w+)` \|.*\|.*\|.*\|$", README, re.MULTILINE) == list(STAGES)


def test_every_weight_file_is_named() -> None:
    assert len(weights.entries()) >= 8
    assert all(f"`{entry.name}`" in README for entry in weights.entries())


def test_every_file_the_readme_speaks_of_is_there() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)|`((?:params|pipeline|manifests|docs)/[\w/.]+\.\w+)`", README)
    files = [a or b for a, b in named]
    assert len(files) >= 6
    assert not [name for name in files if not (ROOT / name).exists()]


if __name__ == "__main__":
    text = re.sub(
        r"(<!-- help -->\n```text\n).*?(```\n<!-- /help -->)", lambda m: m[1] + _help() + m[2], README, flags=re.DOTALL
    )
    (ROOT / "README.md").write_text(text, encoding="utf-8")

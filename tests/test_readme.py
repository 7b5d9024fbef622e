"""The README cannot go stale: its help is the command's, and it knows every verb, stage and weight file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click import Command, Group

from manifests import weights
from models.cli import main as models
from stages import STAGES
from stages.cli import main as pipeline

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


COMMANDS = {"pipeline": pipeline, "models": models}


def verbs(command: Command, prefix: str) -> list[str]:
    if not isinstance(command, Group):
        return [prefix]
    return [verb for name, child in command.commands.items() for verb in verbs(child, f"{prefix} {name}")]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_in_the_readme_is_the_commands_own(name: str) -> None:
    """Rewrite it with `python -m tests.test_readme`."""
    block = re.search(_block(name), README, re.DOTALL)
    assert block is not None
    assert block[2] == _help(name)


def _block(name: str) -> str:
    return rf"(<!-- help {name} -->\n```text\n)(.*?)(```\n<!-- /help -->)"


def _help(name: str) -> str:
    with COMMANDS[name].make_context(name, [], resilient_parsing=True, terminal_width=100) as context:
        return COMMANDS[name].get_help(context) + "\n"


@pytest.mark.parametrize(("name", "module", "count"), [("pipeline", "stages.cli", 19), ("models", "models.cli", 11)])
def test_every_verb_has_help_of_its_own(name: str, module: str, count: int) -> None:
    found = verbs(COMMANDS[name], name)
    assert len(found) == count
    for verb in found:
        done = subprocess.run(
            [sys.executable, "-m", module, *verb.split()[1:], "--help"],
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
    text = README
    for command in COMMANDS:
        text = re.sub(_block(command), rf"\g<1>{_help(command)}\g<3>", text, flags=re.DOTALL)
    (ROOT / "README.md").write_text(text, encoding="utf-8")

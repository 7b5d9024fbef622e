"""What the two commands share: how errors end them, and the order their verbs are listed in."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from manifests.errors import HqvoxError

P = ParamSpec("P")
T = TypeVar("T")


def exit_codes(command: Callable[P, T]) -> Callable[P, T]:
    """Turn errors that a user can act on into one message and the exit code of their kind."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except HqvoxError as error:
            click.echo(f"error: {_printable(error)}", err=True)
            sys.exit(error.exit_code)
        except OSError as error:
            click.echo(
                f"error: {_printable(error)}. Check that the place exists, is not full and may be written to", err=True
            )
            sys.exit(3)
        except ImportError as error:
            if error.name and error.name.split(".")[0] in ("manifests", "models", "pipeline", "stages"):
                raise
            click.echo(
                f"error: {error}. This needs more than the core packages; in the checkout: pip install -c "
                "constraints.txt -e '.[pipeline]'. Where a library such as libGL.so.1 is missing: apt-get install "
                "libgl1 libglib2.0-0",
                err=True,
            )
            sys.exit(4)

    return wrapped


def _printable(error: Exception) -> str:
    """An error's words, without the control characters by which a name in them could steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(error))


class Group(click.Group):
    """A group whose commands list in the order they are defined, which is the order of work."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Names in that order."""
        return list(self.commands)

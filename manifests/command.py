"""What the two commands share: how errors end them, and the order their verbs are listed in."""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

import click

from manifests.errors import HqvoxError

P = ParamSpec("P")
T = TypeVar("T")
_SPEAKS_UP_S = 3.0


def exit_codes(command: Callable[P, T]) -> Callable[P, T]:
    """Turn errors that a user can act on into one message and the exit code of their kind."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except HqvoxError as error:
            _end(_printable(error), error.exit_code)
        except BrokenPipeError:  # whoever read our output has enough: click ends without a word
            raise
        except OSError as error:
            _end(f"{_printable(error)}. Check that the place exists, is not full and may be written to", 3)
        except ImportError as error:
            if error.name and error.name.split(".")[0] in ("manifests", "models", "pipeline", "stages"):
                raise
            _end(
                f"{error}. This needs more than the core packages; in the checkout: pip install -c "
                "constraints.txt -e '.[pipeline]'. Where a library such as libGL.so.1 is missing: apt-get install "
                "libgl1 libglib2.0-0",
                4,
            )

    return wrapped


def _end(message: str, exit_code: int) -> NoReturn:
    """Tell an error and end. Under torchrun, where most errors are every process's, the first one tells it.

    The others speak up only if they are still there after a while: torchrun ends them once the first one has ended.
    """
    if os.environ.get("RANK", "0") != "0":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(exit_code))
        time.sleep(_SPEAKS_UP_S)
    click.echo(f"error: {message}", err=True)
    sys.exit(exit_code)


def _printable(error: Exception) -> str:
    """An error's words, without the control characters by which a name in them could steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(error))


class Group(click.Group):
    """A group whose commands list in the order they are defined, which is the order of work."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Names in that order."""
        return list(self.commands)

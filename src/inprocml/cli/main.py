"""From arguments to an exit code: 0 done, 1 refused, 2 not understood.

Results go to stdout, errors in one sentence to stderr; what is ours to raise never shows a traceback.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence

from inprocml import __version__
from inprocml.cli import bundles, check, drift, keys, moves, predict, sizing, versions
from inprocml.cli.output import Commands, plain
from inprocml.errors import InprocmlError

__all__ = ["main"]

_GROUPS: tuple[Callable[[Commands], None], ...] = (
    versions.declare,
    moves.declare,
    bundles.declare,
    keys.declare,
    check.declare,
    sizing.declare,
    predict.declare,
    drift.declare,
)
"""One line a group; each declares its commands with the function that runs them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` default to those of the process. Returns the exit code.

    ``SystemExit`` comes from ``argparse`` alone: 2 for arguments that it does not know, 0 for ``--help``.
    """
    parser = argparse.ArgumentParser(prog="inprocml", description="Versions of models, on the command line.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for declare in _GROUPS:
        declare(commands)
    given = parser.parse_args(arguments)
    try:
        code = _run(given)
    except InprocmlError as error:
        return _refused(error, 1)
    except ValueError as error:  # an argument that only the store could judge
        return _refused(error, 2)
    except BrokenPipeError:  # the reader has seen enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _refused(_told(error), 1)
    except KeyboardInterrupt:
        return 130
    return code


def _run(given: argparse.Namespace) -> int:
    if sys.stdout is None:  # closed by `>&-`: the next file opened would get its number, and the results
        raise OSError(errno.EBADF, "it is closed", "stdout")
    code: int = given.run(given)
    sys.stdout.flush()
    return code


def _told(error: OSError) -> OSError:
    """Return the error as what, where and what to do now."""
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    remedies = {
        FileNotFoundError: "Give the path of a file that is there.",
        IsADirectoryError: "Give a file, not a folder.",
        PermissionError: "Give this user the right to it, or another path.",
    }
    return OSError(f"{where}{error.strerror or error}. {remedies.get(type(error), 'Mend it and try again.')}")


def _refused(error: Exception, code: int) -> int:
    if sys.stderr is not None:
        sys.stderr.write(f"inprocml: {plain(str(error))}\n")
    return code

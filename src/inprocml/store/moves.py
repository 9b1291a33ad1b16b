"""Moving an alias: what the next entry of the history says, and writing it where nobody else has.

Whoever moves reads the last entry, composes the next and makes it appear under the next number. Two who
do so at once want the same number; one gets it, and the other reads again, so no move is lost and none is
decided on a state that has passed. There is no lock to be left behind.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from inprocml.durable import link_new, sweep, sync_folder
from inprocml.errors import BundleError
from inprocml.schema.sound import first_issue
from inprocml.sources.history import HISTORY, Entry, Target, Trial, entry_name
from inprocml.sources.moves import last_move

__all__ = ["Move", "myself", "write_move"]


@dataclass(frozen=True, slots=True)
class Move:
    """What is to happen to one alias: ``target`` is what it will mean, a trial's candidate, or None."""

    action: Literal["move", "rollback", "remove", "trial"]
    alias: str
    target: Target | None

    def state(self, last: Entry | None) -> tuple[dict[str, Target], dict[str, Trial]]:
        """Return all aliases and trials as they will be; ``last`` is the entry before."""
        aliases = dict(last.aliases) if last else {}
        trials = dict(last.trials) if last else {}
        if self.target is None:
            aliases.pop(self.alias, None)
            trials.pop(self.alias, None)
        elif isinstance(self.target, Trial):
            trials[self.alias] = self.target
        else:
            left = aliases.get(self.alias)
            aliases[self.alias] = self.target
            tried = trials.get(self.alias)
            if tried and (tried.version, tried.digest) == (self.target.version, self.target.digest):
                del trials[self.alias]  # the candidate has become what the alias means
            if self.action == "rollback" and left is not None:
                # taken back by a person: no process that tries candidates may let it in again
                trials.setdefault(self.alias, Trial(version=left.version, digest=left.digest, share=0.0))
        return aliases, trials


def write_move(
    store: Path,
    compose: Callable[[Entry | None], Move | None],
    *,
    who: str,
    why: str,
    clock: Callable[[], float],
) -> Entry | None:
    """Append the move that ``compose`` makes of the last entry and return its entry; None for no move.

    ``clock`` gives seconds since 1970. ``compose`` is asked again when another writer was faster. Raises
    what it raises, ``ValueError`` for texts that an entry cannot hold, ``Corrupt`` for a damaged last entry
    and ``BundleError`` for a disk that refuses or has no hard links.
    """
    folder = store / HISTORY
    while True:
        last, digest = last_move(store)
        move = compose(last)
        if move is None:
            return None
        entry = _entry(move, last, digest, who=who, why=why, now=clock())
        try:
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                sync_folder(store)
            sweep(folder)
            if link_new(folder / entry_name(entry.serial), entry.to_json()):
                return entry
        except OSError as error:
            raise BundleError(
                f"{folder} cannot be written ({error.strerror or error}). Mend the disk or its permissions "
                "and move the alias again; it means what it meant."
            ) from error


def _entry(move: Move, last: Entry | None, digest: str | None, *, who: str, why: str, now: float) -> Entry:
    aliases, trials = move.state(last)
    when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    try:
        entry = Entry(
            serial=last.serial + 1 if last else 1,
            previous=digest,
            when=max(when, last.when) if last else when,  # the clocks of two hosts differ; time goes on
            who=who,
            why=why,
            action=move.action,
            alias=move.alias,
            aliases=aliases,
            trials=trials,
        )
        entry.to_json()  # lone surrogates are text to Python, and have no bytes
    except ValidationError as error:
        raise ValueError(f"this move cannot be written down: {first_issue(error)}") from error
    except UnicodeEncodeError as error:
        raise ValueError("who and why must be text that has a form in UTF-8") from error
    return entry


def myself() -> str:
    """Return ``user@host`` of this process; a number where the user has no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user is in no list
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:256]

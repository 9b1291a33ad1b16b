"""Where the processes of a model agree on a candidate: the history of the store whose alias they follow.

Whoever decides enters it; all look at every poll. What cannot be entered (a store that is read-only, remote,
or not followed by alias) holds in the one process that decided.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from inprocml.protocols import Source
from inprocml.serving import Decision, Servable
from inprocml.sources import Directory
from inprocml.sources.history import Entry, Target, Trial
from inprocml.store.moves import Move, myself, write_move

__all__ = ["Board"]

_log = logging.getLogger("inprocml")


class Board:
    """The trial entered for ``alias`` of ``source``; nothing is ever read or written without an alias."""

    def __init__(self, source: Source, alias: str | None) -> None:
        self._store = source if isinstance(source, Directory) and alias is not None else None
        self._alias = alias or ""
        self._told = False

    def read(self) -> Trial | None:
        """Return what is entered now; raises as the source does."""
        entry = None if self._store is None else self._store.newest_entry()
        return None if entry is None else entry.trials.get(self._alias)

    def enter(
        self, candidate: Servable, serving: Servable, decision: Decision, *, known: float | None
    ) -> float | None:
        """Enter a decision unless another stands above it; return the candidate's share on record then.

        0.0 means taken back: what one process found out holds for all. ``known`` is the share last seen on
        record: a record that is gone was ended by a person. None where nothing can be entered: that is told
        once, and tried again with the next decision; each process then decides for itself.
        """
        if self._store is None:
            return None
        try:
            return self._write(self._store.path, candidate, serving, decision, known)
        except Exception as error:  # noqa: BLE001 - the decision holds here, whatever the disk says
            if not self._told:
                self._told = True
                _log.warning(
                    "model %s: decisions about candidates cannot be entered in %r, so each process decides "
                    "for itself: %s",
                    candidate.name,
                    self._store,
                    error,
                )
            return None

    def _write(
        self, store: Path, candidate: Servable, serving: Servable, decision: Decision, known: float | None
    ) -> float | None:

        new, old = (Target(version=one.version, digest=one.digest) for one in (candidate, serving))
        result: float | None = None

        def compose(last: Entry | None) -> Move | None:
            nonlocal result
            if decision.action == "roll_back":
                result = 0.0
                return self._taken_back(last, new, old)
            result, move = self._let_in(last, new, decision, known)
            return move

        write_move(store, compose, who=myself(), why=decision.reason[:4096], clock=time.time)
        return result

    def _taken_back(self, last: Entry | None, new: Target, old: Target) -> Move | None:
        """Return the move that takes ``new`` back, even where another let it take over a moment ago."""
        meant, share = self._now(last, new)
        if meant == new:
            return Move("rollback", self._alias, old)
        if meant is None or share == 0.0:
            return None
        return Move("trial", self._alias, Trial(version=new.version, digest=new.digest, share=0.0))

    def _let_in(
        self, last: Entry | None, new: Target, decision: Decision, known: float | None
    ) -> tuple[float | None, Move | None]:
        """Return the share that ``new`` then has on record, and the move that makes it so, if one is due."""
        meant, share = self._now(last, new)
        if meant == new:
            return 1.0, None  # another was faster
        if share == 0.0 or (share is None and known is not None):
            return 0.0, None
        if meant is None:
            return None, None
        if decision.action == "finish":
            return 1.0, Move("move", self._alias, new)
        if share is not None and (decision.action == "begin" or share == decision.share):
            return share, None
        trial = Trial(version=new.version, digest=new.digest, share=decision.share)
        return decision.share, Move("trial", self._alias, trial)

    def _now(self, last: Entry | None, new: Target) -> tuple[Target | None, float | None]:
        """Return what the alias means, and the share that is on record for ``new``."""
        if last is None:
            return None, None
        entered = last.trials.get(self._alias)
        share = entered.share if entered is not None and entered.digest == new.digest else None
        return last.aliases.get(self._alias), share

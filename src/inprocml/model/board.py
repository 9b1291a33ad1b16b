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
        self._refused = False

    @property
    def shared(self) -> bool:
        """Whether decisions are on record for other processes."""
        return self._store is not None and not self._refused

    def read(self) -> Trial | None:
        """Return what is entered now; raises as the source does."""
        entry = None if self._store is None else self._store.newest_entry()
        return None if entry is None else entry.trials.get(self._alias)

    def enter(self, candidate: Servable, decision: Decision) -> bool:
        """Enter a decision, unless another stands above it; whether it may be acted on.

        A ``finish`` moves the alias itself. False where the candidate was taken back meanwhile: what one
        process found out holds for all. A store that cannot be written is told of once: each then decides for
        itself.
        """
        if self._store is None or self._refused:
            return True
        try:
            return self._write(self._store.path, candidate, decision)
        except Exception as error:  # noqa: BLE001 - the decision holds here, whatever the disk says
            self._refused = True
            _log.warning(
                "model %s: decisions about candidates cannot be entered in %r, so each process decides for "
                "itself: %s",
                candidate.name,
                self._store,
                error,
            )
            return True

    def _write(self, store: Path, candidate: Servable, decision: Decision) -> bool:
        stands = True

        def compose(last: Entry | None) -> Move | None:
            nonlocal stands
            entered = None if last is None else last.trials.get(self._alias)
            if entered is None or entered.digest != candidate.digest:
                entered = None
            stands = decision.action == "roll_back" or entered is None or entered.share > 0.0
            bundle = {"version": candidate.version, "digest": candidate.digest}
            if not stands:
                return None
            if decision.action == "finish":
                return Move("move", self._alias, Target(**bundle))
            if entered is not None and (decision.action == "begin" or entered.share == decision.share):
                return None
            return Move("trial", self._alias, Trial(**bundle, share=decision.share))

        write_move(store, compose, who=myself(), why=decision.reason[:4096], clock=time.time)
        return stands

"""Predictions in a SQLite file: shared by the processes of a host, there after a restart or a kill."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from inprocml.native import lock_maker
from inprocml.values import Remembered

__all__ = ["SqliteStore"]

_SWEPT = 10_000  # rows a call: a writer holds the file for some milliseconds
_TABLE = (
    "CREATE TABLE IF NOT EXISTS inprocml_predictions (model TEXT NOT NULL, id TEXT NOT NULL, "
    "made_at REAL NOT NULL, score REAL NOT NULL, choice INTEGER NOT NULL, slices INTEGER NOT NULL, "
    "joined_at REAL, PRIMARY KEY (model, id)) WITHOUT ROWID"
)
_INDEX = "CREATE INDEX IF NOT EXISTS inprocml_predictions_made_at ON inprocml_predictions (model, made_at)"
_KEEP = "INSERT OR IGNORE INTO inprocml_predictions VALUES (?, ?, ?, ?, ?, ?, NULL)"
_CLAIM = (
    "UPDATE inprocml_predictions SET joined_at = ? WHERE model = ? AND id = ? AND joined_at IS NULL "
    "RETURNING made_at, score, choice, slices"
)
_LOOK = "SELECT made_at, score, choice, slices FROM inprocml_predictions WHERE model = ? AND id = ?"
_SWEEP = (
    "DELETE FROM inprocml_predictions WHERE model = ? AND id IN "
    "(SELECT id FROM inprocml_predictions WHERE model = ? AND made_at < ? ORDER BY made_at LIMIT ?)"
)
_inherited: list[sqlite3.Connection] = []  # never closed: that would drop the locks of the parent's process


class SqliteStore:
    """A ``PredictionStore`` in one file, made when first used (0600); several models may share it.

    ``model`` names the model and version whose predictions these are. ``largest`` bounds the file, in bytes:
    a full one refuses predictions, which then stay in memory. ``patience``: seconds to wait for another
    writer. WAL with ``synchronous=NORMAL``: a killed process loses nothing that was remembered, a machine
    that loses its power at most the last moments. The folder must exist, on a local disk. Methods raise
    ``sqlite3.Error``; who calls them counts that.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, model: str, largest: int = 2**30, patience: float = 1.0
    ) -> None:
        self._path = Path(path)
        self._model = model
        self._largest = largest
        self._patience = patience
        self._lock = lock_maker()()
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()

    def remember(self, predictions: Sequence[Remembered]) -> None:
        """Keep all of them in one transaction, or raise and keep none."""
        rows = [(self._model, each.id, each.at, each.score, each.choice, each.slices) for each in predictions]
        with self._transaction() as connection:
            connection.executemany(_KEEP, rows)

    def join(self, id: str, at: float) -> Remembered | None:  # noqa: A002 - as the protocol says
        """Return the prediction and mark it; None where it is not kept. One caller is the first."""
        with self._transaction() as connection:
            claimed = connection.execute(_CLAIM, (at, self._model, id)).fetchone()
            if claimed is not None:
                return Remembered(id, *claimed)
            found = connection.execute(_LOOK, (self._model, id)).fetchone()
        return None if found is None else Remembered(id, *found)._replace(joined=True)

    def sweep(self, before: float) -> int:
        """Forget at most 10,000 predictions made before this moment; their pages are used again."""
        with self._transaction() as connection:
            return connection.execute(_SWEEP, (self._model, self._model, before, _SWEPT)).rowcount

    def close(self) -> None:
        """Close this process's connection; the next call opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None and self._process == os.getpid():
                connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._leave_parent()
        with self._lock:
            connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk rolls back by itself
                    connection.execute("ROLLBACK")
                raise

    def _leave_parent(self) -> None:
        """Neither the lock nor the connection of a parent may be used after a fork."""
        if self._process == os.getpid():
            return
        if self._connection is not None:
            _inherited.append(self._connection)
        self._lock, self._connection, self._process = lock_maker()(), None, os.getpid()

    def _open(self) -> sqlite3.Connection:
        # this user's alone; SQLite gives its log the rights of the file, and tells itself what cannot be made
        with suppress(OSError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            size = int(connection.execute("PRAGMA page_size").fetchone()[0])
            # a pragma takes no parameters; these are integers
            connection.execute(f"PRAGMA max_page_count = {max(1, int(self._largest) // size)}")
            connection.execute(_TABLE)
            connection.execute(_INDEX)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

"""Predictions in any database that SQLAlchemy speaks to: shared by all hosts of a service."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from inprocml.errors import BackendMissing
from inprocml.values import Remembered

__all__ = ["SqlStore"]

_SWEPT = 10_000  # rows a call, so that no transaction lasts


class SqlStore:
    """A ``PredictionStore`` behind a SQLAlchemy URL (``postgresql+psycopg://...``), extra ``sql``.

    ``model`` names the model and version whose predictions these are. The table ``inprocml_predictions`` is
    made when first used, where it is missing. ``options`` go to ``sqlalchemy.create_engine``: how
    long to wait for a connection is among them. A transaction a call; every value is a parameter. Methods
    raise what SQLAlchemy raises, and who calls them counts that. Raises ``BackendMissing`` without
    SQLAlchemy, and what it raises for a URL that is none.
    """

    def __init__(self, url: str, *, model: str, **options: Any) -> None:
        try:
            import sqlalchemy
        except ImportError as error:
            raise BackendMissing(
                "keeping predictions in a SQL database needs SQLAlchemy: pip install 'inprocml[sql]'"
            ) from error
        self._sql = sqlalchemy
        self._model = model
        self._database = sqlalchemy.create_engine(url, **({"pool_pre_ping": True} | options))
        self._table = _table(sqlalchemy)
        self._made = False
        self._process = os.getpid()

    def remember(self, predictions: Sequence[Remembered]) -> None:
        """Keep all of them in one transaction, or raise and keep none."""
        rows = [
            {
                "model": self._model,
                "id": each.id,
                "made_at": each.at,
                "score": each.score,
                "choice": each.choice,
                "slices": each.slices,
            }
            for each in predictions
        ]
        if rows:
            with self._ready().begin() as connection:
                connection.execute(self._insertion(connection.dialect.name), rows)

    def join(self, id: str, at: float) -> Remembered | None:  # noqa: A002 - as the protocol says
        """Return the prediction and mark it; None where it is not kept. One caller is the first."""
        columns = self._table.c
        here = (columns.model == self._model) & (columns.id == id)
        with self._ready().begin() as connection:
            claim = self._table.update().where(here, columns.joined_at.is_(None)).values(joined_at=at)
            first = connection.execute(claim).rowcount == 1
            wanted = self._sql.select(columns.made_at, columns.score, columns.choice, columns.slices).where(
                here
            )
            found = connection.execute(wanted).first()
        return None if found is None else Remembered(id, *found)._replace(joined=not first)

    def sweep(self, before: float) -> int:
        """Forget at most 10,000 predictions made before this moment."""
        columns = self._table.c
        here = columns.model == self._model
        old = (
            self._sql.select(columns.id)
            .where(here, columns.made_at < before)
            .order_by(columns.made_at)
            .limit(_SWEPT)
        )
        with self._ready().begin() as connection:
            ids = connection.execute(old).scalars().all()
            if ids:
                connection.execute(
                    self._table.delete().where(here, columns.id == self._sql.bindparam("old")),
                    [{"old": each} for each in ids],
                )
        return len(ids)

    def close(self) -> None:
        """Close the connections of this process; the next call opens others."""
        self._database.dispose(close=self._process == os.getpid())

    def _ready(self) -> Any:
        if self._process != os.getpid():  # connections of the parent are left to it
            self._database.dispose(close=False)
            self._process = os.getpid()
        if not self._made:
            with self._database.begin() as connection:
                self._table.metadata.create_all(connection, checkfirst=True)
            self._made = True
        return self._database

    def _insertion(self, dialect: str) -> Any:
        """An id that is kept already stays; elsewhere than in these databases it is an error."""
        if dialect == "postgresql":
            from sqlalchemy.dialects import postgresql

            return postgresql.insert(self._table).on_conflict_do_nothing()
        if dialect == "sqlite":
            from sqlalchemy.dialects import sqlite

            return sqlite.insert(self._table).on_conflict_do_nothing()
        return self._table.insert()


def _table(sql: Any) -> Any:
    return sql.Table(
        "inprocml_predictions",
        sql.MetaData(),
        sql.Column("model", sql.String(255), primary_key=True),
        sql.Column("id", sql.String(96), primary_key=True),
        sql.Column("made_at", sql.Double, nullable=False),
        sql.Column("score", sql.Double, nullable=False),
        sql.Column("choice", sql.Integer, nullable=False),
        sql.Column("slices", sql.BigInteger, nullable=False),
        sql.Column("joined_at", sql.Double),
        sql.Index("inprocml_predictions_made_at", "model", "made_at"),
    )

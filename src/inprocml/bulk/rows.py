"""Rows that are in memory, and rows that come one after the other from an iterator."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from inprocml.bulk.block import Block, Size, after
from inprocml.bulk.tables import asked, cut, is_table, keyed, length
from inprocml.protocols import Clock
from inprocml.values import Table

__all__ = ["Items", "Whole"]

PATIENCE_SECONDS = 0.1
"""How long rows that have come wait for more of their block."""


class Whole:
    """A table in memory, cut into blocks; fulfils ``Input``."""

    exact: Final = False

    def __init__(self, table: Table, key: str | None, names: frozenset[str]) -> None:
        self._table, self.total = asked(table, key, names)
        self._key, self._names = key, names
        self.document: Mapping[str, Any] = {"kind": "table", "rows": self.total}

    def blocks(self, size: Size, start: int = 0) -> Iterator[Block]:
        """Yield the rows from ``start`` on, in blocks."""
        while start < self.total:
            stop = min(start + size(), self.total)
            table, key = keyed(cut(self._table, start, stop), self._key, self._names)
            yield Block(table, stop - start, start, key)
            start = stop

    def check(self) -> None:
        """Do nothing: what is in memory is the caller's own."""

    def close(self) -> None:
        """Do nothing."""


class Items:
    """The rows, or the tables, that an iterator gives; fulfils ``Input``.

    A mapping is one row; a frame, or a list of rows, is a table. What the iterator raises passes through,
    after the rows that came before it. Rows that are slow to come are not kept waiting for company.
    """

    total: Final = None
    exact: Final = False
    document: Mapping[str, Any] = MappingProxyType({"kind": "rows"})

    def __init__(self, items: Iterator[Any], key: str | None, names: frozenset[str], clock: Clock) -> None:
        self._items, self._key, self._names, self._clock = items, key, names, clock
        self._failure: Exception | None = None

    def blocks(self, size: Size, start: int = 0) -> Iterator[Block]:
        """Yield the rows in blocks; the first ``start`` are passed over."""
        return after(self._blocks(size), start)

    def _blocks(self, size: Size) -> Iterator[Block]:
        first = 0
        for table, prompt in self._tables(size):
            done, rows = 0, length(table)
            while done < rows:
                stop = min(done + size(), rows)
                part, key = keyed(cut(table, done, stop), self._key, self._names)
                yield Block(part, stop - done, first + done, key, prompt and stop == rows)
                done = stop
            first += rows
        if self._failure is not None:
            raise self._failure

    def _tables(self, size: Size) -> Iterator[tuple[Table, bool]]:
        """Gather single rows into lists; the flag says that the next are slow to come, or will not."""
        rows: list[Any] = []
        began = self._clock()
        most = size()
        for item in self._each():
            if is_table(item) and not isinstance(item, Mapping):
                if rows:
                    yield rows, False
                yield item, self._clock() - began > PATIENCE_SECONDS
            else:
                rows.append(item)
                late = self._clock() - began > PATIENCE_SECONDS
                if len(rows) < most and not late:
                    continue
                yield rows, late
            rows, began, most = [], self._clock(), size()
        if rows:
            yield rows, self._failure is not None

    def _each(self) -> Iterator[Any]:
        try:
            yield from self._items
        except Exception as error:  # noqa: BLE001 - raised by blocks, behind the rows that came before it
            self._failure = error

    def check(self) -> None:
        """Do nothing: nobody can tell."""

    def close(self) -> None:
        """Close a generator, so that it frees what it holds."""
        if isinstance(self._items, Generator):
            self._items.close()

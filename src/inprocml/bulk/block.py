"""Rows on their way to the model, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

from inprocml.bulk.tables import cut
from inprocml.values import Table

__all__ = ["Block", "Input", "Size", "after"]

Size: TypeAlias = Callable[[], int]
"""How many rows the next block may have; asked anew for each."""


class Block(NamedTuple):
    """Consecutive rows: ``rows`` of them, from position ``first`` of all that is given.

    ``key`` is the column that the answers are to carry, if one was named. ``prompt`` says that more rows are
    slow to come: these should be answered before any more are asked for.
    """

    table: Table
    rows: int
    first: int
    key: Any = None
    prompt: bool = False


class Input(Protocol):
    """All rows of one call, read as they are needed.

    ``total`` is how many there are, where that is known beforehand. ``document`` describes them as JSON, so
    that a later call can tell whether it is given the same; not so if they are not ``exact``. ``blocks`` may
    be called once; ``start`` rows are passed over. ``check`` raises ``BulkError`` where the input is not what
    it was at the beginning. ``close`` frees what is open.
    """

    @property
    def total(self) -> int | None: ...

    @property
    def exact(self) -> bool: ...

    @property
    def document(self) -> Mapping[str, Any]: ...

    def blocks(self, size: Size, start: int = 0) -> Iterator[Block]: ...

    def check(self) -> None: ...

    def close(self) -> None: ...


def after(blocks: Iterator[Block], start: int) -> Iterator[Block]:
    """Yield the blocks from row ``start`` on; those before it are passed over."""
    for block in blocks:
        passed = start - block.first
        if passed >= block.rows:
            continue
        yield block if passed <= 0 else _behind(block, passed)


def _behind(block: Block, passed: int) -> Block:
    key = None if block.key is None else cut(block.key, passed, block.rows)
    table = cut(block.table, passed, block.rows)
    return Block(table, block.rows - passed, block.first + passed, key, block.prompt)

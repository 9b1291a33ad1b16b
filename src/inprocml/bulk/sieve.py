"""Encodes a block, and finds the rows of it that are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from inprocml.bulk.block import Block
from inprocml.bulk.tables import cut, take
from inprocml.errors import InvalidRow
from inprocml.schema.table import open_table
from inprocml.values import Table

__all__ = ["Encode", "Sifted", "digest_of", "sift"]

Encode = Callable[[Table], Any]
"""``Transform.transform``: a table's tensors, or ``InvalidRow``."""


class Sifted(NamedTuple):
    """A block, encoded: ``tensors`` of its ``good`` rows (``None`` without any), issues of the others.

    ``refused`` maps a row's place, counted from the beginning of the block, to what is wrong with it;
    ``table`` holds the good rows.
    """

    block: Block
    tensors: Any
    good: int
    refused: Mapping[int, Mapping[str, str]]
    table: Any


def sift(block: Block, encode: Encode, names: Sequence[str], *, keep: bool) -> Sifted:
    """Encode a block; a row that is refused raises ``InvalidRow``, or is kept aside where ``keep``.

    The error tells what is wrong with the first bad row, ``row`` its position in all that was given. What is
    wrong with a column, and so with every row, is raised all the same.
    """
    try:
        return Sifted(block, encode(block.table), block.rows, {}, block.table)
    except InvalidRow as error:
        if not keep:
            raise _first(block, encode, error) from None
    _check_columns(block, names)
    refused = _refused(block, encode)
    good = [place for place in range(block.rows) if place not in refused]
    table = take(block.table, good) if good else None
    return Sifted(block, None if table is None else encode(table), len(good), refused, table)


def _first(block: Block, encode: Encode, error: InvalidRow) -> InvalidRow:
    place = min(error.row or 0, block.rows - 1)
    issues = _issues(block, place, encode) or error.issues
    return InvalidRow(issues, row=block.first + place)


def _issues(block: Block, place: int, encode: Encode) -> dict[str, str]:
    try:
        encode(cut(block.table, place, place + 1))
    except InvalidRow as error:
        return error.issues
    return {}  # a function of the host's that has changed its mind


def _check_columns(block: Block, names: Sequence[str]) -> None:
    if isinstance(block.table, list | tuple):
        return
    issues = open_table(cut(block.table, 0, 1), names).issues
    if issues:
        raise InvalidRow({name: issue.reason for name, issue in issues.items()}, row=block.first)


def _refused(block: Block, encode: Encode) -> dict[int, dict[str, str]]:
    """Find the bad rows: steps double over good ones and begin anew behind a bad one.

    So one bad row among thousands costs little, and so do thousands of bad ones.
    """
    refused: dict[int, dict[str, str]] = {}
    start, step = 0, block.rows
    while start < block.rows:
        step = min(step, block.rows - start)
        try:
            encode(cut(block.table, start, start + step))
        except InvalidRow as error:
            good = min(error.row or 0, step - 1)
            if good:
                step = good
                continue
            issues = _issues(block, start, encode)
            if issues:
                refused[start] = issues
            start, step = start + 1, 1
        else:
            start, step = start + step, 2 * step
    return refused


def digest_of(block: Block, encode: Encode) -> str:
    """Return what tells the first row of a block from most others: a digest of what the model makes of it."""
    try:
        made = encode(cut(block.table, 0, 1))
    except InvalidRow as error:
        return sha256(repr(sorted(error.issues.items())).encode()).hexdigest()
    arrays = sorted(made.items()) if isinstance(made, dict) else [("", made)]
    return sha256(b"".join(name.encode() + array.tobytes() for name, array in arrays)).hexdigest()

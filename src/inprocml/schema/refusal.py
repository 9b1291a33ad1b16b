"""Why one value, or one column, is refused: a reason that never repeats the value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

__all__ = ["MISSING", "Check", "Refused", "each"]

_T = TypeVar("_T")
Check: TypeAlias = Callable[[object], _T]
"""Judges one raw value: returns it in canonical form or raises ``Refused``."""

MISSING = "is missing"


class Refused(Exception):
    """One field's reason, internal to the house: callers see ``InvalidRow``.

    For a column, ``row`` is the zero-based position of the first refused value and ``count`` how many
    values are refused.
    """

    def __init__(self, reason: str, *, row: int = 0, count: int = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.row = row
        self.count = count


def each(check: Check[_T], values: Iterable[object]) -> list[_T]:
    """Judge every value of a column; raises one ``Refused`` that says where the first bad one is."""
    values = values if isinstance(values, list) else list(values)
    try:
        return [check(value) for value in values]
    except Refused:  # the column is read again only when it is bad: good ones pay for no bookkeeping
        found = [(row, reason) for row, value in enumerate(values) if (reason := _why(check, value))]
    row, reason = found[0]
    raise Refused(reason, row=row, count=len(found))


def _why(check: Check[_T], value: object) -> str | None:
    try:
        check(value)
    except Refused as refused:
        return refused.reason
    return None

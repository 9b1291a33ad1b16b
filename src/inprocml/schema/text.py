"""Strings and integer categories: exact types, NFC, no half characters, bounded length."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.columns import Column, scalars
from inprocml.schema.missing import is_missing, missing_or_refused
from inprocml.schema.refusal import Check, Refused, each

__all__ = ["LONGEST", "canonical_text", "integer_check", "text_check", "value_column"]

LONGEST = 4096
"""Characters a string may have: normalising hostile text takes time quadratic in its length."""

_MOST_MARKS = (
    64  # combining marks in a row that a longer string may hold; Unicode's stream-safe format knows 30
)

_INT64 = range(-(2**63), 2**63)


def canonical_text(value: str, longest: int = LONGEST) -> str:
    """Return the string as exact ``str`` in Unicode NFC; raises ``Refused`` for what cannot be one."""
    if type(value) is not str:
        value = str.__str__(value)
    if len(value) > longest:
        raise Refused(f"must have at most {longest} characters")
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Refused("must be valid Unicode: it holds half of a surrogate pair") from None
    if len(value) > LONGEST:
        _check_marks(value)
    value = unicodedata.normalize("NFC", value)
    if len(value) > longest:  # a few characters grow
        raise Refused(f"must have at most {longest} characters")
    return value


def _check_marks(value: str) -> None:
    """Refuse what would make normalising slow: marks on one letter are sorted, in quadratic time."""
    run = 0
    for character in value:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MOST_MARKS:
            raise Refused(f"must have at most {_MOST_MARKS} combining marks on one letter")


def _folding(longest: int, *, strip: bool, casefold: bool) -> Callable[[str], str]:
    def canonical(value: str) -> str:
        value = canonical_text(value, longest)
        value = value.strip() if strip else value
        # folding undoes the normal form of a few characters, and makes a few longer
        return canonical_text(value.casefold(), longest) if casefold else value

    return canonical


def text_check(
    *, required: bool, longest: int = LONGEST, strip: bool = False, casefold: bool = False
) -> Check[str | None]:
    """Return the judge of one string of at most ``longest`` characters, stripped and folded if declared."""
    canonical = _folding(longest, strip=strip, casefold=casefold)

    def check(value: object) -> str | None:
        if isinstance(value, str):
            return canonical(value)
        missing_or_refused(value, "a string", required=required)
        return None

    return check


def integer_check(*, required: bool) -> Check[int | None]:
    """Return the judge of one integer category, 64 bits wide."""

    def check(value: object) -> int | None:
        if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64)):
            whole = int(value)
            if whole not in _INT64:
                raise Refused("must be an integer of 64 bits")
            return whole
        missing_or_refused(value, "an integer", required=required)
        return None

    return check


def value_column(
    column: Column, check: Check[str | None] | Check[int | None], own: type[str | int]
) -> NDArray[np.object_]:
    """Return the column as objects, ``None`` for missing; each distinct value is judged once.

    Distinct values may stand for one another only where equal values are of one type (``1 == 1.0 == True``),
    so other columns are judged row by row.
    """
    values = scalars(column)
    out = np.empty(len(values), dtype=object)
    if set(map(type, values)) <= {own, NoneType}:
        judged = _distinct(check, values)
        if judged is not None:
            out[:] = [judged[value] for value in values]
            return out
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        check = _not_floats(check, column.dtype, "an integer" if own is int else "a string")
    out[:] = each(check, values)
    return out


def _not_floats(check: Check[Any], dtype: np.dtype[Any], wanted: str) -> Check[Any]:
    """Judge a column that pandas may have spoilt, and say so: one missing value makes floats of integers."""
    reason = (
        f"must be {wanted}, not {dtype}: pandas makes floats of integers when some are missing; keep them "
        "with astype('Int64')"
    )

    def judge(value: object) -> Any:
        if is_missing(value):
            return check(value)
        raise Refused(reason)

    return judge


def _distinct(
    check: Check[str | None] | Check[int | None], values: list[object]
) -> dict[object, str | int | None] | None:
    try:
        return {value: check(value) for value in set(values)}
    except Refused:
        return None

"""Rows as the bins that their values lie in, one byte a column: coarse, small, and without a single value.

What no column shows alone (``statistics.domain_classifier``) needs rows, and training rows need to be in the
bundle for it. Times of the week are left out: rows of an hour would be told from training by their hour.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.bins import Bins, HourOfWeekBins

__all__ = ["KIND", "MOST_ROWS", "Rows", "in_rows", "numbers", "read", "read_without", "taken", "written"]

KIND = "places@1"
MOST_ROWS = 500
_MOST_COLUMNS = 48
_MOST_BINS = 256

Rows = NDArray[np.uint8]
"""Shape ``(rows, columns)``: the bin of each value."""


def taken(bins: Sequence[Bins]) -> tuple[int, ...]:
    """Return the places of the columns that are taken: the first 48 that are no times of the week."""
    fit = [
        place
        for place, each in enumerate(bins)
        if not isinstance(each, HourOfWeekBins) and each.size <= _MOST_BINS
    ]
    return tuple(fit[:_MOST_COLUMNS])


def in_rows(columns: Sequence[NDArray[np.intp]]) -> Rows:
    """Return bins, one array a column, as rows."""
    return np.stack(columns, axis=1).astype(np.uint8)


def numbers(rows: Rows, bins: Sequence[Bins]) -> NDArray[np.float64]:
    """Return rows of the columns ``taken`` of ``bins`` as statistics take them, NaN where missing."""
    last = np.array([bins[place].size - 1 for place in taken(bins)], np.uint8)
    return np.where(rows == last, np.nan, rows)


def written(rows: Rows) -> dict[str, str]:
    """Return rows as JSON holds them."""
    return {"kind": KIND, "places": base64.b64encode(rows.tobytes()).decode("ascii")}


def read(document: dict[str, str], bins: Sequence[Bins], rows: int) -> bytes:
    """Return the bytes of what was ``written``; ``ValueError`` for what no ``rows`` rows can be."""
    found = _decoded(document)
    sizes = np.array([bins[place].size for place in taken(bins)], np.intp)
    if not len(sizes) or not found or len(found) % len(sizes):
        raise ValueError("places must be whole rows of the columns that are taken")
    made = np.frombuffer(found, np.uint8).reshape(-1, len(sizes))
    if len(made) > min(rows, MOST_ROWS) or (made >= sizes).any():
        raise ValueError("places must be bins that there are, of no more rows than were counted")
    return found


def read_without(document: dict[str, str], bins: Sequence[Bins], rows: int, left: int) -> bytes:
    """Return as ``read`` the columns of ``bins`` but for the place ``left``, which may have been written too.

    ``pack`` writes all the rows that a sample can have, so that the length says which. Where the column left
    out makes room for a 48th, the length is the same: nobody knows of which it is, and nothing is returned.
    """
    before, now = taken(bins), [*bins[:left], *bins[left + 1 :]]
    if left not in before:
        return read(document, now, rows)
    if len(before) == len(taken(now)):
        _decoded(document)
        return b""
    if len(_decoded(document)) != min(rows, MOST_ROWS) * len(before):
        return read(document, now, rows)
    made = np.frombuffer(read(document, bins, rows), np.uint8).reshape(-1, len(before))
    return np.delete(made, before.index(left), axis=1).tobytes()


def _decoded(document: dict[str, str]) -> bytes:
    if set(document) != {"kind", "places"} or document["kind"] != KIND:
        raise ValueError(f"a sample has kind, {KIND}, and places")
    if len(document["places"]) > (MOST_ROWS * _MOST_COLUMNS + 2) // 3 * 4:
        raise ValueError("a sample of more places than any has")
    try:
        found = base64.b64decode(document["places"].encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("places must be base64") from error
    if base64.b64encode(found).decode() != document["places"]:
        raise ValueError("places must be base64 as it is written")
    return found

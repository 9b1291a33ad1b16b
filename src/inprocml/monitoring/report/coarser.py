"""Counts on all bins of a column, put on the cells that are kept of it for a window: exact, by name alone.

A host shows a calm column on all bins, and one that moved on some sixteen cells, each of which is some bins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["onto", "put"]

_RANGE = re.compile(r"\[(\S+), (\S+)\)")
_HOUR = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01]\d|2[0-3])")


def onto(fine: Sequence[str], coarse: Sequence[str]) -> list[int] | None:
    """Return the place among ``coarse`` of each bin of ``fine``; ``None`` where these are none of those."""
    if tuple(fine) == tuple(coarse):
        return list(range(len(fine)))
    if not fine or not coarse or fine[-1] != coarse[-1] or len(set(coarse)) != len(coarse):
        return None
    if _RANGE.fullmatch(fine[0]):
        return _ranges(fine, coarse)
    names = {label: place for place, label in enumerate(coarse)}
    places = [names.get(_named(label, names)) for label in fine]
    found = [place for place in places if place is not None]
    # the others of cells are more than those of all bins: each coarser bin must be made of finer ones
    return found if len(found) == len(places) and len(set(found)) == len(coarse) else None


def put(counts: Sequence[int], places: Sequence[int], size: int) -> tuple[int, ...]:
    """Return the counts on ``size`` coarser bins."""
    total = [0] * size
    for count, place in zip(counts, places, strict=True):
        total[place] += count
    return tuple(total)


def _named(label: str, coarse: dict[str, int]) -> str:
    """Return the coarser bin of a category or an hour of the week."""
    if label in coarse:
        return label
    if label.startswith("="):
        return "other"
    hour = _HOUR.fullmatch(label)
    if hour is None:
        return label
    days, first = "Sat-Sun" if hour[1] in {"Sat", "Sun"} else "Mon-Fri", int(hour[2]) // 4 * 4
    return f"{days} {first:02}-{first + 4:02}"


def _ranges(fine: Sequence[str], coarse: Sequence[str]) -> list[int] | None:
    """Neighbours that were merged begin where the first began and end where the last ended."""
    places, wanted = [], 0
    begins = True
    for label in fine[:-1]:
        part, whole = _RANGE.fullmatch(label), _RANGE.fullmatch(coarse[min(wanted, len(coarse) - 1)])
        if part is None or whole is None or (begins and part[1] != whole[1]):
            return None
        places.append(wanted)
        begins = part[2] == whole[2]
        wanted += begins
    return [*places, wanted] if begins and wanted == len(coarse) - 1 else None

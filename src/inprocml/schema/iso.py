"""Columns of ISO 8601 strings in their common spellings, read all at once.

``2013-01-31T05:00:00`` alone, with ``Z``, or with ``+05:00``; every other spelling, and every doubtful value,
is left to the judge of single values, which is the rule.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_plain"]

_DIGITS = {
    19: [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18],
    25: [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 23, 24],
}
_DIGITS[20] = _DIGITS[19]
_SECOND = 10**6


def read_plain(values: list[str], *, aware: bool) -> NDArray[np.int64] | None:
    """Return microseconds since 1970 (in UTC if ``aware``), or ``None`` if any value needs a closer look.

    ``values`` are exact ``str``, at least one.
    """
    lengths = set(map(len, values))
    width = lengths.pop()
    if lengths or width not in ((20, 25) if aware else (19,)):
        return None
    text = "".join(values)
    if not text.isascii():
        return None
    letters = np.frombuffer(text.encode("ascii"), dtype=np.uint8).reshape(len(values), width).T
    digits = (letters[_DIGITS[width]] - ord("0")).astype(np.int64)  # what is no digit becomes larger than 9
    if (digits > 9).any() or not _separated(letters, width):
        return None
    return _since(digits, None if width < 25 else letters[19])


def _separated(letters: NDArray[np.uint8], width: int) -> bool:
    wanted = [(4, b"-"), (7, b"-"), (10, b"T "), (13, b":"), (16, b":")]
    wanted += {19: [], 20: [(19, b"Z")], 25: [(19, b"+-"), (22, b":")]}[width]
    return all(_among(letters[place], allowed) for place, allowed in wanted)


def _among(letters: NDArray[np.uint8], allowed: bytes) -> bool:
    first = letters == allowed[0]
    return bool((first if len(allowed) == 1 else first | (letters == allowed[1])).all())


def _since(digits: NDArray[np.int64], sign: NDArray[np.uint8] | None) -> NDArray[np.int64] | None:
    year = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3]
    month, day, hour, minute, second = (digits[i] * 10 + digits[i + 1] for i in (4, 6, 8, 10, 12))
    if (year < 1).any() or (month < 1).any() or (month > 12).any() or (day < 1).any():
        return None
    if (hour > 23).any() or (minute > 59).any() or (second > 59).any():
        return None
    months = (year - 1970) * 12 + month - 1
    first, following = _days(months), _days(months + 1)
    if (day > following - first).any():
        return None
    seconds: NDArray[np.int64] = (first + day - 1) * 86_400 + hour * 3600 + minute * 60 + second
    if sign is not None:
        hours, minutes = digits[14] * 10 + digits[15], digits[16] * 10 + digits[17]
        if (hours > 23).any() or (minutes > 59).any():
            return None
        offset = hours * 3600 + minutes * 60
        seconds = seconds - np.where(sign == ord("-"), -offset, offset)
    return seconds * _SECOND


def _days(months: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days from 1970 to the first of a month that many months after January 1970."""
    days: NDArray[np.int64] = months.view("M8[M]").astype("M8[D]").view(np.int64)
    return days

"""Where a feature would leave float32: the outermost float64 that still fits, found by search."""

from __future__ import annotations

from collections.abc import Callable

from inprocml.transform.edges import number_at, position

__all__ = ["OVERFLOW", "limit_where"]

OVERFLOW = float.fromhex("0x1.ffffffp+127")
"""The first float64 that rounds to no finite float32: halfway between the last one and what would follow."""


def limit_where(fits: Callable[[float], bool], good: float, end: float, guess: float) -> float:
    """Return the value furthest from ``good``, up to ``end``, that fits, if all nearer ones do.

    ``good`` must fit. ``guess`` is about where the last one lies: it decides how long the search takes (some
    6 questions instead of 64), never what is found, so any float will do.
    """
    if fits(end):
        return end
    inside, outside = position(good), position(end)
    inside, outside = _narrowed(fits, inside, outside, position(guess))
    while abs(inside - outside) > 1:
        middle = (inside + outside) // 2
        if fits(number_at(middle)):
            inside = middle
        else:
            outside = middle
    return number_at(inside)


def _narrowed(fits: Callable[[float], bool], inside: int, outside: int, place: int) -> tuple[int, int]:
    """Step away from ``place``, further each time, until what fits and what does not are on either side."""
    outward = 1 if outside > inside else -1
    reach, before = 1, None
    while min(inside, outside) < place < max(inside, outside):
        found = fits(number_at(place))
        if found:
            inside = place
        else:
            outside = place
        if before is not None and found != before:
            break
        before = found
        place += outward * reach if found else -outward * reach
        reach *= 8
    return inside, outside

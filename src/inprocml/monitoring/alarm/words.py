"""What a column shows, in words: "tailnum: 7.2 % unseen, 0.3 % in training, since 14:05"."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from inprocml.monitoring.verdict import Reference, Test

__all__ = ["clock", "ended", "joined", "lasting", "opened", "percent", "way", "why"]

_WAYS = {Test.MISSING: "missing", Test.UNSEEN: "unseen", Test.OUT_OF_RANGE: "out of range"}
_DAY = 86400
_LEAST = 0.005  # a share that moved by less tells nothing
_NAMED, _SAID = 8, 5
_WAY = {
    Test.LOCATION: ("higher", "lower"),
    Test.SCALE: ("wider", "narrower"),
    Test.SHAPE: ("other shares", "other shares"),
    Test.MISSING: ("more missing", "fewer missing"),
    Test.UNSEEN: ("unseen", "unseen"),
    Test.OUT_OF_RANGE: ("out of range", "out of range"),
}


def clock(at: float, now: float, *, dated: bool = False) -> str:
    """Return ``14:05`` (UTC), or the date where it is a day away or more; with the time if ``dated``."""
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):  # not a time
        return "?"
    if abs(now - at) < _DAY:
        return f"{moment:%H:%M}"
    return f"{moment:%Y-%m-%d %H:%M}" if dated else f"{moment:%Y-%m-%d}"


def lasting(seconds: float) -> str:
    """Return a span of time in its two largest units."""
    if not 0 <= seconds < 1e9:
        return "?"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} days {hours % 24} h"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def percent(share: float) -> str:
    """Return a share to a tenth, smaller ones with two digits that tell: ``17.3 %``, ``0.034 %``, ``0 %``."""
    return f"{float(f'{100 * share:.2g}') if share < 0.001 else round(100 * share, 1):g} %"


def why(
    name: str,
    test: Test,
    effect: float,
    shares: tuple[float, float],
    cells: Sequence[tuple[str, float, float]],
    ordered: bool,  # noqa: FBT001
    reference: Reference,
    since: str | None,
) -> str:
    """Return the sentence; without ``since`` of rows that have no time.

    ``shares``: of the rate tested, now and in the reference; ``cells``: label, share now, share then.
    """
    where = "in training" if reference is Reference.TRAIN else "before"
    if test is Test.UNSEEN and reference is Reference.TRAIN and shares[1] > 0:
        where = "expected from training"  # no row of it is unseen there
    if test in _WAYS:
        said = f"{percent(shares[0])} {_WAYS[test]}, {percent(shares[1])} {where}"
    elif test is Test.LOCATION and ordered:
        said = f"{abs(effect):.2g} sigma {'higher' if effect > 0 else 'lower'} than {where}"
    elif test is Test.SCALE and ordered:
        said = f"spread {percent(abs(effect))} {'wider' if effect > 0 else 'narrower'} than {where}"
    else:
        label, now, then = _telling(cells)
        said = f"{percent(now)} are {label.removeprefix('=')}, {percent(then)} {where}"
    return f"{name}: {said}" if since is None else f"{name}: {said}, since {since}"


def _telling(cells: Sequence[tuple[str, float, float]]) -> tuple[str, float, float]:
    """Return the cell whose share moved most: one with a name, unless all that moved is in the others."""
    ranked = sorted(cells, key=lambda cell: -abs(cell[1] - cell[2]))
    named = [cell for cell in ranked if cell[0] != "other" and abs(cell[1] - cell[2]) >= _LEAST]
    return next(iter(named or ranked), ("values", 0.0, 0.0))


def way(test: Test, code: int, *, ordered: bool) -> str:
    """Return in a word or two how a column moved; ``code`` is negative for less."""
    moved = test if ordered or test not in {Test.LOCATION, Test.SCALE} else Test.SHAPE
    return _WAY[moved][code < 0]


def opened(said: Sequence[str]) -> str:
    """Return what an event says when an episode opens: what its first columns show."""
    more = f"; and {len(said) - _SAID} more" if len(said) > _SAID else ""
    return "; ".join(said[:_SAID]) + more


def joined(said: Sequence[str], others: Sequence[str]) -> str:
    """Return what an event says of columns that joined an episode which ``others`` opened."""
    more = f" and {len(others) - _SAID} more" if len(others) > _SAID else ""
    return f"{opened(said)}; besides {', '.join(others[:_SAID])}{more}"


def ended(columns: Sequence[tuple[str, str]], since: float, until: float, how: str, now: float) -> str:
    """Return what an episode was, for ``columns`` with the ways that they moved, how long, how it ended."""
    named = ", ".join(f"{name} ({moved})" for name, moved in columns[:_NAMED])
    more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
    began, over = (clock(at, now, dated=True) for at in (since, until))
    span = f"from {began} to {over} UTC ({lasting(until - since)})"
    return f"{named}{more}: drift {span}; {how}"

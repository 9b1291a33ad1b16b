"""What a column shows, in words: "tailnum: 7.2 % unseen, 0.3 % in training, since 14:05"."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from inprocml.monitoring.verdict import Reference, Test

__all__ = ["clock", "percent", "why"]

_WAYS = {Test.MISSING: "missing", Test.UNSEEN: "unseen", Test.OUT_OF_RANGE: "out of range"}
_DAY = 86400


def clock(at: float, now: float) -> str:
    """Return ``14:05`` (UTC), or the date where it is more than a day ago."""
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, OSError, ValueError):
        return "long ago"
    return moment.strftime("%Y-%m-%d" if now - at > _DAY else "%H:%M")


def percent(share: float) -> str:
    """Return a share with two digits that tell: ``7.2 %``, ``0.03 %``, ``0 %``, ``100 %``."""
    return f"{float(f'{100 * share:.2g}') if share < 0.995 else round(100 * share):g} %"


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
    if test in _WAYS:
        said = f"{percent(shares[0])} {_WAYS[test]}, {percent(shares[1])} {where}"
    elif test is Test.LOCATION and ordered:
        said = f"{abs(effect):.2g} sigma {'higher' if effect > 0 else 'lower'} than {where}"
    elif test is Test.SCALE and ordered:
        said = f"spread {percent(abs(effect))} {'wider' if effect > 0 else 'narrower'} than {where}"
    else:
        label, now, then = max(cells, key=lambda cell: abs(cell[1] - cell[2]), default=("values", 0.0, 0.0))
        said = f"{percent(now)} are {label.removeprefix('=')}, {percent(then)} {where}"
    return f"{name}: {said}" if since is None else f"{name}: {said}, since {since}"

"""What the user declares per field: four frozen values, checked as soon as they are written down."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from inprocml.schema.moment import zone_named

__all__ = ["WIDEST", "Category", "Hashed", "Numeric", "Spec", "Timestamp"]

WIDEST = 1_000_000
"""Feature columns a transform may have."""

PARTS = ("hour", "weekday", "month", "day", "minute")


@dataclass(frozen=True, kw_only=True, slots=True)
class Numeric:
    """A number becomes one feature: fill what is ``missing``, ``clip``, ``log``, ``scale``, in that order.

    ``missing=None`` makes the field required; else "median" or "mean" of the training values, or a number.
    ``clip=(low, high)`` limits the value; ``log`` takes ln(1 + x). ``scale`` is "standard" (minus mean, over
    the population standard deviation), "minmax" (training range to 0..1) or "none". Raises ``TypeError`` or
    ``ValueError`` for arguments that make no sense.
    """

    missing: Literal["median", "mean"] | float | None = None
    scale: Literal["none", "standard", "minmax"] = "none"
    log: bool = False
    clip: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _one_of("scale", self.scale, ("none", "standard", "minmax"))
        if not isinstance(self.log, bool):
            raise TypeError("log must be True or False")
        if isinstance(self.missing, str):
            _one_of("missing", self.missing, ("median", "mean"))
        elif self.missing is not None:
            object.__setattr__(self, "missing", _finite("missing", self.missing))
        if self.clip is not None:
            object.__setattr__(self, "clip", _range(self.clip))
        if self.log and self.clip is not None and self.clip[0] <= -1:
            raise ValueError("clip must begin above -1 where log is True: ln(1 + x) has no value there")
        if self.log and isinstance(self.missing, float) and self.clip is None and self.missing <= -1:
            raise ValueError("missing must be above -1 where log is True: ln(1 + x) has no value there")


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A string or an integer becomes one feature per category, and one for all unseen or too rare.

    Categories seen fewer than ``min_count`` times in training, or beyond the ``max_categories`` most
    frequent, share the unseen slot. ``missing=None`` makes the field required, "slot" gives missing its own
    feature.
    """

    min_count: int = 1
    max_categories: int | None = None
    missing: Literal["slot"] | None = None

    def __post_init__(self) -> None:
        _count("min_count", self.min_count)
        if self.max_categories is not None:
            _count("max_categories", self.max_categories)
        _slot(self.missing)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hashed:
    """A string becomes one of ``buckets`` features, chosen by MurmurHash3; nothing is learnt.

    The bucket is the one of scikit-learn's ``FeatureHasher`` with ``alternate_sign=False``.
    ``missing=None`` makes the field required, "slot" gives missing its own feature.
    """

    buckets: int
    missing: Literal["slot"] | None = None

    def __post_init__(self) -> None:
        _count("buckets", self.buckets)
        _slot(self.missing)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timestamp:
    """A point in time becomes one feature per value of each calendar part.

    ``parts``: "hour" (24 features), "weekday" (7, Monday is 0), "month" (12), "day" of the month (31),
    "minute" (60). With ``timezone``, an IANA name, values must carry an offset and are read in that zone;
    without, they must carry none. ``missing=None`` makes the field required, "slot" gives missing its own
    feature.
    """

    parts: tuple[str, ...] = ("hour", "weekday", "month")
    timezone: str | None = None
    missing: Literal["slot"] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _names(self.parts))
        if not self.parts or len(set(self.parts)) != len(self.parts):
            raise ValueError("parts must name at least one part, and none twice")
        for part in self.parts:
            _one_of("parts", part, PARTS)
        if self.timezone is not None:
            _known_zone(self.timezone)
        _slot(self.missing)


Spec: TypeAlias = Numeric | Category | Hashed | Timestamp


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _slot(missing: object) -> None:
    if missing is not None:
        _one_of("missing", missing, ("slot",))


def _names(parts: object) -> tuple[str, ...]:
    if not isinstance(parts, (tuple, list)):
        raise TypeError(f"parts must be a tuple of names out of {', '.join(PARTS)}")
    return tuple(parts)


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite")
    return number


def _range(clip: object) -> tuple[float, float]:
    if not isinstance(clip, (tuple, list)) or len(clip) != 2:
        raise TypeError("clip must be a pair (low, high)")
    low, high = _finite("clip", clip[0]), _finite("clip", clip[1])
    if not low < high:
        raise ValueError("clip must have low < high")
    return low, high


def _count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if not 1 <= value <= WIDEST:
        raise ValueError(f"{name} must be from 1 to {WIDEST}")


def _known_zone(name: str) -> None:
    try:
        zone_named(name)
    except LookupError as unknown:
        raise ValueError(str(unknown.args[0])) from None

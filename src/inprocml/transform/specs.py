"""What the user declares per entry of a row's own fields: frozen values, checked as they are written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn
from zoneinfo import ZoneInfo

from inprocml.schema import Refused
from inprocml.schema.moment import moment_check, zone_named
from inprocml.transform.arguments import a_bool, a_count, a_field, a_slot, finite, number_range, one_of
from inprocml.transform.edges import checked_bins

__all__ = ["Category", "Flag", "Hashed", "Numeric", "Timestamp", "Vector", "known_zone"]

CYCLES = {"hour": (0, 24), "weekday": (0, 7), "month": (1, 12), "day": (1, 31), "minute": (0, 60)}
"""Calendar parts that go round: the first value and how many there are."""

PARTS = (*CYCLES, "weekend")
ENCODINGS = ("onehot", "cyclic", "ordinal")


@dataclass(frozen=True, kw_only=True, slots=True)
class Numeric:
    """A number becomes a feature: fill what is ``missing``, ``clip``, ``log`` or ``power``, ``scale``.

    In that order. ``missing=None`` makes the field required; "median" or "mean" of the training values, or a
    number, stands in; "flag" is the median, and one more feature that tells. ``clip=(low, high)`` limits the
    value; ``log`` takes ln(1 + x); ``power`` is "sqrt", "square" or "yeo-johnson" (its exponent is learnt).
    ``scale`` is "standard" (minus mean, over the population standard deviation), "minmax" (training range to
    0..1), "robust" (minus median, over the interquartile range) or "none". ``bins``, instead of a scale, is a
    number of quantile bins or a sequence of edges: one feature per bin (``encoding="onehot"``) or the bin's
    number ("ordinal"). ``field`` names the field to read where it is not called as the entry. Raises
    ``TypeError`` or ``ValueError`` for arguments that make no sense.
    """

    missing: Literal["median", "mean", "flag"] | float | None = None
    scale: Literal["none", "standard", "minmax", "robust"] = "none"
    log: bool = False
    power: Literal["sqrt", "square", "yeo-johnson"] | None = None
    clip: tuple[float, float] | None = None
    bins: int | tuple[float, ...] | None = None
    encoding: Literal["onehot", "ordinal"] = "onehot"
    field: str | None = None

    def __post_init__(self) -> None:
        one_of("scale", self.scale, ("none", "standard", "minmax", "robust"))
        a_bool("log", self.log)
        if self.power is not None:
            one_of("power", self.power, ("sqrt", "square", "yeo-johnson"))
        if isinstance(self.missing, str):
            one_of("missing", self.missing, ("median", "mean", "flag"))
        elif self.missing is not None:
            object.__setattr__(self, "missing", finite("missing", self.missing))
        if self.clip is not None:
            object.__setattr__(self, "clip", number_range("clip", self.clip))
        object.__setattr__(self, "bins", checked_bins(self.bins))
        one_of("encoding", self.encoding, ("onehot", "ordinal"))
        a_field(self.field)
        self._check_together()

    def _check_together(self) -> None:
        if self.log and self.power is not None:
            raise ValueError("log and power exclude each other: choose one")
        if self.bins is not None and (self.scale != "none" or self.power is not None):
            raise ValueError("bins take the place of scale and power: leave those out")
        if isinstance(self.bins, tuple) and self.log:
            raise ValueError("edges are in the units of the field, so log would change nothing: leave it out")
        if self.bins is None and self.encoding != "onehot":
            raise ValueError("encoding says how bins are written: it needs bins")
        for what, bottom in (("log", -1), ("power", 0)):
            asked = self.log if what == "log" else self.power == "sqrt"
            told = "above -1 where log is True" if what == "log" else "at 0 or above where power is 'sqrt'"
            if (
                asked
                and self.clip is not None
                and (self.clip[0] < bottom or (self.log and self.clip[0] == -1))
            ):
                raise ValueError(f"clip must begin {told}")
            below = isinstance(self.missing, float) and (
                self.missing < bottom or (self.log and self.missing == -1)
            )
            if asked and below and self.clip is None:
                raise ValueError(f"missing must be {told}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A string or an integer becomes one feature per category, and one for all unseen or too rare.

    Categories seen fewer than ``min_count`` times in training, or beyond the ``max_categories`` most
    frequent, share the unseen slot. ``missing=None`` makes the field required, "slot" gives missing its own
    feature. ``encoding`` "ordinal" writes the slot's number as one feature instead, "index" as an int64
    tensor of its own, for an embedding. ``strip`` and ``casefold`` are applied to strings before anything
    else, in training and in serving. ``field`` names the field to read where it is not called as the entry.
    """

    min_count: int = 1
    max_categories: int | None = None
    missing: Literal["slot"] | None = None
    encoding: Literal["onehot", "ordinal", "index"] = "onehot"
    strip: bool = False
    casefold: bool = False
    field: str | None = None

    def __post_init__(self) -> None:
        a_count("min_count", self.min_count)
        if self.max_categories is not None:
            a_count("max_categories", self.max_categories)
        a_slot(self.missing)
        one_of("encoding", self.encoding, ("onehot", "ordinal", "index"))
        a_bool("strip", self.strip)
        a_bool("casefold", self.casefold)
        a_field(self.field)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hashed:
    """A string becomes one of ``buckets`` features, chosen by MurmurHash3; nothing is learnt.

    The bucket is the one of scikit-learn's ``FeatureHasher`` with ``alternate_sign=False``.
    ``missing=None`` makes the field required, "slot" gives missing its own feature. ``field`` names the field
    to read where it is not called as the entry.
    """

    buckets: int
    missing: Literal["slot"] | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        a_count("buckets", self.buckets)
        a_slot(self.missing)
        a_field(self.field)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """True or false becomes 1 or 0.

    Exactly that: 0, 1 and "true" are refused. ``missing=None`` makes the field required, "slot" gives missing
    its own feature. ``field`` names the field to read where it is not called as the entry.
    """

    missing: Literal["slot"] | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        a_slot(self.missing)
        a_field(self.field)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vector:
    """A list of ``size`` numbers, an embedding for instance, becomes as many features.

    ``scale`` is "none" or "standard", each number by its own mean and standard deviation. ``missing=None``
    makes the field required, "slot" writes zeros and gives missing its own feature. ``field`` names the field
    to read where it is not called as the entry.
    """

    size: int
    scale: Literal["none", "standard"] = "none"
    missing: Literal["slot"] | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        a_count("size", self.size)
        one_of("scale", self.scale, ("none", "standard"))
        a_slot(self.missing)
        a_field(self.field)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timestamp:
    """A point in time becomes features of its calendar parts, and of the time since another.

    ``parts``: "hour" (24 values), "weekday" (7, Monday is 0), "month" (12), "day" of the month (31), "minute"
    (60), "weekend" (Saturday and Sunday). A tuple gives one feature per value; a mapping says for each part
    "onehot", "cyclic" (sine and cosine) or "ordinal" (the number). ``since``, an ISO 8601 time, adds the days
    elapsed from it. With ``timezone``, an IANA name, values must carry an offset and are read in that zone;
    without, they must carry none. ``missing=None`` makes the field required, "slot" gives missing its own
    feature. ``field`` names the field to read where it is not called as the entry.
    """

    parts: tuple[str, ...] | Mapping[str, str] = ("hour", "weekday", "month")
    timezone: str | None = None
    since: str | None = None
    missing: Literal["slot"] | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _parts(self.parts, self.since))
        zone = None if self.timezone is None else known_zone(self.timezone)
        if self.since is not None:
            _a_time("since", self.since, zone)
        a_slot(self.missing)
        a_field(self.field)

    @property
    def encodings(self) -> tuple[tuple[str, str], ...]:
        """Each part and how it is written."""
        parts: Any = self.parts
        return (
            tuple(parts.items()) if isinstance(parts, Mapping) else tuple((part, "onehot") for part in parts)
        )


def _parts(parts: object, since: str | None) -> tuple[str, ...] | dict[str, str]:
    if isinstance(parts, Mapping):
        for encoding in parts.values():
            one_of("parts", encoding, ENCODINGS)
        if parts.get("weekend") == "cyclic":
            raise ValueError("weekend does not go round: write it 'ordinal' or 'onehot'")
    elif not isinstance(parts, (tuple, list)):
        raise TypeError(f"parts must be a tuple of names out of {', '.join(PARTS)}, or a mapping of them")
    names = list(parts)
    if (not names and since is None) or len(set(names)) != len(names):
        raise ValueError("parts must name at least one part, and none twice")
    for part in names:
        one_of("parts", part, PARTS)
    return FrozenParts(parts) if isinstance(parts, Mapping) else tuple(names)


class FrozenParts(dict[str, str]):
    """A mapping within a declaration: hashable, and as fixed as the rest of it.

    Equal to a dict of the same in the same order: that is the order of the features.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and list(self.items()) == list(other.items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self.items()))

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (dict(self),))  # a dict is copied item by item, and this takes none

    def _fixed(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a declaration does not change: write a new one")

    __setitem__ = __delitem__ = __ior__ = _fixed
    clear = pop = popitem = setdefault = update = _fixed


def known_zone(name: str) -> ZoneInfo:
    """Return the zone; ``ValueError`` for a name that is none, or that this machine does not know."""
    try:
        return zone_named(name)
    except LookupError as unknown:
        raise ValueError(str(unknown.args[0])) from None


def _a_time(name: str, text: object, zone: ZoneInfo | None) -> None:
    if not isinstance(text, str):
        raise TypeError(f"{name} must be an ISO 8601 string, not {type(text).__name__}")
    try:
        moment_check(zone, required=True)(text)
    except Refused as refused:
        raise ValueError(f"{name} {refused.reason}") from None

"""What monitoring says: a state, what each column shows, and the report that holds them; plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from inprocml.monitoring.series import Role
from inprocml.monitoring.stretches import NOISE, spread

__all__ = [
    "NEW_VALUES",
    "Action",
    "DriftEvent",
    "Finding",
    "Joint",
    "Measures",
    "Moment",
    "Progress",
    "Reference",
    "State",
    "Test",
]

_DAY = 24  # hours, and looks
_CHANCE = 0.01
NEW_VALUES = 32
"""Values never seen that a column names at most."""


class State(StrEnum):
    """What can be said of a model, or of one of its columns.

    ``warming``: how far rows depend on one another is being learnt. ``insufficient``: too few rows for a
    verdict. ``watch``: beyond the threshold, but not for long enough or not by enough. ``stale``: no rows
    have come lately.
    """

    WARMING = "warming"
    INSUFFICIENT = "insufficient"
    OK = "ok"
    WATCH = "watch"
    DRIFT = "drift"
    STALE = "stale"


class Reference(StrEnum):
    """What now is compared with: the training rows (skew), or an earlier healthy period (drift)."""

    TRAIN = "train"
    LIVE = "live"


class Test(StrEnum):
    """The directed tests, and the rates."""

    __test__ = False  # for pytest, which collects by name

    LOCATION = "location"
    SCALE = "scale"
    SHAPE = "shape"
    MISSING = "missing"
    UNSEEN = "unseen"
    OUT_OF_RANGE = "out_of_range"


class Action(StrEnum):
    """An episode opens once and closes once; columns that join it later are told, at most once an hour."""

    OPENED = "opened"
    JOINED = "joined"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Measures:
    """Distances between two sets of counts; ``None`` where a side is empty and they are undefined.

    ``psi`` is debiased, with its 95 % interval; ``jensen_shannon`` the distance to base 2. Rates are shares
    of the current rows; ``unseen`` is None for numbers, ``out_of_range`` for categories.
    """

    psi: float | None = None
    psi_low: float | None = None
    psi_high: float | None = None
    jensen_shannon: float | None = None
    hellinger: float | None = None
    total_variation: float | None = None
    l_infinity: float | None = None
    binned_ks: float | None = None
    wasserstein: float | None = None
    location: float | None = None  # in sigma of the reference's ranks
    scale: float | None = None
    missing: float | None = None
    unseen: float | None = None
    out_of_range: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one column shows against one reference.

    ``value`` is the largest z of its tests in one window, ``threshold`` what it must exceed, ``test`` the
    one that it comes from, ``effect`` how far it moved (sigma for location and scale, debiased PSI for
    shape, the change of a share for rates). All are of the window from ``begins`` to ``ends`` (None: of
    rows that have no time): of what moved the one that tells most, else the last day. ``rows`` is how
    many rows it holds; ``current`` are their counts, ``reference`` those compared with, on bins named
    ``labels``, missing last; where these are fewer than its own, ``folded`` has the place among them of
    each of its own. ``new_values`` has values never seen, up to 32, of all rows counted so far and not of
    the window. Where ``new_values_exact``, they are the most frequent and came just that often; if not,
    at least that often. ``since`` is when that began, an estimate; it stays the same while drift is on.
    ``why`` says it in words, or what is wanting for a verdict. Times are seconds since 1970.
    """

    name: str
    role: Role
    state: State
    value: float
    threshold: float
    test: Test | None
    effect: float
    since: float | None
    rows: int
    labels: tuple[str, ...]
    reference: tuple[int, ...]
    current: tuple[int, ...]
    measures: Measures = Measures()
    new_values: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    why: str = ""
    begins: float | None = None
    ends: float | None = None
    folded: tuple[int, ...] = ()
    new_values_exact: bool = False


@dataclass(frozen=True, slots=True)
class Joint:
    """How well a classifier tells ``rows`` rows of now from ``compared`` rows of a reference, as of ``at``.

    It looks at all columns together, and sees what no column shows alone. ``auc``: the area under the curve
    on rows that it had not seen, 0.5 where nothing can be told. ``p_value``: the chance of as much without
    drift, of this look alone. The rows are a sample of the last ``hours`` hours. ``columns``: those that told
    most, with their share in it. Merged it is that of the host that tells most; ``watching`` of ``hosts``
    that have a whole day are at watch. ``reach``: the largest AUC by which stretches of the training rows,
    as long as a day of now, can be told from the others (``live``: from the stretch before); None where
    chance explains it.
    """

    auc: float
    p_value: float
    rows: int
    compared: int
    hours: int
    at: float
    columns: tuple[tuple[str, float], ...]
    hosts: int = 1
    watching: int = 0
    reach: float | None = None

    @property
    def apart(self) -> bool:
        """Whether chance has one of a day's 24 looks show as much on 1 % of the days at most (Bonferroni)."""
        return self.p_value <= _CHANCE / _DAY

    @property
    def beyond(self) -> bool:
        """Whether rows of now are farther off than stretches of training by more than an AUC's noise."""
        return self.reach is None or self.auc > self.reach + NOISE * spread(self.rows, self.compared)

    @property
    def state(self) -> State:
        """``watch`` where rows are ``apart``, and ``beyond`` what training shows of itself.

        Of several hosts: as many of them, and a host is at watch as often. ``warming`` before there are rows
        of a whole day: the time of day alone may tell rows apart.
        """
        if self.hours < _DAY:
            return State.WARMING
        if self.hosts == 1:
            return State.WATCH if self.apart and self.beyond else State.OK
        level = _CHANCE / _DAY
        return State.WATCH if _at_least(self.watching, self.hosts, level) <= level else State.OK


def _at_least(wanted: int, of: int, each: float) -> float:
    """Return the chance that ``wanted`` or more happen of as many as ``of``, independent of one another."""
    fewer, term = 0.0, (1 - each) ** of
    for happened in range(wanted):
        fewer += term
        term *= (of - happened) / (happened + 1) * each / (1 - each)
    return 1 - fewer


@dataclass(frozen=True, slots=True)
class Moment:
    """One slot of the timeline: it ends at ``until``, had ``rows`` rows.

    By column's name: debiased PSI, and the largest z of the tests that an hour may be judged by.
    """

    until: float
    rows: int
    psi: Mapping[str, float]
    z: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far learning is: ``done`` of ``wanted`` blocks, each of some rows and some seconds at least.

    ``left`` is how many seconds the rest takes at the pace so far; None where nothing tells a pace.
    """

    done: int
    wanted: int
    block_rows: int
    block_seconds: float
    left: float | None


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """An episode of drift opened, was joined by more columns, or closed; ``id`` is the same for all.

    ``since`` is when the drift began that opened the episode, an estimate, and the same in all its events.
    ``findings`` are ranked: of all columns that drifted in it so far, as they are at the event; of one that
    was joined, of those that joined. ``why`` says in words what they show or, of an episode that is over,
    what it was, how long, and how it ended.
    """

    id: str
    action: Action
    model: str
    version: str
    reference: Reference
    at: float
    since: float
    findings: tuple[Finding, ...]
    why: str = ""

    @property
    def key(self) -> str:
        """What tells events apart: the same when one is told twice, as after a process was killed."""
        joined = f"-{self.at:.0f}" if self.action is Action.JOINED else ""
        return f"{self.id}-{self.action}{joined}"

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, exactly; numbers that are not finite as "inf", "-inf" and "nan"."""
        from inprocml.monitoring.documents import write_event

        return write_event(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DriftEvent:
        """Return the event that ``to_dict`` wrote.

        ``Unsupported`` for a kind that this release does not know, ``Corrupt`` for all else.
        """
        from inprocml.monitoring.documents import read_event

        return read_event(document)

    def to_json(self) -> str:
        """Return ``to_dict`` as one line of JSON, in ASCII."""
        return json.dumps(self.to_dict(), allow_nan=False)

"""What monitoring knows, read once an export: bins as counters that add up, scores as gauges of the host.

A score of one worker is no score: workers cannot be averaged (PSI of 250 rows is four times that of 1,000).
So every process exports what it has counted itself, which any backend can sum over workers and hosts; scores
come from the one process that decides for its host. Nothing is recorded per row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import islice
from typing import NamedTuple, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from inprocml.telemetry import names
from inprocml.telemetry.living import Living

_log = logging.getLogger("inprocml")
_complained: set[type[Exception]] = set()

Callback = Callable[[CallbackOptions], Iterable[Observation]]

__all__ = ["Column", "Monitored", "Score", "monitored", "monitors_memory"]

MOST_COLUMNS = 50
"""Columns whose bins and scores are exported, the first ones."""

MOST_SERIES = 1_000
"""Series of bins of one version; an SDK keeps 2,000 for each instrument, of versions that are gone too."""


class Column(NamedTuple):
    """One column: its bins, what this process has counted on them, and their shares in training."""

    name: str
    role: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    shares: tuple[float, ...]


class Score(NamedTuple):
    """One number about one column (of the model where ``name`` is empty) against one reference.

    ``rows`` are those that it rests on, ``window`` the seconds from the first of them to the last, None where
    they have no time.
    """

    name: str
    role: str
    reference: str
    metric: str
    value: float
    rows: int
    scope: str = "host"
    window: float | None = None


class Monitored(Protocol):
    """A monitor, as an exporter sees it; what these raise is logged once, and the others are read still.

    ``numbers`` maps a name (``rows``, ``seen``, ``sampled_out``, ``dropped``, ``failed``, ``cpu_ns``) to a
    total of this process; ``lag`` is in seconds; ``scores`` are none in a process that does not decide.
    """

    model: str
    version: str

    def columns(self) -> Iterable[Column]: ...

    def scores(self) -> Iterable[Score]: ...

    def quality(self) -> Mapping[str, float]: ...  # of the host's labels, by metric; none where not decided

    def numbers(self) -> Mapping[str, int]: ...

    def lag(self) -> float: ...

    def memory(self) -> int: ...  # bytes


_alive: Living[Monitored, None] = Living()


def monitored(source: Monitored) -> None:
    """Export what ``source`` knows for as long as it lives; in this process, not in its children."""
    _instruments()
    _alive.note(source, None)


def _attributes(source: Monitored) -> dict[str, str]:
    return {names.MODEL_NAME: source.model, names.MODEL_VERSION: source.version}


def _of_each(read: Callable[[Monitored], Iterable[Observation]]) -> Callback:
    """Read every source of this process; one that fails is logged once, and costs the others nothing."""

    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        found: list[Observation] = []
        for source in _alive.things():
            try:
                found += read(source)
            except ReferenceError:  # dropped while we looked
                continue
            except Exception as error:  # noqa: BLE001 - a guest never breaks its host's exporter
                _complain(source.model, error)
        return found

    return observe


def _complain(model: str, error: Exception) -> None:
    if type(error) not in _complained:
        _complained.add(type(error))
        _log.warning("what is known of model %s could not be exported", model, exc_info=error)


def _bins(value: Callable[[Column, int], float]) -> Callback:
    return _of_each(
        lambda source: [
            Observation(
                value(column, place),
                {
                    **_attributes(source),
                    names.FEATURE_NAME: column.name,
                    names.FEATURE_ROLE: column.role,
                    names.FEATURE_BIN: label,
                },
            )
            for column in _exported(source)
            for place, label in enumerate(column.labels)
        ]
    )


def _exported(source: Monitored) -> Iterable[Column]:
    """Return the first columns as far as there is room, whole ones: shares are of all bins of a column."""
    room = MOST_SERIES
    for column in islice(source.columns(), MOST_COLUMNS):
        room -= len(column.labels)
        if room < 0:
            return
        yield column


def _exported_scores(source: Monitored) -> Iterable[Score]:
    """Return the scores of the model and of the first columns; of others, which of them drifted."""
    first = {(column.name, column.role) for column in islice(source.columns(), MOST_COLUMNS)}
    for score in source.scores():
        drifted = score.metric == "drifted" and score.value > 0
        if not score.name or (score.name, score.role) in first or drifted:
            yield score


def _scores(value: Callable[[Score], float]) -> Callback:
    return _of_each(
        lambda source: [
            Observation(
                value(score),
                {
                    **_attributes(source),
                    names.FEATURE_NAME: score.name,
                    names.FEATURE_ROLE: score.role,
                    names.DRIFT_REFERENCE: score.reference,
                    names.DRIFT_METRIC: score.metric,
                    names.DRIFT_SCOPE: score.scope,
                },
            )
            for score in _exported_scores(source)
        ]
    )


def _windows(source: Monitored) -> Iterable[Observation]:
    """Return one window of each column and reference: all numbers of a column are of the same."""
    found = {
        (score.name, score.role, score.reference, score.scope): score.window
        for score in _exported_scores(source)
        if score.window is not None
    }
    return [
        Observation(
            window,
            {
                **_attributes(source),
                names.FEATURE_NAME: name,
                names.FEATURE_ROLE: role,
                names.DRIFT_REFERENCE: reference,
                names.DRIFT_SCOPE: scope,
            },
        )
        for (name, role, reference, scope), window in found.items()
    ]


def _rows(source: Monitored) -> Iterable[Observation]:
    numbers = source.numbers()
    by_state = {"counted": numbers["rows"]} | {
        state: numbers[state] for state in ("sampled_out", "dropped", "failed")
    }
    return [
        Observation(number, {**_attributes(source), names.ROW_STATE: state})
        for state, number in by_state.items()
    ]


def _quality(source: Monitored) -> Iterable[Observation]:
    return [
        Observation(value, {**_attributes(source), names.QUALITY_METRIC: metric})
        for metric, value in source.quality().items()
    ]


def _cpu(source: Monitored) -> Iterable[Observation]:
    return [Observation(source.numbers()["cpu_ns"] / 1e9, _attributes(source))]


def _memory(source: Monitored) -> Iterable[Observation]:
    parts = {names.MEMORY_TYPE: "host", names.MEMORY_PART: "monitoring"}
    return [Observation(source.memory(), {**_attributes(source), **parts})]


_read_memory = _of_each(_memory)


def monitors_memory(options: CallbackOptions) -> Iterable[Observation]:
    """Return the bytes that watching takes, of each version."""
    return _read_memory(options)


def _lag(source: Monitored) -> Iterable[Observation]:
    return [Observation(source.lag(), _attributes(source))]


@cache
def _instruments() -> None:
    """Create them once in a process: the SDK warns about one that is created twice."""
    meter = metrics.get_meter(names.SCOPE, names.release(), schema_url=names.SCHEMA_URL)
    meter.create_observable_counter(
        names.OBSERVATIONS,
        callbacks=[_bins(lambda column, place: column.counts[place])],
        unit="{observation}",
        description="Values that this process has counted on each bin; sums over processes are exact.",
    )
    meter.create_observable_gauge(
        names.REFERENCE_RATIO,
        callbacks=[_bins(lambda column, place: column.shares[place])],
        unit="1",
        description="Share of the training rows on each bin.",
    )
    meter.create_observable_gauge(
        names.DRIFT_SCORE,
        callbacks=[_scores(lambda score: score.value)],
        unit="1",
        description="How far a column is from a reference, decided on all processes of this host.",
    )
    meter.create_observable_gauge(
        names.DRIFT_SAMPLES,
        callbacks=[_scores(lambda score: score.rows)],
        unit="{sample}",
        description="Rows that a drift score is computed from.",
    )
    meter.create_observable_gauge(
        names.DRIFT_WINDOW,
        callbacks=[_of_each(_windows)],
        unit="s",
        description="Time that the rows behind a column's drift scores span.",
    )
    _create_health(meter)


def _create_health(meter: metrics.Meter) -> None:
    meter.create_observable_gauge(
        names.QUALITY_SCORE,
        callbacks=[_of_each(_quality)],
        unit="1",
        description="How good answers turned out, by the labels that came to this host.",
    )
    meter.create_observable_counter(
        names.MONITORING_ROWS,
        callbacks=[_of_each(_rows)],
        unit="{row}",
        description="Answered rows, by what became of them.",
    )
    meter.create_observable_counter(
        names.MONITORING_CPU,
        callbacks=[_of_each(_cpu)],
        unit="s",
        description="CPU time that monitoring has taken.",
    )
    meter.create_observable_gauge(
        names.MONITORING_LAG,
        callbacks=[_of_each(_lag)],
        unit="s",
        description="Time since rows were counted last, if some wait; none of them is older.",
    )

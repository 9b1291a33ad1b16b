"""Draws docs/drift-report.svg: the report of a model of flight delays, as a terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from inprocml.drawing import typed
from inprocml.monitoring import Bins, NumberBins, ValueBins, numeric_edges
from inprocml.monitoring.report import DriftReport, Health, measured
from inprocml.monitoring.verdict import Finding, Moment, Reference, State, Test

PICTURE = Path(__file__).parents[1] / "docs" / "drift-report.svg"
NOW, HOUR = 1_795_268_100.0, 3600.0  # a Saturday, 13:35 UTC


def column(
    name: str,
    bins: Bins,
    counts: tuple[Sequence[int], Sequence[int]],
    state: State = State.OK,
    test: Test = Test.LOCATION,
    effect: float = 0.01,
    since: float | None = None,
    why: str = "",
) -> Finding:
    then, now = (tuple(side) for side in counts)
    labels = tuple(bins.labels())
    value = 20.0 if state is State.DRIFT else 1.0
    found = Finding(
        name, "input", state, value, 5.7, test, effect, since, sum(now), labels, then, now, why=why
    )
    return measured(found, bins)


def columns() -> tuple[Finding, ...]:
    random = np.random.default_rng(7)
    tails = np.array([f"N{100 + place}UA" for place in range(30)], dtype=object)
    before, after = random.choice(tails, 20_000), random.choice(tails, 4_000)
    after[random.random(4_000) < 0.072] = "N901ZZ"
    named = ValueBins.of(before)
    wind = random.normal(12, 5, 20_000)
    numbered = NumberBins(tuple(numeric_edges(wind).tolist()))

    def blown(mean: float, rows: int) -> tuple[Sequence[int], Sequence[int]]:
        return numbered.count(wind).counts, numbered.count(random.normal(mean, 5, rows)).counts

    told = "tailnum: 7.2 % unseen, 0 % in training, since 09:05"
    gust = "wind_gust: 0.6 sigma higher than in training, since 11:35"
    tail = (named.count(before).counts, named.count(after).counts)
    return (
        column("tailnum", named, tail, State.DRIFT, Test.UNSEEN, 0.072, NOW - 4.5 * HOUR, told),
        column(
            "wind_gust", numbered, blown(15, 4_000), State.DRIFT, Test.LOCATION, 0.6, NOW - 2 * HOUR, gust
        ),
        *(column(name, numbered, blown(12, 4_000)) for name in ("temp", "dewp", "humid", "pressure")),
        column("visib", numbered, blown(12, 31), State.INSUFFICIENT, effect=0.0),
    )


def example() -> DriftReport:
    """Return the report that the picture shows."""
    slots = []
    for hour in range(24):
        psi = {"tailnum": 0.6 if hour > 18 else 0.0, "wind_gust": 0.3 if hour > 21 else 0.01}
        rows = int(4_000 + 3_000 * np.sin((hour - 8) / 24 * 2 * np.pi))
        slots.append(Moment(NOW - (23 - hour) * HOUR, rows, MappingProxyType(psi)))
    return DriftReport(
        model="late",
        version="3",
        reference=Reference.TRAIN,
        state=State.DRIFT,
        at=NOW,
        since=NOW - 4.5 * HOUR,
        rows=4_000,
        findings=columns(),
        timeline=tuple(slots),
        health=Health(120_400, 120_400, 0, 0.4, 0.21, 4, 1, "host"),
    )


def main() -> None:
    PICTURE.write_text(typed(example().text(), "A drift report in a terminal"), encoding="utf-8")


if __name__ == "__main__":
    main()

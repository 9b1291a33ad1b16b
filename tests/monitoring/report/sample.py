"""A report as a model of flight delays might have: two columns drifted, one to watch, two not judged."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from inprocml.monitoring import NumberBins, ValueBins, numeric_edges
from inprocml.monitoring.report import DriftReport, Health, measures
from inprocml.monitoring.verdict import Finding, Moment, Reference, State, Test

NOW = 1_795_268_100.0  # a Saturday, 13:35 UTC
HOUR = 3600.0


def number(name, random, *, shift=0.0, missing=0.0, rows=4_000, **told):
    reference = np.random.default_rng(7).normal(0, 1, 20_000) * 30 + 100
    bins = NumberBins(tuple(numeric_edges(reference).tolist()))
    current = random.normal(shift, 1, rows) * 30 + 100
    current[random.random(rows) < missing] = np.nan
    return _finding(name, bins, reference, current, **told)


def category(name, random, values, *, shares=None, unseen=0.0, rows=4_000, **told):
    reference = np.random.default_rng(7).choice(np.array(values, dtype=object), 20_000)
    bins = ValueBins.of(reference)
    current = random.choice(np.array(values, dtype=object), rows, p=shares)
    strange = random.random(rows) < unseen
    current[strange] = [f"N9{i % 40:02}ZZ" for i in range(int(strange.sum()))]
    return _finding(name, bins, reference, current, **told)


def _finding(name, bins, reference, current, *, role="input", state=State.OK, test=None, **told):
    before, now = bins.count(reference).counts, bins.count(current).counts
    finding = Finding(
        name=name,
        role=role,
        state=state,
        value=told.pop("value", 1.5),
        threshold=5.71,
        test=test,
        effect=told.pop("effect", 0.01),
        since=told.pop("since", None),
        rows=len(current),
        labels=tuple(bins.labels()),
        reference=before,
        current=now,
        measures=measures(before, now, bins),
    )
    return replace(finding, **told)


def flights(seed=0, others=29):
    """The report of one host; another seed is another host, with the same training rows."""
    random = np.random.default_rng(seed)
    began = NOW - 4.5 * HOUR
    tails = [f"N{100 + i}UA" for i in range(30)]
    findings = [
        category(
            "tailnum",
            random,
            tails,
            unseen=0.072,
            state=State.DRIFT,
            test=Test.UNSEEN,
            value=41.0,
            effect=0.069,
            since=began,
            why="tailnum: 7.2 % unseen, 0.3 % in training, since 09:05",
            new_values=MappingProxyType({"N901ZZ": 9, "N902ZZ": 8, "N905ZZ": 8, "N917ZZ": 7}),
        ),
        number(
            "wind_gust",
            random,
            shift=0.6,
            state=State.DRIFT,
            test=Test.LOCATION,
            value=12.0,
            effect=0.6,
            since=NOW - 2 * HOUR,
            why="wind_gust: up by 0.60 sigma, since 11:35",
        ),
        number(
            "late[1]",
            random,
            shift=0.2,
            role="output",
            state=State.WATCH,
            test=Test.LOCATION,
            value=6.0,
            effect=0.2,
            since=NOW - HOUR,
        ),
        *[number(f"weather_{i}", random) for i in range(others)],
        category("carrier", random, ["AA", "B6", "UA", "DL", "EV"]),
        number("visib", random, rows=31, state=State.INSUFFICIENT, value=0.4),
        number("new_radar", random, rows=12, state=State.INSUFFICIENT, value=0.2),
    ]
    timeline = []
    for slot in range(24):
        until = NOW - (23 - slot) * HOUR
        psi = {"tailnum": 0.31 if until > began else 0.002, "wind_gust": 0.26 if slot > 21 else 0.01}
        rows = int(4_000 + 3_000 * np.sin((slot - 8) / 24 * 2 * np.pi))
        timeline.append(Moment(until, rows, MappingProxyType(psi)))
    return DriftReport(
        model="late",
        version="3",
        reference=Reference.TRAIN,
        state=State.DRIFT,
        at=NOW,
        since=began,
        rows=sum(moment.rows for moment in timeline),
        findings=tuple(findings),
        timeline=tuple(timeline),
        health=Health(120_400, 96_000, 12, 0.4, 0.21, 4, 1, "host"),
    )

"""``make drift-study``: what the alarm says where nothing changes, and how soon where something does.

Seeded. 35 columns (30 normal, 5 categorical), a baseline of 50,000 rows, blocks of 100 rows, each row 0.6 s.
Rows of the training distribution itself, not of the baseline: the noise of the reference is in the figures.
``--quick`` takes a tenth of the rows. Writes ``benchmarks/results/drift.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from inprocml import Category, Transform
from inprocml.monitoring import build_baseline
from inprocml.monitoring.alarm import Alarm
from inprocml.monitoring.bins import NumberBins, ValueBins, numeric_edges
from inprocml.monitoring.series import Layout, Series, layout_of
from inprocml.monitoring.verdict import Action, DriftEvent

RESULTS = Path(__file__).parent / "results"
BLOCK, SECONDS, BASELINE = 100, 60.0, 50_000
NUMBERS, CATEGORIES = 30, (3, 5, 10, 30, 80)
# two references share the budget; with 35 columns this is z = 5.5
BUDGET = 3.445
START = 1_700_006_400.0  # midnight, UTC
HEALTHY = 700  # blocks before something changes: 500 to learn how far rows depend on one another

Shares = list[NDArray[np.float64]]
Rows = Iterator[NDArray[np.int64]]
_normal_cdf = np.vectorize(lambda x: 0.5 * math.erfc(-x / math.sqrt(2)), otypes=[np.float64])


class World:
    """Columns, their bins, and the shares of the bins under the distribution that rows are drawn from."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        series, self.shares, self.cuts = [], [], []
        for column in range(NUMBERS):
            values = self.rng.normal(size=BASELINE)
            bins = NumberBins(tuple(numeric_edges(values).tolist()))
            missing = 0.02 if column == 0 else 0.0
            values[self.rng.random(BASELINE) < missing] = np.nan
            series.append(Series(f"x{column}", "input", bins.count(values)))
            self.shares.append(of_normal(bins, missing=missing))
        for kinds in CATEGORIES:
            chances = self.rng.dirichlet(np.full(kinds, 2.0))
            drawn = self.rng.choice(kinds, BASELINE, p=chances).astype(object)
            category = ValueBins.of(drawn)
            series.append(Series(f"c{kinds}", "input", category.count(drawn)))
            top = [chances[int(value)] for value in category.top]
            self.shares.append(np.array([*top, max(0.0, 1 - sum(top)), 0, 0]))
        self.layout = Layout(tuple(series))
        self.spans = self.layout.spans()
        self.cuts = [np.cumsum(shares)[:-1] for shares in self.shares]

    def alarm(self, budget: float = BUDGET) -> Alarm:
        return Alarm(self.layout, model="study", version="1", budget=budget)

    def counts(self, shares: Shares, rows: int = BLOCK, times: int = 1) -> NDArray[np.int64]:
        """Draw independent rows, each ``times`` over."""
        counts = np.zeros(self.layout.size, np.int64)
        for span, chances in zip(self.spans, shares, strict=True):
            counts[span] = self.rng.multinomial(rows // times, chances) * times
        return counts

    def autoregressive(self, state: NDArray[np.float64], weight: float = 0.9) -> NDArray[np.int64]:
        """Draw a block of rows in which each column resembles the row before; ``state`` moves on."""
        noise = self.rng.normal(size=(BLOCK, len(state))) * math.sqrt(1 - weight**2)
        ranks = np.empty_like(noise)
        for row in range(BLOCK):
            state *= weight
            state += noise[row]
            ranks[row] = state
        ranks = _fast_cdf(ranks)
        counts = np.zeros(self.layout.size, np.int64)
        for column, (span, cuts) in enumerate(zip(self.spans, self.cuts, strict=True)):
            places = np.searchsorted(cuts, ranks[:, column])
            counts[span] = np.bincount(places, minlength=len(cuts) + 1)
        return counts


_GRID = np.linspace(-7, 7, 28_001)
_GRID_CDF = _normal_cdf(_GRID)


def _fast_cdf(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.interp(values, _GRID, _GRID_CDF)


def of_normal(
    bins: NumberBins, mean: float = 0.0, sigma: float = 1.0, missing: float = 0.0
) -> NDArray[np.float64]:
    below = np.array([0.0, *_normal_cdf((np.array(bins.edges) - mean) / sigma), 1.0])
    return np.append(np.diff(below) * (1 - missing), missing)


def of_two(bins: NumberBins, apart: float = 0.9) -> NDArray[np.float64]:
    """Return the shares of two bells with the mean and the variance of one standard normal."""
    sigma = math.sqrt(1 - apart**2)
    return (of_normal(bins, apart, sigma) + of_normal(bins, -apart, sigma)) / 2


Change = Callable[[World, int], NDArray[np.float64]]


def _bins(world: World, column: int) -> NumberBins:
    bins = world.layout.series[column].bins
    assert isinstance(bins, NumberBins)
    return bins


def _unseen(world: World, column: int) -> NDArray[np.float64]:
    shares = world.shares[column] * 0.99
    shares[-2] += 0.01
    return shares


CHANGES: dict[str, tuple[Change, str, int]] = {
    "0.1 sigma": (lambda world, column: of_normal(_bins(world, column), 0.1), "number", 3900),
    "0.25 sigma": (lambda world, column: of_normal(_bins(world, column), 0.25), "number", 750),
    "0.5 sigma": (lambda world, column: of_normal(_bins(world, column), 0.5), "number", 260),
    "scale x1.5": (lambda world, column: of_normal(_bins(world, column), 0, 1.5), "number", 300),
    "two bells, equal mean and variance": (
        lambda world, column: of_two(_bins(world, column)),
        "number",
        300,
    ),
    "missing 2 -> 12 %": (
        lambda world, column: of_normal(_bins(world, column), missing=0.12),
        "missing",
        300,
    ),
    "1 % unseen": (_unseen, "category", 500),
}
_COLUMNS = {
    "number": range(1, NUMBERS),
    "missing": range(1),
    "category": range(NUMBERS, NUMBERS + len(CATEGORIES)),
}


def events_of(alarm: Alarm, blocks: Rows) -> tuple[list[DriftEvent], int]:
    """Run blocks through an alarm; return what opened, and how many rows there were."""
    now, rows, opened = START, 0, []
    alarm.look(now)
    for counts in blocks:
        now += SECONDS
        rows += BLOCK
        opened += [event for event in alarm.add(counts, BLOCK, now) if event.action is Action.OPENED]
    return opened, rows


def quiet(kind: str, seed: int, blocks: int) -> list[str]:
    """Return what was said of rows in which nothing changes."""
    world = World(seed)
    if kind == "independent":
        stream: Rows = (world.counts(world.shares) for _ in range(blocks))
    elif kind == "clusters of 10":
        stream = (world.counts(world.shares, times=10) for _ in range(blocks))
    elif kind == "AR(1) 0.9":
        state = world.rng.normal(size=len(world.shares))
        stream = (world.autoregressive(state) for _ in range(blocks))
    else:
        stream = _waves(world, blocks)
    opened, _ = events_of(world.alarm(), stream)
    return _said(opened)


def endless(seed: int, blocks: int) -> list[str]:
    """Return what was said of a category of 100,000 values by Zipf's law: new rows bring new ones."""
    rng, values = np.random.default_rng(seed), np.arange(100_000).astype(object)
    below = np.cumsum(1 / np.arange(1, 100_001) ** 1.3)[:-1]
    below /= below[-1]

    def drawn(rows: int) -> NDArray[np.object_]:
        return values[np.searchsorted(below, rng.random(rows), side="right")]

    schema = Transform({"who": Category()}).fit([{"who": 1}]).schema
    layout = layout_of(build_baseline(schema, {"who": drawn(20_000)}))
    bins = layout.series[0].bins
    alarm = Alarm(layout, model="study", version="1", budget=BUDGET)
    counted = (np.array(bins.count(drawn(BLOCK)).counts, np.int64) for _ in range(blocks))
    return _said(events_of(alarm, counted)[0])


def _said(opened: list[DriftEvent]) -> list[str]:
    return [f"{event.reference}: {', '.join(each.why for each in event.findings)}" for event in opened]


def _waves(world: World, blocks: int, step: float = 0.0, at: int = 0) -> Rows:
    """Yield blocks with a daily wave of 0.3 sigma in ten columns, that start anywhere; a step in column 1."""
    phases, fixed = world.rng.random(10) * 2 * math.pi, list(world.shares)
    for block in range(blocks):
        shares = list(fixed)
        for column, phase in enumerate(phases, start=1):
            mean = 0.3 * math.sin(2 * math.pi * block / 1440 + phase)
            mean += step if column == 1 and block >= at else 0
            shares[column] = of_normal(_bins(world, column), mean)
        yield world.counts(shares)


def delays(
    name: str, seed: int, trials: int, workers: int, budget: float = BUDGET
) -> list[tuple[int, float]]:
    """Return the rows from a change, somewhere within a block, to the event that names the column.

    And how many minutes its ``since`` is off.
    """
    world = World(seed)
    change, kind, _ = CHANGES[name]
    alarm, now = world.alarm(budget), START
    alarm.look(now)
    for _ in range(HEALTHY):
        now += SECONDS
        alarm.add(world.counts(world.shares), BLOCK, now)
    begun, found = alarm.dump(), []
    for _ in range(trials):
        column = int(world.rng.choice(_COLUMNS[kind]))
        trial = Alarm.load(world.layout, begun, model="study", version="1", budget=budget)
        found.append(_delay(world, trial, now, column, change(world, column), workers))
    return found


def _delay(
    world: World, alarm: Alarm, now: float, column: int, changed: NDArray[np.float64], workers: int
) -> tuple[int, float]:
    name, after = world.layout.series[column].name, list(world.shares)
    after[column] = changed
    for _ in range(int(world.rng.integers(1, 60))):
        now += SECONDS
        alarm.add(world.counts(world.shares), BLOCK, now)
    first = int(world.rng.integers(1, BLOCK + 1))  # rows of the first block that are changed
    rows, began = first, now + SECONDS * (1 - first / BLOCK)
    counts = world.counts(world.shares, BLOCK - first) + world.counts(after, first)
    while rows < 50_000:
        now += SECONDS
        opened = alarm.add(counts, BLOCK, now)
        told = [each.since for event in opened for each in event.findings if each.name == name]
        if told:
            return rows, abs((told[0] or 0.0) - began) / 60
        # what each worker counted, added up
        counts = np.sum([world.counts(after, BLOCK // workers) for _ in range(workers)], axis=0)
        rows += BLOCK
    return rows, math.inf


def noon(seed: int) -> float:
    """Return the hours until a step of one sigma, at noon of the third day, in a column with a daily wave."""
    world, at = World(seed), 2 * 1440 + 720
    alarm, now = world.alarm(), START
    alarm.look(now)
    for block, counts in enumerate(_waves(world, at + 2880, 1.0, at)):
        now += SECONDS
        opened = [event for event in alarm.add(counts, BLOCK, now) if event.action is Action.OPENED]
        if block >= at and any(each.name == "x1" for event in opened for each in event.findings):
            return (block - at + 1) / 60
    return math.inf


def evaluation() -> dict[str, float]:
    """Return milliseconds a block, with both references and whole days there."""
    world = World(99)
    alarm, now, taken = world.alarm(), START, []
    blocks = [world.counts(world.shares) for _ in range(500)]
    for place in range(3200):
        now += SECONDS
        began = time.perf_counter()
        alarm.add(blocks[place % 500], BLOCK, now)
        taken.append(1e3 * (time.perf_counter() - began))
    last = taken[-1000:]
    stored = len(alarm.dump()) / len(world.layout.series)
    return {
        "p50_ms": round(statistics.median(last), 3),
        "p99_ms": round(float(np.quantile(last, 0.99)), 3),
        "bytes_per_series": round(stored),
    }


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Run the study."""
    part = 10 if quick else 1
    streams = {
        "independent": (10 // (5 if quick else 1), 10_000 // (2 if quick else 1)),
        "clusters of 10": (2, 5_000 // part),
        "AR(1) 0.9": (2, 5_000 // part),
        "daily wave": (2, 10_080 // (3 if quick else 1)),
    }
    trials, rounds = (10, 2) if quick else (50, 3)
    streams["endless category"] = (2, 5_000 // part)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        silent = {
            kind: [_submitted(pool, kind, 1000 * at + seed, blocks) for seed in range(count)]
            for at, (kind, (count, blocks)) in enumerate(streams.items())
        }
        late = {
            (name, workers): [
                pool.submit(delays, name, 100 * at + seed, trials, workers) for seed in range(rounds)
            ]
            for at, (name, workers) in enumerate((name, workers) for name in CHANGES for workers in (1, 4))
        }
        usual = {
            name: [pool.submit(delays, name, 9000 + seed, trials, 1, 0.5) for seed in range(2)]
            for name in list(CHANGES)[:3]
        }
        steps = [pool.submit(noon, seed) for seed in range(2 if quick else 6)]
        figures = _figures(streams, silent, late, usual, steps)
    return figures | {"quick": quick, "evaluation": (cost := evaluation()), **_targets(figures, cost)}


def _submitted(pool: ProcessPoolExecutor, kind: str, seed: int, blocks: int) -> Future[list[str]]:
    if kind == "endless category":
        return pool.submit(endless, seed, blocks)
    return pool.submit(quiet, kind, seed, blocks)


def _figures(streams: Any, silent: Any, late: Any, usual: Any, steps: Any) -> dict[str, Any]:
    said = {kind: [line for each in runs for line in each.result()] for kind, runs in silent.items()}
    figures: dict[str, Any] = {
        "threshold": round(World(0).alarm().threshold, 3),
        "threshold_default": round(World(0).alarm(0.5).threshold, 3),
        "false_events": {
            kind: {"rows": count * blocks * BLOCK, "events": len(said[kind]), "said": said[kind]}
            for kind, (count, blocks) in streams.items()
        },
        "delays": {},
        "delays_default_budget": {name: _summary(runs) for name, runs in usual.items()},
        "hours_to_a_step_at_noon": [round(each.result(), 2) for each in steps],
    }
    for (name, workers), runs in late.items():
        figures["delays"].setdefault(name, {})[f"{workers} workers"] = _summary(runs)
    return figures


def _summary(runs: Any) -> dict[str, float]:
    rows, minutes = zip(*(one for each in runs for one in each.result()), strict=True)
    return {
        "median": statistics.median(rows),
        "p90": float(np.quantile(rows, 0.9)),
        "trials": len(rows),
        "since_off_minutes": round(statistics.median(minutes), 2),
    }


def _targets(figures: dict[str, Any], cost: dict[str, float]) -> dict[str, Any]:
    targets = []
    for kind, most in (("independent", 6), ("clusters of 10", 1), ("AR(1) 0.9", 1), ("daily wave", 0)):
        got = figures["false_events"][kind]
        what = f"false events, {got['rows'] / 1e6:g} M rows x 35 columns, {kind}"
        targets.append(_target(what, f"{got['events']}", f"<= {most}", met=got["events"] <= most))
    got = figures["false_events"]["endless category"]
    what = f"false events, {got['rows'] / 1e6:g} M rows of 100,000 values, new ones always among them"
    targets.append(_target(what, f"{got['events']}", "<= 0", met=not got["events"]))
    for name, (_, _, most) in CHANGES.items():
        rows = max(each["median"] for each in figures["delays"][name].values())
        targets.append(
            _target(f"rows to notice {name}, median", f"{rows:.0f}", f"<= {most}", met=rows <= most)
        )
    took = f"{cost['p50_ms']} ms"
    targets.append(_target("drift of 35 columns, a block", took, "<= 2 ms", met=cost["p50_ms"] <= 2))
    kept = f"{cost['bytes_per_series']} bytes"
    targets.append(_target("state of a column", kept, "<= 4096 bytes", met=cost["bytes_per_series"] <= 4096))
    return {"targets": targets}


def _target(what: str, measured: str, target: str, *, met: bool) -> dict[str, Any]:
    return {"what": what, "measured": measured, "target": target, "met": met}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="a tenth of the rows; writes no file")
    quick = arguments.parse_args().quick
    began = time.perf_counter()
    figures = measure(quick=quick)
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    report = {"benchmark": "drift", "at": stamp, "machine": machine(), **figures}
    report["seconds"] = round(time.perf_counter() - began)
    if not quick:
        (RESULTS / "drift.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    for target in figures["targets"]:
        verdict = "met" if target["met"] else "MISSED"
        print(f"  {verdict:6}  {target['what']}: {target['measured']} (target {target['target']})")
    rest = ("delays", "delays_default_budget", "hours_to_a_step_at_noon", "false_events", "evaluation")
    print(json.dumps({name: figures[name] for name in rest}, indent=1))


if __name__ == "__main__":
    main()

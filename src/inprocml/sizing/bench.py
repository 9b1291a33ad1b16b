"""One bundle measured, simulated, sized: what ``inprocml bench`` shows."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from textwrap import fill
from typing import Any

from inprocml.batching import Result
from inprocml.drawing import Markup, aligned, lines
from inprocml.sizing.drive import closed_loop, open_loop
from inprocml.sizing.measure import Measured, measure
from inprocml.sizing.plot import plot
from inprocml.sizing.recommend import Advice, Objective, holds, recommend, told_rate
from inprocml.sizing.settings import Seen, Settings, Simulated
from inprocml.sizing.simulate import simulate
from inprocml.sizing.subject import Subject, asking

__all__ = ["Bench", "Point", "bench"]

SHARES = (0.1, 0.5, 0.9)
_CURVE = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
_MOST_CALLERS = 64
_REQUESTS = 3000


@dataclass(frozen=True, slots=True)
class Point:
    """One load: what real callers saw (``None``: it was not tried), and what the simulation says."""

    load: str
    rate: float
    seen: Seen | None
    simulated: Simulated


@dataclass(frozen=True, kw_only=True)
class Bench:
    """All of it; ``str`` is the report for a terminal.

    ``capacity`` is the requests a second that a closed loop got; ``points`` are the loads that were tried for
    real, with the advised settings; ``curve`` is simulated.
    """

    measured: Measured
    advice: Advice
    capacity: float
    points: tuple[Point, ...]
    curve: tuple[Point, ...]

    @property
    def confirmed(self) -> bool | None:
        """Whether real callers met the objective too; ``None`` where that was not tried."""
        objective = self.advice.objective
        for point in self.points:
            if point.load == "stated" and point.seen is not None and objective.slo is not None:
                return holds(point.seen, objective)
        return None

    @property
    def met(self) -> bool:
        """Whether the objective holds, as far as was tried."""
        return self.advice.met and self.confirmed is not False

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it; seconds, and rows or requests a second."""
        return {
            "measured": self.measured.to_dict(),
            "advice": self.advice.to_dict(),
            "capacity": self.capacity,
            "points": [_row(point) for point in self.points],
            "curve": [_row(point) for point in self.curve],
            "confirmed": self.confirmed,
            "met": self.met,
        }

    def text(self, *, width: int = 80, ascii_only: bool = False) -> str:
        """Return the report as text, its plot ``width`` letters wide."""
        head = f"{self.measured.name} ({self.measured.backend} on {self.measured.device})"
        drawn = plot(self._series(), width=width, ascii_only=ascii_only, x="requests/s", y="ms")
        advice = "\n".join(
            fill(line, max(60, width), subsequent_indent="    ") for line in self._advice().split("\n")
        )
        parts = [head, self._batches(), self._loads(), f"latency against load\n{drawn}", advice]
        return "\n\n".join(parts)

    def svg(self) -> Markup:
        """Return latency against load as one SVG document, for light pages and dark ones."""
        caption = f"{self.measured.name}: latency against load"
        return lines(self._series(), caption, x="requests/s", y="ms", alone=True)

    def __str__(self) -> str:
        return self.text()

    def _series(self) -> dict[str, list[tuple[float, float]]]:
        real = [point for point in self.points if point.seen is not None and point.load != "closed loop"]
        return {
            "p50 simulated": [(point.rate, point.simulated.percentile(50) * 1e3) for point in self.curve],
            "p99 simulated": [(point.rate, point.simulated.percentile(99) * 1e3) for point in self.curve],
            "p50 measured": [(p.rate, p.seen.percentile(50) * 1e3) for p in real if p.seen],
            "p99 measured": [(p.rate, p.seen.percentile(99) * 1e3) for p in real if p.seen],
        }

    def _batches(self) -> str:
        timing, over = self.measured.timing, self.measured.overhead
        parts = (
            ("encode", over.before),
            ("decode", over.after),
            ("queue, alone", over.call),
            ("queue, in a batch", over.hand),
            ("wake a thread", over.wake),
        )
        cost = timing.cost
        rows = [
            (str(size), _ms(timing.at(size)), _ms(timing.at(size, 0.9)), f"{timing.rate(size):,.0f}")
            for size in timing.sizes
        ]
        told = [
            aligned([("rows", "median ms", "p90 ms", "rows/s"), *rows]),
            f"t(b) = {_ms(cost.a)} ms + {_ms(cost.c)} ms x rows, sigma {_ms(cost.sigma)} ms",
            f"best batch: {timing.best()} rows, the smallest within 5 % of the most rows/s",
            "beside the model, us: " + ", ".join(f"{what} {one * 1e6:.3g}" for what, one in parts),
        ]
        return "\n".join([*told, *self.measured.notes])

    def _loads(self) -> str:
        head = (
            "load",
            "requests/s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "batch",
            "refused",
            "simulated p50",
            "p99",
        )
        rows = [
            (
                point.load,
                f"{point.rate:,.0f}",
                *(_ms(point.seen.percentile(q)) for q in (50, 90, 99)),
                f"{point.seen.mean_batch:.3g}",
                f"{point.seen.refusals:.1%}",
                _ms(point.simulated.percentile(50)),
                _ms(point.simulated.percentile(99)),
            )
            for point in self.points
            if point.seen is not None
        ]
        note = (
            "measured with threads of this process, beside what was simulated. The simulation knows no\n"
            "other load on this machine: where p99 is far apart, something else used the processor"
        )
        return f"{aligned([head, *rows])}\n{note}"

    def _advice(self) -> str:
        advice = self.advice
        p = advice.objective.percentile
        within = f"p{p:g} {_ms(advice.expected.percentile(p))} ms"
        refused = f"{advice.expected.refusals:.1%} refused"
        told = [
            f"objective: {advice.objective}",
            f"use: {advice.settings}",
            f"expect: {within}, {advice.expected.rate:,.0f} answers/s, {refused} (simulated)",
            *(f"  - {line}" for line in advice.why),
        ]
        unit = "requests/s" if advice.objective.callers is None else "callers"
        if advice.met:
            told.append(f"holds up to about {told_rate(advice.limit)} {unit}")
        else:
            told += ["NOT MET", *(f"  - {line}" for line in advice.needed)]
        if advice.met and self.confirmed is False:
            told.append("NOT CONFIRMED by real callers: see the load stated, and try a quiet machine")
        return "\n".join(told)


def bench(
    subject: Subject,
    objective: Objective | None = None,
    *,
    max_batch_size: int = 64,
    seconds: float = 12.0,
) -> Bench:
    """Measure ``subject``, advise settings for ``objective``, and try them on real callers.

    ``seconds`` is about what measuring takes; simulating adds some seconds of its own.
    """
    measured = measure(subject, max_batch_size=max_batch_size, seconds=seconds / 3)
    advice = recommend(measured, objective, most=max_batch_size)
    settings = replace(advice.settings, slo=None)  # what would be refused is to be seen
    arriving = _with_arrivals(measured)
    share = seconds / 3 * 2 / (len(SHARES) + 2)
    points = [_closed(subject, measured, settings, share)]
    most = points[0].rate
    for load in [(f"{part:.0%}", part * most) for part in SHARES]:
        points += [_open(subject, arriving, settings, load, share)]
    rate = None if objective is None else objective.rate
    if rate is not None and rate < most:
        points.append(_open(subject, arriving, advice.settings, ("stated", rate), share))
    curve = [
        Point(f"{part:.0%}", part * most, None, _simulated(arriving, settings, rate=part * most))
        for part in _CURVE
    ]
    return Bench(measured=measured, advice=advice, capacity=most, points=tuple(points), curve=tuple(curve))


def _closed(subject: Subject, measured: Measured, settings: Settings, seconds: float) -> Point:
    callers = min(_MOST_CALLERS, 2 * settings.max_batch_size)
    runner = subject.runner(settings)
    try:
        seen = closed_loop(asking(subject, runner), callers=callers, seconds=seconds)
    finally:
        runner.close(10.0)
    return Point("closed loop", seen.rate, seen, _simulated(measured, settings, callers=callers))


def _open(
    subject: Subject, measured: Measured, settings: Settings, load: tuple[str, float], seconds: float
) -> Point:
    name, rate = load
    runner = subject.runner(settings)
    try:
        seen = open_loop(asking(subject, runner), rate=rate, seconds=seconds)
    finally:
        runner.close(10.0)
    return Point(name, rate, seen, _simulated(measured, settings, rate=rate))


def _simulated(measured: Measured, settings: Settings, **load: Any) -> Simulated:
    return simulate(measured.timing, settings, overhead=measured.overhead, requests=_REQUESTS, **load)


def _with_arrivals(measured: Measured) -> Measured:
    """Add what it costs this process to let a request arrive: in an application, the web server's part."""
    empty = Result({}, 0.0, inline=True, batch_rows=1)
    began = time.process_time()
    seen = open_loop(lambda _: empty, rate=2000.0, seconds=0.3)
    cost = (time.process_time() - began) / max(1, seen.answered)
    overhead = replace(measured.overhead, before=measured.overhead.before + cost)
    return replace(measured, overhead=overhead)


def _row(point: Point) -> dict[str, Any]:
    return {
        "load": point.load,
        "rate": point.rate,
        "measured": None if point.seen is None else point.seen.to_dict(),
        "simulated": point.simulated.to_dict(),
    }


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"

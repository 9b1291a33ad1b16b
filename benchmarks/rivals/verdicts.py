"""What the figures say about the promises: medians of rounds, ratios, and whether a target is met. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.rivals.contestants import CONTESTANTS

__all__ = ["closed_targets", "judged", "medians", "open_targets"]

LOADS_OF_P50 = ("2", "10", "30")  # percent: where p50 must be twice as good as that of a 10 ms linger
EAGER, TEN = "eager", "10 ms"


def medians(rounds: Sequence[Any]) -> Any:
    """Fold equal trees of numbers into one, number by number."""
    if isinstance(rounds[0], dict):
        return {key: medians([turn[key] for turn in rounds]) for key in rounds[0]}
    return round(statistics.median(rounds), 3)


def judged(what: str, measured: float, target: float) -> dict[str, Any]:
    """Hold a figure against its target; ``what`` ends in "at most" or "at least", which says how."""
    if not what.endswith(("at most", "at least")):
        raise ValueError(f"{what!r} must end in 'at most' or 'at least'")
    met = measured <= target if what.endswith("at most") else measured >= target
    return {"what": what, "measured": round(measured, 3), "target": target, "met": met}


def closed_targets(figures: dict[str, Any], callers: Sequence[int]) -> list[dict[str, Any]]:
    """Judge the closed loops: ``figures`` by contestant, model (``mlp``, ``slow``) and number of callers.

    Of threads and coroutines, and of the numbers of callers, the worst counts. Ratios were taken within one
    process (``of_ceiling``, ``p99_batches``); CPU is compared between processes, where it is the same work.
    """
    ours = [figures[one.name] for one in CONTESTANTS if one.ours and one.name in figures]
    sizes = [str(size) for size in callers]
    said = f"{' and '.join(sizes)} callers"

    def worst(model: str, key: str, pick: Callable[[list[float]], float]) -> float:
        return pick([one[model][size][key] for one in ours for size in sizes])

    targets = [
        judged(
            "a lone caller pays for the runner, us over a bare session.run, at most",
            figures["inprocml, threads"]["mlp"]["lone"]["over_bare_us"],
            8.0,
        )
    ]
    for model, title, share in (("mlp", "50 us model", 0.65), ("slow", "2 ms model", 0.9)):
        targets += [
            judged(
                f"{said}, {title}: rows/s over session.run at that batch, at least",
                worst(model, "of_ceiling", min),
                share,
            ),
            judged(f"{said}, {title}: p99 in batch times, at most", worst(model, "p99_batches", max), 2.0),
        ]
        for form, callees in (("threads", "threads"), ("tasks", "coroutines")):
            if (ratio := _cpu(figures, model, sizes, form)) is not None:
                what = f"{said}, {title}: CPU per row over the cheapest rival's, {callees}, at most"
                targets.append(judged(what, ratio, 1.0))
    return targets + _against_none(figures)


def _cpu(figures: dict[str, Any], model: str, sizes: Sequence[str], form: str) -> float | None:
    """Return our CPU per row over that of the cheapest rival called in the same form, at the worst size."""
    takers = [one for one in CONTESTANTS if one.form == form and one.name in figures]
    ratios = []
    for size in sizes:
        cpu = {one.name: float(figures[one.name][model][size]["cpu_us_per_row"]) for one in takers}
        mine = [cpu[one.name] for one in takers if one.ours]
        theirs = [cpu[one.name] for one in takers if not one.ours]
        if not mine or not theirs:
            return None
        ratios.append(min(mine) / min(theirs))
    return max(ratios)


def _against_none(figures: dict[str, Any]) -> list[dict[str, Any]]:
    ours, lock, free = (
        figures[name]["mlp"]["32"]
        for name in (
            "inprocml, threads",
            "a lock around session.run",
            "session.run unsynchronised, both cores",
        )
    )
    return [
        judged(
            "32 threads: rows/s over a lock around session.run, at least",
            ours["rows_per_second"] / lock["rows_per_second"],
            2.0,
        ),
        judged(
            "32 threads: p99 over that of unsynchronised calls, at most", ours["p99_ms"] / free["p99_ms"], 0.2
        ),
    ]


def open_targets(loads: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """Judge the open loop: figures by load in percent and policy; the worst load counts."""
    tails, middles = [], []
    for load, policies in loads.items():
        eager = policies[EAGER]
        best = min(figures["p99_ms"] for policy, figures in policies.items() if policy != EAGER)
        tails.append(eager["p99_ms"] / best)
        if load in LOADS_OF_P50:
            middles.append(policies[TEN]["p50_ms"] / eager["p50_ms"])
    said = ", ".join(loads)
    return [
        judged(f"Poisson at {said} % load: p99 over that of the best fixed linger, at most", max(tails), 1.1),
        judged("Poisson up to 30 % load: p50 of a 10 ms linger over ours, at least", min(middles), 2.0),
    ]

"""One contestant in a process of its own: ``python -m benchmarks.rivals.child ORDER``.

ORDER is JSON: ``{"make": "module:function", "options": {}, "models": {name: path}, "callers": [32, 128],
"seconds": 0.8, "ceiling_seconds": 0.25, "lone_seconds": 0.4}``. One line of JSON is the answer, on the last
line of stdout: the figures by model, or ``{"failed": why}``. The ceiling is measured here as well, so that
ratios are taken within one process and one minute.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
from typing import Any

import numpy as np

from benchmarks.rivals.load import ceiling, closed, descendants, lone, on_loop, rounded, rows
from benchmarks.rivals.way import Session, Way

__all__ = ["check", "mean", "measure"]


def check(way: Way, model: Session) -> None:
    """Ask once, and refuse a contestant that answers something else than the model."""
    row = rows(11)
    if way.acall is None:
        assert way.call is not None
        answer = way.call(row)
    else:
        answer = on_loop(_once(way, row))
    if not np.allclose(np.asarray(answer).reshape(-1), model.run(row)[0], rtol=1e-3, atol=1e-5):
        raise RuntimeError("answers differ from those of the bare model")


async def _once(way: Way, row: Any) -> Any:
    assert way.acall is not None
    return await way.acall(row)


def measure(order: dict[str, Any]) -> dict[str, Any]:
    module, _, function = order["make"].partition(":")
    make = getattr(importlib.import_module(f"benchmarks.rivals.{module}"), function)
    figures: dict[str, Any] = {}
    for name, path in order["models"].items():
        model = Session(path)
        figures[name] = {}
        for callers in order["callers"]:
            way = make(model, callers, **order["options"])
            check(way, model)
            before = ceiling(model, callers, order["ceiling_seconds"] / 2)
            busy = closed(way, callers, order["seconds"])
            most = mean(before, ceiling(model, callers, order["ceiling_seconds"] / 2))
            figures[name][str(callers)] = {"ceiling": most, **busy, **_ratios(busy, most)}
            if callers == order["callers"][0]:
                figures[name]["lone"] = lone(way, model, order["lone_seconds"])
            way.close()
    return figures


def mean(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Fold what was measured before and after into one: a core that slowed down meanwhile did so for both."""
    return {key: (before[key] + after[key]) / 2 for key in before}


def _ratios(busy: dict[str, float], most: dict[str, float]) -> dict[str, float]:
    return {
        "of_ceiling": busy["rows_per_second"] / most["rows_per_second"],
        "p99_batches": busy["p99_ms"] / most["batch_ms"],
    }


def main() -> None:
    try:
        answer = rounded(measure(json.loads(sys.argv[1])))
    except BaseException as error:
        answer = {"failed": f"{type(error).__name__}: {error}"[:300]}
    print("\n" + json.dumps(answer), flush=True)
    for pid in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)  # the contestants' own threads may be busy for ever


if __name__ == "__main__":
    main()

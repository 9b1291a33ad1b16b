"""What monitoring costs: a request's part, the CPU behind it, a decision, and memory over ten million rows.

35 columns: 30 numbers and 5 categories; and, for itself, a picture of 224 x 224 pixels. Everything in one
process, the watcher beside the requests, as in a server.

    python -m benchmarks.monitoring            # 3 minutes
    python -m benchmarks.monitoring --quick    # 20 seconds
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from inprocml import Category, Image, Numeric, Transform
from inprocml.model.replayed import accepted_columns
from inprocml.monitoring import Monitor, Monitoring, build_baseline, layout_of
from inprocml.monitoring.alarm import Alarm
from inprocml.monitoring.glimpses import Glimpses
from inprocml.monitoring.scalars import heavy_fields, with_scalars

NUMBERS, CATEGORIES = 30, 5
FULL = {"calls": 200_000, "counted": 200_000, "blocks": 400, "rows": 10_000_000}
QUICK = {"calls": 20_000, "counted": 20_000, "blocks": 100, "rows": 300_000}
PAUSE = 0.002  # seconds between bursts of requests
BURST = 20


def rows_of(random: np.random.Generator, count: int) -> list[dict[str, Any]]:
    numbers = random.normal(size=(count, NUMBERS))
    words = random.integers(0, 8, size=(count, CATEGORIES))
    return [
        {f"n{k}": float(numbers[place, k]) for k in range(NUMBERS)}
        | {f"c{k}": f"w{words[place, k]}" for k in range(CATEGORIES)}
        for place in range(count)
    ]


def made(folder: Path, random: np.random.Generator, **how: Any) -> tuple[Monitor, list[dict[str, Any]]]:
    rows = rows_of(random, 5_000)
    fields: dict[str, Any] = {f"n{k}": Numeric() for k in range(NUMBERS)}
    fields |= {f"c{k}": Category() for k in range(CATEGORIES)}
    transform = Transform(fields).fit(rows)
    baseline = build_baseline(transform.schema, transform.columns(rows))
    monitor = Monitor(
        layout_of(baseline),
        model="bench",
        version="1",
        digest="0",
        inputs=accepted_columns(transform, baseline),
        outputs=lambda _outputs: {},
        settings=Monitoring(folder=folder, **how),
    )
    return monitor, rows


def pictured(folder: Path) -> tuple[Monitor, list[dict[str, Any]], dict[str, Any]]:
    """Return a monitor of pictures, rows of 100 KB each, and the tensor that one is made into."""
    rows = [{"photo": bytes(100_000)} for _ in range(50)]
    transform = Transform({"photo": Image(size=(224, 224))}).fit(rows)
    made = {"photo": np.random.default_rng(0).random((3, 224, 224), np.float32)}
    glimpses = Glimpses(transform.media)
    columns = glimpses.beside(transform.columns(rows), glimpses.numbers([glimpses.of(made)] * len(rows)))
    monitor = Monitor(
        layout_of(build_baseline(transform.schema, with_scalars(transform.schema, columns))),
        model="bench",
        version="1",
        digest="1",
        inputs=lambda rows: with_scalars(transform.schema, transform.columns(rows)),
        outputs=lambda _outputs: {},
        settings=Monitoring(folder=folder),
        glimpses=glimpses,
        heavy=heavy_fields(transform.schema),
    )
    return monitor, rows, made


def request(
    monitor: Monitor, rows: list[dict[str, Any]], calls: int, made: dict[str, Any] | None = None
) -> dict[str, float]:
    """Time each ``saw`` beside a call that does nothing, in bursts, while the watcher counts."""
    outputs = {"scores": np.ones((1, 1), np.float32)}
    clock, saw = time.perf_counter_ns, monitor.saw

    def nothing(row: Any, outputs: Any, prediction_id: Any, made: Any) -> None:
        pass

    took: dict[str, list[int]] = {"saw": [], "nothing": []}
    pause = threading.Event()
    for start in range(0, calls, BURST):
        for name, call in (("saw", saw), ("nothing", nothing)):
            mine = took[name]
            for number in range(start, start + BURST):
                row = rows[number % len(rows)]
                began = clock()
                call(row, outputs, "id", made)
                mine.append(clock() - began)
        pause.wait(PAUSE)
    floor = statistics.median(took["nothing"])
    return {
        "p50_us": (statistics.median(took["saw"]) - floor) / 1e3,
        "p99_us": (float(np.percentile(took["saw"], 99)) - floor) / 1e3,
    }


def counting(monitor: Monitor, rows: list[dict[str, Any]], count: int) -> dict[str, float]:
    """CPU of this process for each row, request's part, counting, publishing and deciding together."""
    outputs = {"scores": np.ones((1, 1), np.float32)}
    began, started = time.process_time(), time.perf_counter()
    for start in range(0, count, 2_000):
        for number in range(start, start + 2_000):
            monitor.saw(rows[number % len(rows)], outputs, "id")
        monitor.look()
    return {
        "cpu_us_per_row": (time.process_time() - began) / count * 1e6,
        "wall_us_per_row": (time.perf_counter() - started) / count * 1e6,
    }


def evaluating(monitor: Monitor, random: np.random.Generator, blocks: int) -> dict[str, float]:
    """Milliseconds to take in a block of 100 rows and judge all columns over all windows."""
    layout = monitor.layout
    reference = [part / part.sum() for part in layout.parts(layout.reference())]
    alarm, took = Alarm(layout, model="bench", version="1"), []
    for block in range(blocks + 600):
        counts = layout.joined([random.multinomial(100, shares) for shares in reference])
        began = time.perf_counter()
        alarm.add(counts, 100, 1e9 + 60.0 * block)
        took.append(time.perf_counter() - began)
    return {"block_ms": statistics.median(took[600:]) * 1e3, "state_bytes_per_column": _size(alarm, layout)}


def _size(alarm: Alarm, layout: Any) -> float:
    return len(alarm.dump()) / len(layout.series)


def memory(monitor: Monitor, rows: list[dict[str, Any]], count: int) -> dict[str, float]:
    """Resident memory after a tenth of the rows and after all, in MB."""
    outputs = {"scores": np.ones((1, 1), np.float32)}
    after_a_tenth = 0.0
    for start in range(0, count, 10_000):
        for number in range(start, start + 10_000):
            monitor.saw(rows[number % len(rows)], outputs, "id")
        monitor.look()
        if start == count // 10 // 10_000 * 10_000:
            after_a_tenth = _resident()
    return {"rows": count, "mb_after_a_tenth": after_a_tenth, "mb_after_all": _resident()}


def _resident() -> float:
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def measure(extent: dict[str, int] = FULL) -> dict[str, Any]:
    """Return the figures and the verdicts."""
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        monitor, rows = made(Path(folder), random)
        figures: dict[str, Any] = {"request": request(monitor, rows, extent["calls"])}
        monitor.close()
        monitor, pictures, tensors = pictured(Path(folder) / "pictures")
        figures["request with a picture"] = request(monitor, pictures, extent["calls"] // 10, tensors)
        monitor.close()
        monitor, rows = made(Path(folder) / "all", random, most_rows=1_000_000)
        figures["every row counted"] = counting(monitor, rows, extent["counted"])
        monitor.close()
        monitor, rows = made(Path(folder) / "some", random)
        figures["evaluation"] = evaluating(monitor, random, extent["blocks"])
        figures["memory"] = memory(monitor, rows, extent["rows"])
        monitor.close()
    return {"columns": NUMBERS + CATEGORIES, **figures, "targets": _targets(figures)}


def _targets(figures: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = [
        ("a request's part, p50 us, at most", figures["request"]["p50_us"], 1.0),
        ("a request's part, p99 us, at most", figures["request"]["p99_us"], 5.0),
        ("CPU in all, us a counted row, at most", figures["every row counted"]["cpu_us_per_row"], 2.0),
        ("35 columns over all windows, ms a block, at most", figures["evaluation"]["block_ms"], 2.0),
        ("state, bytes a column, at most", figures["evaluation"]["state_bytes_per_column"], 4096.0),
        (
            "memory gained from a tenth of the rows to all, MB, at most",
            figures["memory"]["mb_after_all"] - figures["memory"]["mb_after_a_tenth"],
            1.0,
        ),
    ]
    return [
        {"what": what, "measured": round(value, 3), "target": limit, "met": value <= limit}
        for what, value, limit in wanted
    ]


def show(report: dict[str, Any]) -> None:
    """Print the figures."""
    for name in ("request", "request with a picture", "every row counted", "evaluation", "memory"):
        print(f"{name}: " + ", ".join(f"{key} {value:,.2f}" for key, value in report[name].items()))


if __name__ == "__main__":
    found = measure(QUICK if "--quick" in sys.argv else FULL)
    show(found)
    print(json.dumps({"machine": machine(), "targets": found["targets"]}, indent=2))

"""What a device did and when: how much of it overlapped, and the same as a picture.

Both the simulated device and the benchmark on a real one speak of their work in ``Operation``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = ["Operation", "chrome_trace", "overlap"]


class Operation(NamedTuple):
    """One operation of a device: ``begin`` and ``end`` in seconds, ``batch`` counted from 1."""

    stream: str
    name: str  # copy_in, copy, compute, capture, replay, copy_out
    batch: int
    begin: float
    end: float


def overlap(operations: Sequence[Operation]) -> float:
    """Return which part of the time of copying in was spent while another batch computed: 0 to 1.

    0 too where nothing was copied in. The first batch has nothing to hide behind, so 1 is not reached.
    """
    runs = [each for each in operations if each.name in {"compute", "replay"}]
    copied = hidden = 0.0
    for copy in operations:
        if copy.name == "copy_in":
            copied += copy.end - copy.begin
            hidden += _covered(copy, (run for run in runs if run.batch != copy.batch))
    return hidden / copied if copied else 0.0


def chrome_trace(operations: Iterable[Operation], *, device: str = "device") -> dict[str, Any]:
    """Return the operations in the Trace Event Format (JSON) that Perfetto and ``chrome://tracing`` open.

    A row a stream, times in microseconds. Source: "Trace Event Format", the ``X`` and ``M`` events.
    """
    rows: dict[str, int] = {}
    events: list[dict[str, Any]] = []
    for each in operations:
        row = rows.setdefault(each.stream, len(rows))
        events.append(
            {
                "name": f"{each.name} {each.batch}",
                "cat": each.name,
                "ph": "X",
                "pid": 0,
                "tid": row,
                "ts": each.begin * 1e6,
                "dur": (each.end - each.begin) * 1e6,
                "args": {"batch": each.batch},
            }
        )
    names = [("process_name", 0, device), *(("thread_name", row, stream) for stream, row in rows.items())]
    told = [
        {"name": what, "ph": "M", "pid": 0, "tid": row, "args": {"name": name}} for what, row, name in names
    ]
    return {"displayTimeUnit": "ms", "traceEvents": [*told, *events]}


def _covered(copy: Operation, runs: Iterable[Operation]) -> float:
    """Seconds of ``copy`` in which one of ``runs``, which follow each other, was going on."""
    covered, seen = 0.0, copy.begin
    for run in sorted(runs, key=lambda each: each.begin):
        begin, end = max(run.begin, seen), min(run.end, copy.end)
        if end > begin:
            covered += end - begin
            seen = end
    return covered

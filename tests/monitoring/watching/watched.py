"""Monitors of one version, as the processes of a host have them."""

from __future__ import annotations

import numpy as np
from tests.monitoring.counting.kit import FORM, TRANSFORM, outputs_of, rows_of

from inprocml.monitoring import Monitoring
from inprocml.monitoring.watching import Monitor
from inprocml.monitoring.watching.watcher import Watcher

START = 1_780_000_000.0


class Clock:
    def __init__(self, now=START):
        self.now = now

    def __call__(self):
        return self.now


class Idle(Watcher):
    """Has no thread: the test looks when it wants to."""

    def __init__(self):
        super().__init__()
        self.asleep = False


def columns_of(outputs):
    answered = outputs["probability"]
    return {f"probability[{k}]": answered[:, k] for k in range(2)}


def monitor_of(folder, clock, *, digest="d" * 64, **how):
    settings = Monitoring(folder=folder, **how)
    return Monitor(
        FORM.layout,
        model="late",
        version="1",
        digest=digest,
        inputs=TRANSFORM.columns,
        outputs=columns_of,
        settings=settings,
        clock=clock,
        wakes=Idle(),
    )


def serve(monitor, rows):
    """Answer rows as requests do, one by one."""
    answered = outputs_of(rows)["probability"]
    for place, row in enumerate(rows):
        monitor.saw(row, {"probability": answered[place : place + 1]}, f"{place:x}")


def totals(monitor):
    """Rows and counts of all processes."""
    return monitor.ask(
        lambda known: (known.total.rows, known.total.counts.copy(), known.scope, known.workers)
    )


def days(monitor, clock, rows, seconds=86_400.0, steps=288):
    """Serve rows evenly over some time; return the events."""
    events = []
    monitor.listen(events.append)
    for part in np.array_split(np.arange(len(rows)), steps):
        clock.now += seconds / steps
        serve(monitor, [rows[place] for place in part])
        monitor.look()
    return events


__all__ = ["START", "Clock", "Idle", "columns_of", "days", "monitor_of", "rows_of", "serve", "totals"]

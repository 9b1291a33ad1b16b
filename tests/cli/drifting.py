"""Counts of the small model in a folder, as servers leave them: healthy days, then other rows."""

from __future__ import annotations

import sys
import time

import numpy as np
from tests.conftest import make_rows
from tests.monitoring.watching.watched import Clock, Idle

from inprocml import Bundle
from inprocml.monitoring import Monitor, Monitoring, layout_of

HEALTHY, MOVED = make_rows(4_000, seed=5)[0], make_rows(4_000, seed=6)[0]
for row in MOVED:
    row["amount"] += 60.0


def monitor_of(path, folder, clock):
    bundle = Bundle.open(path)
    return Monitor(
        layout_of(bundle.baseline),
        model=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        inputs=bundle.transform.columns,
        outputs=lambda given: {f"probability[{place}]": given["p"][:, place] for place in range(2)},
        settings=Monitoring(folder=folder),
        clock=clock,
        wakes=Idle(),
    )


def serve(monitor, clock, rows, hours, steps):
    random = np.random.default_rng(steps)
    for _ in range(steps):
        clock.now += hours * 3_600 / steps
        part = [rows[place] for place in random.integers(0, len(rows), 100)]
        p = 1 / (1 + np.exp(-(np.array([row["amount"] for row in part]) - 60) / 8))
        monitor.saw_table(part, [{"p": np.stack([1 - p, p], axis=1)}])
        monitor.look()


def drift(path, folder, *, begin=None):
    """Serve four healthy days and half a day of other rows; return monitor and clock."""
    clock = Clock(time.time() - 4.5 * 86_400 if begin is None else begin)
    monitor = monitor_of(path, folder, clock)
    serve(monitor, clock, HEALTHY, 96, 500)
    serve(monitor, clock, MOVED, 12, 60)
    return monitor, clock


def main():
    """Live on with what was counted, and decide, until told to end."""
    monitor = monitor_of(sys.argv[1], sys.argv[2], time.time)
    monitor.saw_table(HEALTHY[:5], [{"p": np.full((5, 2), 0.5)}])
    monitor.look()
    print("ready", flush=True)
    sys.stdin.read()
    monitor.close()


if __name__ == "__main__":
    main()

"""What ``inprocml watch --on-drift`` runs: train anew, check, promote. The event comes on standard input.

``python -m examples.retrain.retrain HOME < event.json``; exits with 1 where the old version is to go on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from examples.retrain.world import train
from inprocml import Store
from inprocml.checking import Limits, check
from inprocml.monitoring import DriftEvent, captured

ENOUGH = 1_000


def main() -> int:
    home = Path(sys.argv[1])
    event = DriftEvent.from_dict(json.load(sys.stdin))
    store = Store(home / "fraud")
    table = captured(home / "rows", version=event.version, labelled=True)
    if table.num_rows < ENOUGH:
        print(f"{table.num_rows} labelled rows are too few to train on")
        return 1
    last = table.num_rows * 3 // 4  # the newest rows judge
    learnt, held_out = table.slice(0, last), table.slice(last)
    new = train(str(store.path), learnt, learnt.column("_label").to_pylist())
    report = check(
        new,
        against=store.open("production"),
        table=held_out,
        labels=held_out.column("_label").to_pylist(),
        limits=Limits(latency=5.0),
    )
    print(report)
    if not report.passed:
        return 1
    why = f"drift {event.id}: " + "; ".join(found.why for found in event.findings[:3])
    store.promote(new.version, why=why[:4096], who="retrain")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

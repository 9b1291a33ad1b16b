"""``make bench``: every benchmark, one JSON file each in ``benchmarks/results/``, one table on the screen.

``make bench ARGS="imports predict"`` runs some of them. A figure is compared only with what ran beside it.
"""

from __future__ import annotations

import argparse
import importlib
import json
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results"
ALL = ["imports", "batching", "transform", "predict", "bulk", "views", "load", "swaps", "monitoring"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", default=ALL, help=f"which: {' '.join(ALL)}")
    RESULTS.mkdir(exist_ok=True)
    for name in arguments.parse_args().names:
        print(f"== {name}", flush=True)
        figures = importlib.import_module(f"benchmarks.{name}").measure()
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        report = {"benchmark": name, "at": stamp, "machine": machine(), **figures}
        (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
        for target in figures.get("targets", []):
            verdict = "met" if target["met"] else "MISSED"
            print(f"  {verdict:6}  {target['what']}: {target['measured']} (target {target['target']})")


if __name__ == "__main__":
    main()

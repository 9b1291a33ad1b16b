"""What ``import inprocml`` costs over bare Python: interleaved processes, medians."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

ROUNDS = 15


def measure() -> dict[str, Any]:
    """Return milliseconds of a process that does nothing, and of ones that import."""
    programs = {
        "bare": "pass",
        "inprocml": "import inprocml",
        "numpy": "import numpy",
        "flask": "import flask",
    }
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, code in programs.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times[name].append(1000 * (time.perf_counter() - began))
    bare = statistics.median(times["bare"])
    over = {
        name: round(statistics.median(taken) - bare, 1) for name, taken in times.items() if name != "bare"
    }
    return {
        "process_ms": {name: round(statistics.median(taken), 1) for name, taken in times.items()},
        "import_ms": over,
        "targets": [
            {
                "what": "import inprocml over bare Python",
                "measured": f"{over['inprocml']} ms",
                "target": "<= 60 ms",
                "met": over["inprocml"] <= 60,
            }
        ],
    }

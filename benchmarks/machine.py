"""What a figure was measured on: it means nothing without that."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = [
    "inprocml",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "scikit-learn",
    "flask",
    "gunicorn",
    "pandas",
    "polars",
    "pyarrow",
    "pydantic",
    "river",
    "skl2onnx",
]


def machine() -> dict[str, Any]:
    """Return CPU model, cores, Python and package versions."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

"""Who takes part, where each is installed, and how one is asked for its figures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = ["CONTESTANTS", "Contestant", "ask", "ask_child"]

ROOT = Path(__file__).parent.parent.parent
HERE, RIVALS, MLSERVER, TRITON = "", ".venv-rivals", ".venv-rivals-mlserver", ".venv-rivals-triton"
PATIENCE = 150  # seconds for one child


@dataclass(frozen=True)
class Contestant:
    """A line of the table. ``form`` is what calls it; ``place`` the folder of its environment."""

    name: str
    make: str  # module:function in this package
    form: str  # "threads" or "tasks"
    place: str = RIVALS
    options: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def ours(self) -> bool:
        return self.make.startswith("ours:")


CONTESTANTS = (
    Contestant("inprocml, threads", "ours:threads", "threads", HERE),
    Contestant("inprocml, asyncio", "ours:tasks", "tasks", HERE),
    Contestant("a lock around session.run", "threaded:lock", "threads", HERE),
    Contestant("session.run unsynchronised, both cores", "threaded:unsynchronised", "threads", HERE),
    Contestant("batched, 5 ms (default)", "threaded:batched", "threads"),
    Contestant("batched, 1 ms", "threaded:batched", "threads", options={"timeout_ms": 1.0}),
    Contestant("batched, 0 ms (spins)", "threaded:batched", "threads", options={"timeout_ms": 0.0}),
    Contestant("service-streamer, 100 ms (default)", "threaded:service_streamer", "threads"),
    Contestant(
        "service-streamer, 1 ms", "threaded:service_streamer", "threads", options={"max_latency": 0.001}
    ),
    Contestant("async-batcher, 10 ms (default)", "looped:async_batcher", "tasks"),
    Contestant("async-batcher, 1 ms", "looped:async_batcher", "tasks", options={"max_queue_time": 0.001}),
    Contestant("Ray Serve's batch queue in process, 10 ms (default)", "looped:ray_serve", "tasks"),
    Contestant(
        "Ray Serve's batch queue in process, 0 ms", "looped:ray_serve", "tasks", options={"wait": 0.0}
    ),
    Contestant("BentoML's dispatcher in process", "looped:bentoml", "tasks"),
    Contestant("MLServer's batcher in process, 5 ms", "looped:mlserver", "tasks", MLSERVER),
    Contestant("LitServe's worker over its queue, 5 ms", "servers:litserve", "threads"),
    Contestant(
        "LitServe's worker over its queue, 0 ms (spins)",
        "servers:litserve",
        "threads",
        options={"timeout": 0.0},
    ),
    Contestant("PyTriton over gRPC, 0 ms", "servers:pytriton", "tasks", TRITON),
)


def ask(contestant: Contestant, order: dict[str, Any]) -> dict[str, Any]:
    """Return a contestant's figures by model, or ``{"failed": why}``."""
    return ask_child(
        "child", contestant.place, {"make": contestant.make, "options": dict(contestant.options), **order}
    )


def ask_child(module: str, place: str, order: dict[str, Any], patience: float = PATIENCE) -> dict[str, Any]:
    """Run a module of this package in the environment at ``place``; its last line of stdout is the answer."""
    python = Path(sys.executable) if place == HERE else ROOT / place / "bin" / "python"
    if not python.exists():
        return {"failed": f"there is no {place}; `make rivals` makes it"}
    command = [str(python), "-m", f"benchmarks.rivals.{module}", json.dumps(order)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=_environment(python, place),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            said = child.communicate(timeout=patience)[0]
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return {"failed": f"no answer within {patience:.0f} s"}
    lines = said.strip().splitlines()
    try:
        answer: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return {"failed": f"exit {child.returncode} without figures"}
    return answer


def _environment(python: Path, place: str) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if place == HERE:
        environment["PYTHONPATH"] = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    if place == TRITON:  # its server embeds the interpreter as a shared library
        where = [str(python), "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"]
        environment["LD_LIBRARY_PATH"] = subprocess.run(
            where, capture_output=True, text=True, check=True
        ).stdout.strip()
    return environment

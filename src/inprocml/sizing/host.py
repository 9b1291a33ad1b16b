"""What machine and process are, as far as it matters to serving: nothing is measured and nothing changed."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inprocml.backends import thread_budget
from inprocml.backends.nvml import usage

__all__ = ["Finding", "look", "patched"]

_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "torch")
_MEBI = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what was found, whether that is well, and what to do about it if not."""

    what: str
    found: str
    verdict: Literal["ok", "note", "bad"] = "ok"
    advice: str = ""


def look() -> tuple[Finding, ...]:
    """Look at interpreter, cores, runtimes, GPU and whatever has changed threads and forks here."""
    return (_python(), _cores(), *_load(), *_runtimes(), *_gpu(), _telemetry(), _threads(), _forks())


def patched() -> str | None:
    """Return what has made threads of this process greenlets: ``"gevent"``, ``"eventlet"``; or ``None``."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return "gevent"
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        return "eventlet"
    return None


def _python() -> Finding:
    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    told = f"{platform.python_implementation()} {platform.python_version()}, "
    told += (
        f"switch interval {sys.getswitchinterval() * 1e3:g} ms"
        if locked
        else "without the interpreter's lock"
    )
    return Finding("python", told)


def _cores() -> Finding:
    """Say what a worker may use: the machine's cores, less affinity and quota, shared by processes."""
    machine = os.cpu_count() or 1
    allowed, threads = thread_budget(1), thread_budget()
    told = f"{machine} in the machine, {allowed} allowed to this process"
    if threads != allowed:
        told += f", shared by {allowed // threads} processes"
    told += f": {threads} thread{'s' if threads > 1 else ''} for the model"
    if allowed < machine:
        advice = "affinity or a cgroup quota binds; the thread budget keeps to it"
        return Finding("cores", told, "ok", advice)
    if "WEB_CONCURRENCY" not in os.environ:
        return Finding(
            "cores", told, "ok", "set WEB_CONCURRENCY to the server's processes if they are spawned"
        )
    return Finding("cores", told)


def _load() -> Iterator[Finding]:
    if not hasattr(os, "getloadavg"):
        return
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > 0.5 * cores:
        advice = "something else computes on this machine: measured times are longer than they need be"
        yield Finding("load", f"{load:.1f} on {cores} cores", "note", advice)
    else:
        yield Finding("load", f"{load:.1f} on {cores} cores")


def _runtimes() -> Iterator[Finding]:
    found = {name: version for name in _RUNTIMES if (version := _version(name)) is not None}
    told = ", ".join(f"{name} {version}" for name, version in found.items())
    if "onnxruntime" in found and "onnxruntime-gpu" in found:
        yield Finding(
            "runtimes",
            told,
            "bad",
            "onnxruntime and onnxruntime-gpu overwrite each other's files: pip uninstall both, then "
            "pip install 'inprocml[gpu]' or 'inprocml[cpu]'",
        )
    elif found:
        yield Finding("runtimes", told)
    else:
        yield Finding("runtimes", "none", "note", "pip install 'inprocml[cpu]' to run ONNX models quickly")


def _gpu() -> Iterator[Finding]:
    used = usage()
    if used is None:
        yield Finding("gpu", "no NVIDIA driver or device")
        return
    told = f"{used.free // _MEBI:,} of {used.whole // _MEBI:,} MiB free"
    if used.busy is not None:
        told += f", busy {used.busy:.0%}"
    if _version("onnxruntime-gpu") is None and _version("torch") is None:
        yield Finding("gpu", told, "note", "no runtime here uses it: pip install 'inprocml[gpu]'")
    else:
        yield Finding("gpu", told)


def _telemetry() -> Finding:
    name = "ONNX Runtime's telemetry"
    if os.environ.get("ORT_DISABLE_TELEMETRY") == "1":
        return Finding(name, "off")
    if "onnxruntime" not in sys.modules:
        return Finding(name, "off: inprocml turns it off before it imports the runtime")
    advice = (
        "set ORT_DISABLE_TELEMETRY=1 before onnxruntime is imported: from 1.29 on its thread may hang forked "
        "workers at exit"
    )
    return Finding(name, "the host imported the runtime with it on", "note", advice)


def _threads() -> Finding:
    by = patched()
    if by is None:
        return Finding("threads", f"{threading.active_count()} of this process, real ones")
    return Finding(
        "threads",
        f"greenlets, by {by}",
        "note",
        "while the model computes inline, no other greenlet of this process runs; take thread workers "
        "(gthread) for rows that take longer than a millisecond",
    )


def _forks() -> Finding:
    import multiprocessing

    method = multiprocessing.get_start_method(allow_none=True)  # asking for the default would fix it
    told = f"started by {method}" if method else "not chosen yet"
    if method != "fork" or threading.active_count() == 1:
        return Finding("processes", told)
    advice = "threads do not survive a fork: fork before models are used, or take 'spawn' or 'forkserver'"
    return Finding("processes", f"{told}, with {threading.active_count()} threads alive", "note", advice)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None

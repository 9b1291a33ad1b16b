"""What a ``Model`` is declared with, judged where it is written and not in the first request."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from inprocml.bundle import Bundle
from inprocml.protocols import Backend

__all__ = ["BackendChoice", "Device", "Options", "check_version"]

Device = Literal["cpu", "cuda", "tensorrt", "auto"]
BackendChoice = str | Callable[[Bundle], Backend] | None

_DEVICES = ("cpu", "cuda", "tensorrt", "auto")
_BACKENDS = ("onnx", "torch", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The keyword arguments of ``Model``; raises ``TypeError`` or ``ValueError`` that names the argument."""

    name: str | None
    version: str | None
    backend: BackendChoice
    device: Device
    threads: int | None
    max_batch_size: int
    max_queue_delay: float
    max_queue_size: int
    poll_interval: float

    def __post_init__(self) -> None:
        check_version(self.version)
        if not isinstance(self.name, str | None):
            raise TypeError(f"name is a {type(self.name).__name__}; give text, or leave it out")
        if not callable(self.backend) and self.backend not in {None, *_BACKENDS}:
            raise ValueError(f"backend must be one of {_BACKENDS}, or a function from Bundle to Backend")
        if self.device not in _DEVICES:
            raise ValueError(f"device must be one of {_DEVICES}")
        _check_count("threads", self.threads, optional=True)
        _check_count("max_batch_size", self.max_batch_size)
        _check_count("max_queue_size", self.max_queue_size)
        _check_seconds("max_queue_delay", self.max_queue_delay, zero=True)
        _check_seconds("poll_interval", self.poll_interval, zero=False)


def check_version(version: object) -> None:
    """Raise ``TypeError`` unless ``version`` is text or ``None``: version ``3`` is spelt ``"3"``."""
    if not isinstance(version, str | None):
        raise TypeError(f"version is a {type(version).__name__}; versions are named by text, such as '3'")


def _check_count(name: str, value: object, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1")


def _check_seconds(name: str, value: object, *, zero: bool) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number of seconds")
    if value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name} must be {'0 or more' if zero else 'more than 0'} seconds")

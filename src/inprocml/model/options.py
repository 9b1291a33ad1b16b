"""What a ``Model`` is declared with, judged where it is written and not in the first request."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from inprocml.backends import check_device, check_threads
from inprocml.batching import check_limits
from inprocml.bundle import Bundle, Policy
from inprocml.protocols import Backend
from inprocml.serving import Rollout
from inprocml.sources import valid_version

__all__ = ["BackendChoice", "Device", "Options", "as_pins", "check_version"]

Device = str  # "cpu", "cuda", "cuda:1", "tensorrt", "auto": see ``check_device``
BackendChoice = str | Callable[[Bundle], Backend] | None

_BACKENDS = ("onnx", "torch", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The keyword arguments of ``Model``; raises ``TypeError`` or ``ValueError`` that names the argument."""

    name: str | None
    version: str | None
    alias: str | None
    pins: tuple[str, ...]
    rollouts: tuple[Rollout, ...]
    policy: Policy | None
    backend: BackendChoice
    device: Device
    threads: int | None
    max_batch_size: int
    max_queue_delay: float
    max_queue_size: int
    poll_interval: float

    def __post_init__(self) -> None:
        check_version(self.version)
        if not isinstance(self.alias, str | None):
            raise TypeError(f"alias must be text, not {type(self.alias).__name__}")
        if self.alias is not None and not valid_version(self.alias):
            raise ValueError(f"alias must be a name such as 'production', not {self.alias!r}")
        if self.alias is not None and self.version is not None:
            raise ValueError("a model follows an alias or is pinned to a version: give one of them")
        if not isinstance(self.policy, Policy | None):
            raise TypeError(f"policy must be an inprocml.bundle.Policy, not {type(self.policy).__name__}")
        for pin in self.pins:
            check_version(pin)
        if not isinstance(self.name, str | None):
            raise TypeError(f"name must be text, not {type(self.name).__name__}")
        if not callable(self.backend) and self.backend not in {None, *_BACKENDS}:
            raise ValueError(f"backend must be one of {_BACKENDS}, or a function from Bundle to Backend")
        check_device(self.device)
        check_threads(self.threads)
        check_limits(
            max_batch_size=self.max_batch_size,
            max_queue_delay=self.max_queue_delay,
            max_queue_size=self.max_queue_size,
        )
        if not isinstance(self.poll_interval, int | float):
            raise TypeError(f"poll_interval must be seconds, not {type(self.poll_interval).__name__}")
        if not (math.isfinite(self.poll_interval) and self.poll_interval > 0):
            raise ValueError("poll_interval must be a finite number of seconds, more than 0")


def as_pins(pins: object) -> tuple[str, ...]:
    """Return the pins; raises ``TypeError`` for what is no list: text alone would be a pin a letter."""
    if isinstance(pins, str) or not isinstance(pins, Iterable):
        raise TypeError(f"pins must be a list of versions, such as ['3', '4'], not {pins!r}")
    return tuple(pins)


def check_version(version: object) -> None:
    """Raise ``TypeError`` unless ``version`` is text or ``None``: version ``3`` is spelt ``"3"``."""
    if not isinstance(version, str | None):
        raise TypeError(f"version must be text, such as '3', not {type(version).__name__}")
    if version == "":
        raise ValueError("version is empty; name one, or leave it out for the newest")

"""What a ``Model`` is declared with, judged where it is written and not in the first request."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from inprocml.backends import PRECISIONS, check_device, check_precision, check_threads
from inprocml.batching import check_limits, check_weight
from inprocml.bundle import Bundle, Policy
from inprocml.monitoring import Monitoring
from inprocml.protocols import Backend, Clock
from inprocml.serving import Memory, Rollout
from inprocml.sources import valid_version

__all__ = ["BackendChoice", "Device", "Options", "as_pins", "check_version", "deadline_of"]

Device = str | Sequence[str]  # "cpu", "cuda", "cuda:1", "tensorrt", "auto": see ``check_device``
BackendChoice = str | Callable[[Bundle], Backend] | None

_LONGEST_TIMEOUT = 1e9  # seconds, 31 years: a lock cannot wait for more than nine times that
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
    precision: str
    instances: int
    weight: float | None
    threads: int | None
    memory: Memory | None
    deterministic: bool
    slo_ms: float | None
    max_batch_size: int
    max_queue_delay: float
    max_queue_size: int
    run_timeout: float
    monitoring: Monitoring | bool
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
        if not callable(self.backend) and self.backend not in (None, *_BACKENDS):  # may be unhashable
            raise ValueError(f"backend must be one of {_BACKENDS}, or a function from Bundle to Backend")
        self._check_computing()
        check_limits(
            max_batch_size=self.max_batch_size,
            max_queue_delay=self.max_queue_delay,
            max_queue_size=self.max_queue_size,
        )
        for name in ("poll_interval", "run_timeout"):
            _check_positive(name, getattr(self, name), "seconds")
        if self.slo_ms is not None:
            _check_positive("slo_ms", self.slo_ms, "milliseconds")

    def _check_computing(self) -> None:
        if not isinstance(self.device, Sequence):
            raise TypeError(
                f"device must be text such as 'cuda:1', or a list of it, not {type(self.device).__name__}"
            )
        if not self.devices:
            raise ValueError("device is an empty list; name one, such as 'cuda:0'")
        for device in self.devices:
            check_device(device)
        check_precision(self.precision, ("auto", *PRECISIONS))
        if callable(self.backend) and self.precision != "fp32":
            raise ValueError("precision is up to the function given as backend=; leave precision= out")
        check_threads(self.threads)
        if type(self.instances) is not int or self.instances < 1:
            raise ValueError(f"instances is {self.instances!r} and must be a whole number, at least 1")
        if not isinstance(self.deterministic, bool):
            raise TypeError(f"deterministic must be True or False, not {type(self.deterministic).__name__}")
        if self.weight is not None:
            check_weight(self.weight)
        if not isinstance(self.monitoring, Monitoring | bool):
            raise TypeError(
                "monitoring must be True, False or an inprocml.monitoring.Monitoring, not "
                f"{type(self.monitoring).__name__}"
            )
        if not isinstance(self.memory, Memory | None):
            raise TypeError(f"memory must be an inprocml.serving.Memory, not {type(self.memory).__name__}")

    @property
    def devices(self) -> tuple[str, ...]:
        """Where the model runs: one device, or several."""
        return (self.device,) if isinstance(self.device, str) else tuple(self.device)

    @property
    def watching(self) -> Monitoring | None:
        """How rows are watched; None: not at all."""
        return (
            self.monitoring
            if isinstance(self.monitoring, Monitoring)
            else (Monitoring() if self.monitoring else None)
        )

    @property
    def slo(self) -> float | None:
        """The objective in seconds."""
        return None if self.slo_ms is None else self.slo_ms / 1e3

    def computing(self) -> dict[str, Any]:
        """Return what says how a version computes, as keyword arguments of ``Model``."""
        follows = {"version", "alias", "pins", "rollouts", "poll_interval"}
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in follows}


def _check_positive(name: str, value: object, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be {unit}, not {type(value).__name__}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number of {unit}, more than 0")


def deadline_of(clock: Clock, timeout: object, priority: object = 0) -> float | None:
    """Return when a call's ``timeout`` is over, ``None`` for never; judges both before any load or queue.

    Otherwise what is wrong would show only under load, when the call has to wait. Raises ``TypeError`` for
    what is no number, ``ValueError`` for NaN. A priority beyond -8 or 8 is taken for these.
    """
    if priority.__class__ is not int and not isinstance(priority, Integral):
        raise TypeError(f"priority must be a whole number from -8 to 8, not {type(priority).__name__}")
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise TypeError(f"timeout must be seconds, or None for no limit, not {type(timeout).__name__}")
    if timeout != timeout:  # noqa: PLR0124 - math.isnan takes no whole number beyond 1e308
        raise ValueError("timeout is NaN and must be a number of seconds, or None for no limit")
    return clock() + (float(timeout) if timeout < _LONGEST_TIMEOUT else _LONGEST_TIMEOUT)


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

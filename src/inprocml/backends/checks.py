"""Refusals of impossible arguments, the same at a model's declaration as in the backend itself."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Final

__all__ = ["DEVICES", "check_device", "check_threads"]

DEVICES: Final = ("cpu", "cuda", "tensorrt", "auto")


def check_device(device: object, known: Sequence[str] = DEVICES) -> None:
    """Raise ``ValueError`` unless ``device`` is one of ``known``; whether it is there, a load will tell."""
    if not isinstance(device, str) or device not in known:
        raise ValueError(f"device is {device!r}; use one of {', '.join(known)}")


def check_threads(threads: object) -> None:
    """Raise ``ValueError`` unless ``threads`` is ``None`` (the budget decides) or a whole number from 1."""
    if threads is None:
        return
    if isinstance(threads, bool) or not isinstance(threads, Integral) or int(threads) < 1:
        raise ValueError(f"threads is {threads!r} and must be a whole number, at least 1, or None")

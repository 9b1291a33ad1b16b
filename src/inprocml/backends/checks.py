"""Refusals of impossible arguments, the same at a model's declaration as in the backend itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Integral
from typing import Final

__all__ = ["DEVICES", "PRECISIONS", "check_device", "check_precision", "check_threads", "split_device"]

PRECISIONS: Final = ("fp32", "tf32", "bf16", "fp16")
DEVICES: Final = ("cpu", "cuda", "tensorrt", "auto")


_NUMBERED: Final = re.compile(r"(cuda|tensorrt):(0|[1-9][0-9]{0,3})")


def check_device(device: object, known: Sequence[str] = DEVICES) -> None:
    """Raise ``ValueError`` unless ``device`` is one of ``known``; whether it is there, a load will tell.

    A GPU may have its number behind it: ``cuda:1``.
    """
    if isinstance(device, str):
        numbered = _NUMBERED.fullmatch(device)
        if (numbered[1] if numbered else device) in known:
            return
    raise ValueError(f"device is {device!r}; use one of {', '.join(known)} (or cuda:1 for the second GPU)")


def split_device(device: str) -> tuple[str, int]:
    """Return kind and number: ``("cuda", 1)`` for ``cuda:1``, 0 where no number is said."""
    kind, _, number = device.partition(":")
    return kind, int(number or 0)


def check_precision(precision: object, known: Sequence[str] = PRECISIONS) -> None:
    """Raise ``ValueError`` unless ``precision`` is one of ``known``."""
    if precision not in known:
        raise ValueError(f"precision is {precision!r}; use one of {', '.join(known)}")


def check_threads(threads: object) -> None:
    """Raise ``ValueError`` unless ``threads`` is ``None`` (the budget decides) or a whole number from 1."""
    if threads is None:
        return
    if isinstance(threads, bool) or not isinstance(threads, Integral) or int(threads) < 1:
        raise ValueError(f"threads is {threads!r} and must be a whole number, at least 1, or None")

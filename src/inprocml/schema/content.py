"""Files in a row: bytes, or their base64 as JSON carries them; a signal may also be a list of numbers.

What is inside is judged by whoever decodes it; here only the make and the size are.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.columns import Column, scalars
from inprocml.schema.missing import missing_or_refused
from inprocml.schema.refusal import Check, Refused, each

__all__ = ["content_check", "content_column"]


def content_check(longest: int, *, required: bool, signal: bool) -> Check[Any]:
    """Return the judge of one file of at most ``longest`` bytes: ``bytes``, or ``None`` when missing.

    With ``signal``, a list or a one-dimensional array of finite numbers passes too, as float64.
    """

    def check(value: object) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return _sized(value, longest)
        if isinstance(value, str):
            return _sized(_decoded(value, longest), longest)
        if signal and isinstance(value, (list, tuple, np.ndarray)):
            return _numbers(value, longest)
        missing_or_refused(value, "bytes or base64 text", required=required)
        return None

    return check


def content_column(column: Column, check: Check[Any]) -> NDArray[np.object_]:
    """Return the column as objects: ``bytes`` or an array each, ``None`` for missing."""
    judged = each(check, scalars(column))
    out = np.empty(len(judged), dtype=object)
    for place, value in enumerate(judged):  # one by one: numpy would join arrays of one length
        out[place] = value
    return out


def _sized(content: bytes | bytearray | memoryview, longest: int) -> bytes:
    if memoryview(content).nbytes > longest:
        raise Refused(f"must have at most {longest} bytes")
    return bytes(content)


def _decoded(text: str, longest: int) -> bytes:
    if len(text) > 4 * (longest // 3 + 1):  # before anything of that size is made
        raise Refused(f"must have at most {longest} bytes")
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        raise Refused("must be bytes or base64 text: it is not base64") from None


def _numbers(value: Any, longest: int) -> NDArray[np.float64]:
    if len(value) > longest:
        raise Refused(f"must have at most {longest} numbers")
    array = np.asarray(value) if isinstance(value, np.ndarray) else _listed(value)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise Refused("must be a one-dimensional list of numbers")
    floats = array.astype(np.float64)
    if not np.isfinite(floats).all():
        raise Refused("must hold finite numbers only")
    return floats


def _listed(value: Any) -> NDArray[Any]:
    kinds = set(map(type, value))
    if not kinds <= {float, int}:
        raise Refused("must be a one-dimensional list of numbers")
    try:
        return np.array(value, dtype=np.float64)
    except OverflowError:
        raise Refused("must hold finite numbers only") from None

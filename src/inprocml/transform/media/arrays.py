"""Arrays in a document: base64 of little-endian float64, with the shape beside it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["restored", "stored"]


def stored(array: NDArray[np.float64]) -> dict[str, Any]:
    """Return the array as JSON holds it."""
    return {"shape": list(array.shape), "base64": b64encode(array.astype("<f8").tobytes()).decode()}


def restored(document: object, shape: tuple[int | None, ...], *, largest: float) -> NDArray[np.float64]:
    """Return the array, read-only; ``None`` in ``shape`` stands for any length from 1 on.

    Raises ``ValueError`` for another shape, bytes that do not fill it, and values beyond ``largest``.
    """
    if not isinstance(document, dict) or document.keys() != {"shape", "base64"}:
        raise ValueError("an array has a shape and base64, and nothing else")
    lengths, text = document["shape"], document["base64"]
    if not isinstance(lengths, list) or not isinstance(text, str) or len(lengths) != len(shape):
        raise ValueError(f"an array must have {len(shape)} dimensions")
    for length, expected in zip(lengths, shape, strict=True):
        if type(length) is not int or length < 1 or expected not in {None, length}:
            raise ValueError("an array must have the shape that its options give")
    content = b64decode(text, validate=True)
    if len(content) != 8 * prod(lengths):
        raise ValueError("an array must have as many numbers as its shape says")
    array: NDArray[np.float64] = np.frombuffer(content, dtype="<f8").astype(np.float64).reshape(lengths)
    if not (np.abs(array) <= largest).all():
        raise ValueError("an array must hold ordinary finite numbers")
    array.flags.writeable = False
    return array

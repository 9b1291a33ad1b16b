"""Operators that make large tensors out of small ones: how large, where the model says so itself.

ONNX Runtime computes what it can when a session is made: a shape of 2**40 written in 143 bytes is filled
there and then. Where the size comes from the rows, or from arithmetic, it is not known beforehand; the
runtime's own limit on what it computes at load covers that (``onnx.py``), and nothing covers what a run
allocates.

Operators: onnx.ai/onnx/operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from inprocml.backends.tensors import Literal

__all__ = ["SIZES", "made"]

SIZES: Final = frozenset(
    {b"shape", b"pads", b"output_shape", b"output_padding", b"pooled_shape"}
    | {b"sample_size", b"output_height", b"output_width"}
)
"""Attributes that say how large an output becomes."""


def made(operator: bytes, inputs: Sequence[Literal], sizes: Mapping[bytes, Sequence[int]]) -> float:
    """Return how many values at least a node's output has, as far as its literal inputs and attributes say.

    ``sizes`` are those of its attributes that ``SIZES`` names. 0 where nothing is known; infinity counts too.
    """
    said = max((_product(value) for value in sizes.values()), default=0.0)
    rule = _RULES.get(operator)
    return said if rule is None else max(said, rule(inputs))


def _product(numbers: Literal | Sequence[float]) -> float:
    """The product of the sizes; those below 1 stand for "as it was"."""
    return 0.0 if numbers is None else math.prod(_at_least_one(number) for number in numbers)


def _at_least_one(number: float) -> float:
    return math.inf if math.isnan(number) else max(1.0, float(number))


def _at(place: int) -> Callable[[Sequence[Literal]], float]:
    """The product of the numbers that are input ``place``."""
    return lambda inputs: _product(inputs[place]) if place < len(inputs) else 0.0


def _padded(inputs: Sequence[Literal]) -> float:
    pads = inputs[1] if len(inputs) > 1 else None
    return 0.0 if pads is None else _product([*pads])


def _ranged(inputs: Sequence[Literal]) -> float:
    if len(inputs) != 3 or any(one is None or len(one) != 1 for one in inputs):
        return 0.0
    start, limit, step = (one[0] for one in inputs if one is not None)
    steps = (limit - start) / step if step else math.inf
    return math.inf if math.isnan(steps) else max(0.0, steps)


def _resized(inputs: Sequence[Literal]) -> float:
    return max((_product(one) for one in inputs[2:]), default=0.0)


_RULES: Final[dict[bytes, Callable[[Sequence[Literal]], float]]] = {
    b"AffineGrid": _at(1),
    b"BlackmanWindow": _at(0),
    b"CenterCropPad": _at(1),
    b"Col2Im": _at(1),
    b"ConstantOfShape": _at(0),
    b"DFT": _at(1),
    b"Expand": _at(1),
    b"HammingWindow": _at(0),
    b"HannWindow": _at(0),
    b"MaxUnpool": _at(2),
    b"MelWeightMatrix": lambda inputs: _product([n for one in inputs[:2] if one for n in one]),
    b"OneHot": _at(1),
    b"Pad": _padded,
    b"Range": _ranged,
    b"Resize": _resized,
    b"Tile": _at(1),
    b"Upsample": _at(1),
}

"""An array that writes down what is done to it as an ONNX graph.

The arithmetic of a transform is written once, for arrays. Given one of these, that very code makes the nodes
of the graph, in its own order: nothing is written a second time that could drift. What has no node that
gives the same bits everywhere is refused when the graph is made.

A logarithm is not an ONNX ``Log``: libraries differ in its last bit. ``numpy.frexp`` and ``numpy.ldexp``,
which ONNX lacks, become a table of the powers of two, and the rest is + - * / on float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

__all__ = ["Graph", "Traced", "one_hot"]

_NODES = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.divide: "Div",
    np.remainder: "Mod",
    np.negative: "Neg",
    np.absolute: "Abs",
    np.sqrt: "Sqrt",
    np.floor: "Floor",
    np.isnan: "IsNaN",
    np.less: "Less",
    np.less_equal: "LessOrEqual",
    np.greater: "Greater",
    np.greater_equal: "GreaterOrEqual",
    np.equal: "Equal",
    np.bitwise_and: "And",
    np.bitwise_or: "Or",
    np.invert: "Not",
}
_TRUE_OR_FALSE = {"IsNaN", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "And", "Or", "Not"}
_LOWEST, _HIGHEST = -1074, 1023  # of the powers of two that float64 holds
_INVERSE_LN2 = 1.0 / math.log(2.0)
_BOOL, _INT, _DOUBLE = np.dtype(np.bool_), np.dtype(np.int64), np.dtype(np.float64)


class Graph:
    """Nodes and constants as they come up; what was computed once is not computed again.

    ``taken`` are names that inputs and outputs have.
    """

    def __init__(self, taken: set[str]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._taken = set(taken)
        self._known: dict[Any, Traced] = {}

    def value(self, name: str, dtype: Any) -> Traced:
        """Return the input ``name``."""
        return Traced(self, name, np.dtype(dtype))

    def node(self, kind: str, *inputs: Traced, dtype: Any, domain: str = "", **attributes: Any) -> Traced:
        """Return what a node of ``kind`` makes of its inputs."""
        from onnx import helper as build

        names = tuple(one.name for one in inputs)
        key = (kind, names, repr(sorted(attributes.items())))
        if key not in self._known:
            made = self.value(self._fresh(), dtype)
            self.nodes.append(build.make_node(kind, names, [made.name], domain=domain, **attributes))
            self._known[key] = made
        return self._known[key]

    def constant(self, value: Any, dtype: Any) -> Traced:
        """Return a constant: a number, or an array."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(value, dtype=dtype).reshape(np.shape(value))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            made = self.value(self._fresh(), array.dtype)
            self.constants.append(numpy_helper.from_array(array, made.name))
            self._known[key] = made
        return self._known[key]

    def power_of_two(self, exponent: Traced) -> Traced:
        """Return two to the power of whole numbers, which must lie in the range of float64."""
        powers = [math.ldexp(1.0, n) for n in range(_LOWEST, _HIGHEST + 1)]
        return self.node("Gather", self.constant(powers, _DOUBLE), exponent - _LOWEST, dtype=_DOUBLE)

    def _fresh(self) -> str:
        name = f"t{len(self._taken)}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


class Traced(NDArrayOperatorsMixin):
    """A value of the graph: numpy's operators and a few of its functions give the next one."""

    def __init__(self, graph: Graph, name: str, dtype: np.dtype[Any]) -> None:
        self.graph = graph
        self.name = name
        self.dtype = dtype

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        if ufunc is np.frexp:
            return _frexp(inputs[0])
        if ufunc is np.ldexp:
            power = self.graph.power_of_two(inputs[1])
            return power if inputs[0] == 1.0 else power * inputs[0]
        if ufunc is np.floor_divide:
            return (inputs[0] - inputs[0] % inputs[1]) / inputs[1]  # ONNX cuts off towards zero
        kind = _NODES.get(ufunc)
        if kind is None or (kind == "Mod" and self.dtype != _INT):
            return NotImplemented
        operands = _alike(self.graph, inputs)
        return self.graph.node(kind, *operands, dtype=_BOOL if kind in _TRUE_OR_FALSE else operands[0].dtype)

    def __array_function__(self, function: Callable[..., Any], types: Any, inputs: Any, options: Any) -> Any:
        del types
        if function is not np.where or len(inputs) != 3 or options:
            return NotImplemented
        return _chosen(self.graph, *inputs)

    def astype(self, dtype: Any) -> Traced:
        """Return the value cast; whole numbers are int64 throughout."""
        wanted = np.dtype(dtype)
        wanted = _INT if wanted.kind == "i" else wanted
        if wanted == self.dtype:
            return self
        from onnx import helper as build

        return self.graph.node("Cast", self, dtype=wanted, to=int(build.np_dtype_to_tensor_dtype(wanted)))

    def any(self) -> bool:
        """Whether some element is true: nobody knows beforehand, so the way for that case is taken."""
        return True


def _alike(graph: Graph, inputs: tuple[Any, ...]) -> list[Traced]:
    """Return the operands in one type; constants take that of the values, or else float64."""
    known = [one.dtype for one in inputs if isinstance(one, Traced)]
    dtype = known[0] if known else _DOUBLE
    if any(other != dtype for other in known):
        raise TypeError("values of two types meet without a cast")
    return [one if isinstance(one, Traced) else graph.constant(one, dtype) for one in inputs]


def _chosen(graph: Graph, condition: Any, first: Any, second: Any) -> Traced:
    """Return ``numpy.where``, minus zero included.

    ONNX Runtime's ``Where`` makes zero of a minus zero that it takes from its first choice, and from a
    second choice narrower than the first (https://github.com/microsoft/onnxruntime/issues/32191). So a
    ``Where`` has a constant first, and of two values one is picked by its place.
    """
    one, other = _alike(graph, (_wide(first), _wide(second)))
    if one.dtype.kind != "f" or not isinstance(first, Traced):
        if first == 0.0 and math.copysign(1.0, first) < 0.0:
            negated: Traced = -_chosen(graph, condition, 0.0, -second)
            return negated
        return graph.node("Where", condition, one, other, dtype=one.dtype)
    if not isinstance(second, Traced):
        rows = graph.node("Shape", one, dtype=np.int64)
        other = graph.node("Expand", other, rows, dtype=other.dtype)
    pair = graph.node("Concat", other, one, dtype=one.dtype, axis=1)
    return graph.node("GatherElements", pair, condition.astype(np.int64), dtype=one.dtype, axis=1)


def _wide(operand: Any) -> Any:
    """Give a number two axes, as every value has: of none, ONNX Runtime takes other ways."""
    return operand if isinstance(operand, Traced) else [[operand]]


def _frexp(x: Any) -> tuple[Any, Any]:
    """Return what ``numpy.frexp`` gives for normal float64 above 0, exactly; both parts are float64.

    The logarithm only guesses the exponent, and may be one off; comparisons have the last word.
    """
    guess = np.floor(x.graph.node("Log", x, dtype=_DOUBLE) * _INVERSE_LN2)
    # NaN and what is out of range must not become the index of a table
    guess = np.where((guess < -1000.0) | np.isnan(guess), -1000.0, np.where(guess > 1022.0, 1022.0, guess))
    scaled = x / x.graph.power_of_two(guess.astype(np.int64))
    low, high = scaled < 1.0, scaled >= 2.0
    fraction = np.where(low, scaled, np.where(high, scaled * 0.25, scaled * 0.5))
    exponent = np.where(low, guess, np.where(high, guess + 2.0, guess + 1.0))
    return fraction, exponent


def one_hot(place: Any, count: int) -> Any:
    """Return float32 ``(rows, count)`` with a 1 at each row's place; ``place`` is int64 ``(rows, 1)``."""
    places: NDArray[np.int64] = np.arange(count, dtype=np.int64)
    return (place == places).astype(np.float32)

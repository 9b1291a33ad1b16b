"""Reading just enough of an ONNX file's bytes to know whether it is safe to hand to a runtime.

A model may point at files beside it: tensors with external data, nodes with a compiled engine on disk. A
runtime would open those paths, relative to the process's working directory, though it was given bytes. A
model may also run for ever (``Loop``), or ask for terabytes with a hundred bytes. This walk over the protobuf
wire format finds all that without the ``onnx`` package, which serving does not need.

Every field counts, and none comes twice that may come once: of such a one, a parser may take the last or
merge both.

Field numbers: onnx/onnx.proto3 (ONNX 1.23). Wire format: ``wire.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from inprocml.backends.growth import SIZES, made
from inprocml.backends.tensors import Literal, TensorView, read_tensor
from inprocml.backends.wire import NUMBERS, Value, fields, inner, malformed, signed, varints
from inprocml.errors import BundleError, Corrupt, Unsupported, Untrusted

__all__ = ["Audited", "audit_model"]

# message -> field number -> message of that field; everything else is passed over unread.
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
# message -> fields read here that must not come twice
_ONCE: Final[dict[str, frozenset[int]]] = {
    "Model": frozenset({1, 7}),
    "Training": frozenset({1, 2}),
    "Node": frozenset({4, 7}),
    "Attribute": frozenset({1, 3, 5, 6, 22}),
    "Sparse": frozenset({1, 2}),
}
_DEEPEST: Final = 64  # graphs within graphs; far above any exporter, far below Python's recursion limit
_MOST_FIELDS: Final = 2_000_000  # a second or two; the largest model that an exporter wrote has thousands
_MOST_MADE: Final = 2**26  # values out of nothing, beside as many as the file has bytes

_DOMAINS: Final = frozenset({b"", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft"})
_CODE: Final = frozenset({b"EPContext", b"PythonOp", b"PythonOpGrad", b"TritonOp"})
_LOOPS: Final = frozenset(
    {b"Loop", b"Scan", b"If", b"SequenceMap", b"BeamSearch", b"GreedySearch", b"Sampling"}
    | {b"WhisperBeamSearch"}
)
_MIXING: Final = frozenset({b"DynamicQuantizeLinear", b"DynamicQuantizeMatMul", b"DynamicQuantizeLSTM"})
_SAME_SHAPE: Final = frozenset({b"Shape", b"Size"})  # known where their input's shape is, whatever its values
_WANTED: Final = SIZES | {b"value_int", b"value_ints"}


@dataclass(frozen=True, slots=True)
class Audited:
    """What the walk learned: the versions the model was made for, and how many of its nodes are constant.

    ``opsets`` are pairs of domain and version; ``foldable`` nodes read no input of the model. ``mixes``: some
    operator takes one scale from all rows of a batch, so that a row's answer depends on its neighbours.
    """

    ir_version: int
    opsets: tuple[tuple[bytes, int], ...]
    foldable: int
    mixes: bool


def audit_model(model: bytes, *, allow_loops: bool = False) -> Audited:
    """Refuse an ONNX model that is no model (``Corrupt``) or wants more than to compute (``Untrusted``).

    Refused: data in other files, compiled code, operators of other sets and functions of the model's own
    (``Unsupported``), shapes that their bytes do not fill, tensors made out of nothing beyond 2**26 values
    and one for each byte of the file, and, unless ``allow_loops``, nodes that hold graphs of their own.
    """
    if not model:
        raise Corrupt("the ONNX model is empty: 0 bytes; pack it again")
    if model[4:8] == b"ORTM":
        raise Unsupported("the model is in ONNX Runtime's own format; save it as .onnx and pack it again")
    walk = _Walk(_MOST_MADE + len(model), allow_loops=allow_loops)
    walk.model(memoryview(model))
    if walk.fault is not None:
        raise walk.fault
    return Audited(walk.ir_version, tuple(walk.opsets), walk.foldable, walk.mixes)


_Read: TypeAlias = tuple[bytes, list[int], TensorView | None]
"""An attribute: its name, its integers if they matter, and its tensor."""


class _Scope:
    """Names of a graph and of those around it: small constants, and what depends on the model's inputs."""

    def __init__(self, outer: _Scope | None = None) -> None:
        self.known: dict[bytes, TensorView | tuple[float, ...]] = dict(outer.known) if outer else {}
        self.varying: set[bytes] = set(outer.varying) if outer else set()

    def literal(self, name: bytes) -> Literal:
        found = self.known.get(name)
        return found.literal() if isinstance(found, TensorView) else found


class _Walk:
    """One walk; ``fault`` is the first thing that is only told when nothing worse is found."""

    def __init__(self, room: float, *, allow_loops: bool) -> None:
        self.ir_version, self.foldable = 0, 0
        self.opsets: list[tuple[bytes, int]] = []
        self.fault: BundleError | None = None
        self.mixes = False
        self._room, self._loops, self._left = room, allow_loops, _MOST_FIELDS

    def model(self, message: memoryview) -> None:
        for field, value in self._fields(message, "Model", 0):
            if field == 1:
                if not isinstance(value, int):
                    raise malformed()
                self.ir_version = signed(value)
            elif field == 8:
                self.opsets.append(self._opset(inner(value)))
            elif field == 7:
                self._graph(inner(value), 1, _Scope())
            elif field == 20:
                self._training(inner(value))
            elif field == 25:
                self._function(inner(value))

    def _training(self, message: memoryview) -> None:
        for field, graph in self._fields(message, "Training", 1):
            if field in _INSIDE["Training"]:
                self._graph(inner(graph), 2, _Scope())

    def _fields(self, message: memoryview, kind: str, depth: int) -> Iterator[tuple[int, Value]]:
        if depth > _DEEPEST:
            raise Untrusted(f"the ONNX model nests more than {_DEEPEST} levels deep; no exporter writes that")
        single, seen = _ONCE.get(kind, frozenset()), set()
        for field, value in fields(message, NUMBERS if kind == "Attribute" else None):
            self._left -= 1
            if self._left < 0:
                raise Untrusted(f"the ONNX model has over {_MOST_FIELDS} parts; no exporter writes that")
            if field in single:
                if field in seen:
                    self._later(Corrupt(f"a {kind} of the ONNX model says one thing twice; pack it again"))
                seen.add(field)
            yield field, value

    def _opset(self, message: memoryview) -> tuple[bytes, int]:
        domain, version = b"", 0
        for field, value in self._fields(message, "Opset", 1):
            if field == 1:
                domain = bytes(inner(value))
            elif field == 2 and isinstance(value, int):
                version = signed(value)
        return domain, version

    def _function(self, message: memoryview) -> None:
        # A function that calls another twice, thirty deep, is a billion nodes once the runtime unfolds it.
        self._later(
            Unsupported(
                "the ONNX model defines functions of its own; "
                "inline them (onnx.inliner.inline_local_functions) and pack it again"
            )
        )
        for field, value in self._fields(message, "Function", 1):
            if field == 7:
                self._node(inner(value), 2, _Scope())
            elif field == 11:
                self._attribute(inner(value), 2, _Scope())

    def _graph(self, message: memoryview, depth: int, outer: _Scope) -> None:
        scope, nodes, inputs = _Scope(outer), [], []
        for field, value in self._fields(message, "Graph", depth):
            if field == 1:
                nodes.append(inner(value))
            elif field == 5:
                tensor = read_tensor(inner(value))
                scope.known[tensor.name] = tensor
            elif field == 11:
                inputs.append(self._name(inner(value)))
            elif field == 15:
                self._sparse(inner(value), depth + 1)
        scope.varying.update(name for name in inputs if name not in scope.known)
        for node in nodes:  # last: their constants may be written behind them
            self._node(node, depth + 1, scope)

    def _name(self, message: memoryview) -> bytes:
        names = [value for field, value in self._fields(message, "ValueInfo", 1) if field == 1]
        return bytes(inner(names[-1])) if names else b""

    def _sparse(self, message: memoryview, depth: int) -> None:
        dims: list[int] = []
        for field, value in self._fields(message, "Sparse", depth):
            if field in {1, 2}:
                read_tensor(inner(value))
            elif field == 3:
                dims += varints(value)
        self._make("a sparse tensor", float(math.prod(max(1, side) for side in dims)))

    def _node(self, message: memoryview, depth: int, scope: _Scope) -> None:
        parts: dict[int, list[memoryview]] = {1: [], 2: [], 4: [], 5: [], 7: []}
        for field, value in self._fields(message, "Node", depth):
            if field in parts:
                parts[field].append(inner(value))
        inputs, outputs, operators, attributes, domains = parts.values()
        for given in operators:
            _no_code(bytes(given))
        operator = bytes(operators[-1]) if operators else b""
        # before what lies inside, for the first fault is the one that is told
        self._operator(operator, bytes(domains[-1]) if domains else b"")
        self._judge(
            operator,
            [bytes(name) for name in inputs],
            [bytes(name) for name in outputs],
            [self._attribute(attribute, depth + 1, scope) for attribute in attributes],
            scope,
        )

    def _judge(
        self,
        operator: bytes,
        inputs: list[bytes],
        outputs: list[bytes],
        attributes: list[_Read],
        scope: _Scope,
    ) -> None:
        sizes: dict[bytes, list[int]] = {}
        for name, numbers, tensor in attributes:
            if name in SIZES:
                sizes[name] = numbers
            if operator == b"Constant" and outputs and (tensor is not None or numbers):
                scope.known[outputs[0]] = tuple(numbers) if tensor is None else tensor
        self._make(_shown(operator), made(operator, [scope.literal(name) for name in inputs], sizes))
        if operator not in _SAME_SHAPE and any(name in scope.varying for name in inputs):
            scope.varying.update(outputs)
        else:
            self.foldable += operator != b"Constant"

    def _operator(self, operator: bytes, domain: bytes) -> None:
        if domain not in _DOMAINS:
            known = ", ".join(sorted(name.decode() for name in _DOMAINS if name))
            self._later(
                Unsupported(
                    f"the ONNX model uses the operator set {_shown(domain)}, whose operators are code that "
                    f"the host would have to load; served are {known}. Export with these"
                )
            )
        self.mixes = self.mixes or operator in _MIXING
        if operator in _LOOPS:
            self._graph_carrying(operator)

    def _graph_carrying(self, operator: bytes) -> None:
        if not self._loops:
            self._later(
                Untrusted(
                    f"the ONNX model holds a node {_shown(operator)}, which may run for ever; export without "
                    "it, or allow it on the host, for models whose makers you trust: Policy(allow_loops=True)"
                )
            )

    def _attribute(self, message: memoryview, depth: int, scope: _Scope) -> _Read:
        name, numbers, tensor = b"", list[int](), None
        for field, value in self._fields(message, "Attribute", depth):
            if field == 1:
                name = bytes(inner(value))
            elif field in {5, 10}:
                tensor = read_tensor(inner(value))
            elif field in {6, 11}:
                self._graph_carrying(name)
                self._graph(inner(value), depth + 1, scope)
            elif field in {22, 23}:
                self._sparse(inner(value), depth + 1)
        if name in _WANTED:
            numbers = _integers(message)
        return name, numbers, tensor

    def _make(self, what: str, values: float) -> None:
        self._room -= values
        if self._room < 0:
            raise Untrusted(
                f"the ONNX model makes tensors far larger than itself out of nothing ({what}: {values:.3g} "
                "values); store what it needs as it is, or make it of the rows"
            )

    def _later(self, fault: BundleError) -> None:
        self.fault = self.fault or fault


def _no_code(operator: bytes) -> None:
    if operator in _CODE:
        raise Untrusted(
            f"the ONNX model holds a node {operator.decode()}, which loads compiled code; export without"
        )


def _integers(message: memoryview) -> list[int]:
    """The integers of an attribute, as far as a shape could have any."""
    found: list[int] = []
    for field, value in fields(message):
        if field in {3, 8}:
            found += varints(value)
        if len(found) > 4096:
            break
    return found


def _shown(name: bytes) -> str:
    return repr(name[:60].decode("utf-8", "replace"))

"""Models of variable lengths and sizes, built by hand: attention over tokens, convolution over pictures."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

VOCABULARY, WIDTH = 50, 16
_FLOAT, _INT = TensorProto.FLOAT, TensorProto.INT64


def _weights(seed, **shapes):
    random = np.random.default_rng(seed)
    return [
        numpy_helper.from_array((random.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32), name)
        for name, shape in shapes.items()
    ]


def _constants(**values):
    return [numpy_helper.from_array(np.array(value), name) for name, value in values.items()]


def _bytes(nodes, inputs, outputs, initializers):
    values = [[helper.make_tensor_value_info(*one) for one in some] for some in (inputs, outputs)]
    graph = helper.make_graph(nodes, "graph", *values, initializers)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def encoder():
    """``ids``, ``mask`` and ``features`` (rows, 3) -> ``score`` (rows, 4), ``tags`` (rows, length, 5).

    One layer of attention that the mask keeps from padding, the mean of what it counts, and all tokens.
    """
    node = helper.make_node
    nodes = [
        node("Gather", ["words", "ids"], ["h"]),
        node("Cast", ["mask"], ["there"], to=_FLOAT),
        node("Sub", ["there", "one"], ["absent"]),
        node("Mul", ["absent", "far"], ["away"]),
        node("Unsqueeze", ["away", "axis1"], ["bias"]),
        node("MatMul", ["h", "query"], ["q"]),
        node("MatMul", ["h", "key"], ["k"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["near"]),
        node("Add", ["near", "bias"], ["masked"]),
        node("Softmax", ["masked"], ["share"], axis=-1),
        node("MatMul", ["share", "h"], ["seen"]),
        node("MatMul", ["seen", "label"], ["tags"]),
        node("Unsqueeze", ["there", "axis2"], ["column"]),
        node("Mul", ["seen", "column"], ["counted"]),
        node("ReduceSum", ["counted", "axis1"], ["total"], keepdims=0),
        node("ReduceSum", ["there", "axis1"], ["count"], keepdims=1),
        node("Div", ["total", "count"], ["mean"]),
        node("Concat", ["mean", "features"], ["all"], axis=1),
        node("MatMul", ["all", "last"], ["score"]),
    ]
    weights = _weights(
        1,
        words=(VOCABULARY, WIDTH),
        query=(WIDTH, WIDTH),
        key=(WIDTH, WIDTH),
        label=(WIDTH, 5),
        last=(WIDTH + 3, 4),
    )
    constants = _constants(one=np.float32(1), far=np.float32(1e9), axis1=[1], axis2=[2])
    return _bytes(
        nodes,
        [("ids", _INT, ["n", "l"]), ("mask", _INT, ["n", "l"]), ("features", _FLOAT, ["n", 3])],
        [("score", _FLOAT, ["n", 4]), ("tags", _FLOAT, ["n", "l", 5])],
        weights + constants,
    )


def convolution():
    """``photo`` (rows, 3, height, width) of any size -> ``score`` (rows, 8)."""
    nodes = [
        helper.make_node("Conv", ["photo", "filters"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["score"]),
    ]
    inputs = [("photo", _FLOAT, ["n", 3, "h", "w"])]
    return _bytes(nodes, inputs, [("score", _FLOAT, ["n", 8])], _weights(2, filters=(8, 3, 3, 3)))


def mean_of_attention():
    """``x`` (rows, 24, 64) -> ``y`` (rows, 64): last bits differ with the size of a batch (ONNX Runtime)."""
    nodes = [
        helper.make_node("MatMul", ["x", "query"], ["q"]),
        helper.make_node("MatMul", ["x", "key"], ["k"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["near"]),
        helper.make_node("Softmax", ["near"], ["share"], axis=-1),
        helper.make_node("MatMul", ["share", "x"], ["seen"]),
        helper.make_node("ReduceMean", ["seen", "axis1"], ["y"], keepdims=0),
    ]
    weights = _weights(3, query=(64, 64), key=(64, 64)) + _constants(axis1=[1])
    return _bytes(nodes, [("x", _FLOAT, ["n", 24, 64])], [("y", _FLOAT, ["n", 64])], weights)


def quantised():
    """``x`` (rows, 64) -> ``y`` (rows, 32): int8, by one scale for the whole batch."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["small", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["small", "weights", "zero"], ["product"]),
        helper.make_node("Cast", ["product"], ["real"], to=_FLOAT),
        helper.make_node("Mul", ["real", "scale"], ["y"]),
    ]
    weights = np.random.default_rng(4).integers(-127, 127, (64, 32), dtype=np.int8)
    inputs, outputs = [("x", _FLOAT, ["n", 64])], [("y", _FLOAT, ["n", 32])]
    return _bytes(nodes, inputs, outputs, [numpy_helper.from_array(weights, "weights")])

"""A multilayer perceptron as ONNX bytes: the model that batching is measured with."""

from __future__ import annotations

import itertools

import numpy as np

__all__ = ["mlp"]


def mlp(sizes: tuple[int, ...] = (64, 1024, 1024, 10), seed: int = 7) -> bytes:
    """Build the network as ONNX bytes: MatMul, Add, Relu, seeded."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    nodes, weights, at = [], [], "features"
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        last = i == len(sizes) - 2
        weight = (rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)).astype(np.float32)
        weights += [numpy_helper.from_array(weight, f"w{i}")]
        weights += [numpy_helper.from_array(np.zeros(fan_out, np.float32), f"b{i}")]
        out = "scores" if last else f"a{i}"
        nodes += [helper.make_node("MatMul", [at, f"w{i}"], [f"m{i}"])]
        nodes += [helper.make_node("Add", [f"m{i}", f"b{i}"], [out if last else f"h{i}"])]
        if not last:
            nodes += [helper.make_node("Relu", [f"h{i}"], [out])]
        at = out
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", sizes[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", sizes[-1]])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    content: bytes = model.SerializeToString()
    return content

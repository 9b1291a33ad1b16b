"""Small ONNX models, built by hand, good and bad."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

WEIGHT = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]], np.float32)
ROWS = np.array([[1.0, 2.0], [-3.0, 0.5], [0.0, 0.0]], np.float32)


def model(op="Identity", *, domain="", opset=17, ir_version=8, external=False, attributes=None):
    """``scores = op(features @ WEIGHT)`` as bytes."""
    weight = numpy_helper.from_array(WEIGHT, "weight")
    if external:
        outside(weight)
    nodes = [
        helper.make_node("MatMul", ["features", "weight"], ["product"]),
        helper.make_node(op, ["product"], ["scores"], domain=domain, **(attributes or {})),
    ]
    return serialize(nodes, [weight], opset=opset, ir_version=ir_version, domain=domain)


def outside(tensor):
    """Make a tensor point at a file beside the model."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"
    return tensor


def serialize(nodes, weights=(), *, opset=17, ir_version=8, domain="", outputs=None):
    """Put a graph from ``features`` (rows, 2) to ``scores`` (rows, 3) around the nodes."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", 2])],
        outputs or [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 3])],
        list(weights),
    )
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    made = helper.make_model(graph, opset_imports=imports)
    made.ir_version = ir_version
    return made.SerializeToString()


def zipmap():
    """A classifier as skl2onnx writes it by default: its probabilities are a list of dictionaries."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression().fit(ROWS, [0, 1, 0])
    return to_onnx(estimator, ROWS[:1], target_opset=17).SerializeToString()

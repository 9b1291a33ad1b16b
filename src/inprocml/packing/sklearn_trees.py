"""Where trees converted by skl2onnx take another way than scikit-learn's, and what is done about it.

Thresholds. scikit-learn compares a float32 feature with a float64 threshold, ONNX with a float32 one. Rounded
to nearest, a threshold between two neighbouring float32 may become the upper one, and every row that has it
turns left instead of right. Rounded down, ``x <= threshold`` is the same for every float32 ``x``
(https://github.com/onnx/onnx/issues/3897). skl2onnx rounds down for forests and single trees, and to nearest
for HistGradientBoosting*.

Votes. A forest adds the votes of its trees, then divides by their number. skl2onnx divides first: fifty times
float32(1/100) is not one half, so rows on which the trees are evenly split change their label, in a forest of
100 trees some in a thousand. Here the division goes after the sum again; sums of whole votes are exact.

Categories. HistGradientBoosting* can split by sets of categories. skl2onnx passes over that and writes a
threshold, so such a model is refused.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import PackError
from inprocml.packing.exported import OWN_EXPORT

__all__ = ["check_splits", "replaced", "thresholds_down", "votes_before_division"]

_PATCH = threading.RLock()
_ONE_INSIDE = ("estimator", "best_estimator_", "estimator_", "final_estimator_")
_MANY_INSIDE = ("estimators_", "calibrated_classifiers_")
_MODE = 6  # where add_node takes the mode of a node; its threshold comes next
_BITS = 23  # of a vote that are kept: what dividing by the number of trees has cost is below them


def check_splits(model: Any, kind: str) -> None:
    """Raise ``PackError`` for a model that splits by category, be it inside another."""
    if any(np.any(getattr(part, "is_categorical_", None)) for part in _parts(model)):
        raise PackError(
            f"{kind} splits by category, and its converter would make thresholds of that. Fit it without "
            "categorical_features=; Category() in the transform gives one feature per category. "
            f"{OWN_EXPORT}"
        )


def _parts(model: Any) -> Iterator[Any]:
    """Yield an estimator and those that it is made of."""
    yield model
    inside = [getattr(model, name, None) for name in _ONE_INSIDE]
    inside += [step for _, step in getattr(model, "steps", ())]
    for name in _MANY_INSIDE:
        for one in getattr(model, name, ()):
            inside += one.tolist() if isinstance(one, np.ndarray) else [one]
    for one in inside:
        if hasattr(one, "__dict__"):
            yield from _parts(one)


@contextlib.contextmanager
def thresholds_down() -> Iterator[None]:
    """Let skl2onnx round every threshold down for as long as one conversion takes.

    A function is replaced in skl2onnx alone, under a lock; another thread that converts meanwhile gets
    thresholds that are right, too.
    """
    from skl2onnx.common import tree_ensemble

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def add_node(*given: Any, **named: Any) -> Any:
            mode, value = given[_MODE], given[_MODE + 1]
            if mode == "BRANCH_LEQ":
                given = (*given[: _MODE + 1], _down(value), *given[_MODE + 2 :])
            return original(*given, **named)

        return add_node

    with replaced(tree_ensemble, "add_node", around):
        yield


@contextlib.contextmanager
def replaced(
    module: Any, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Put ``around(original)`` in the place of a module's function for as long as one conversion takes."""
    with _PATCH:
        original = getattr(module, name, None)
        if original is None:  # another layout, perhaps without the fault
            yield
            return
        setattr(module, name, around(original))
        try:
            yield
        finally:
            setattr(module, name, original)


def _down(value: Any) -> float:
    """Return the largest float32 that is not above ``value``."""
    near = np.float32(value)
    return float(np.nextafter(near, np.float32(-np.inf)) if near > value else near)


def votes_before_division(model: Any) -> None:
    """Rewrite, in place, each ensemble of an ONNX graph that averages: first the sum, then the division."""
    graph = model.graph
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    nodes = []
    for node in graph.node:
        trees = _averaged(node)
        binary = trees > 0 and _is_binary(node)
        # with two classes, the label compares the sum with one half
        if not trees or (binary and node.output[0] in read):
            nodes.append(node)
            continue
        weights = _attribute(node, "class_weights").floats
        whole = _whole_votes(np.array(weights, dtype=np.float64) * trees)
        del weights[:]
        weights.extend(whole.tolist())
        nodes += [node, *_division(graph, node, trees, binary=binary)]
    del graph.node[:]
    graph.node.extend(nodes)


def _attribute(node: Any, name: str) -> Any:
    return next((attribute for attribute in node.attribute if attribute.name == name), None)


def _averaged(node: Any) -> int:
    """Return the number of trees of an ensemble that averages what they say, 0 for any other node."""
    weights = _attribute(node, "class_weights")
    if node.op_type != "TreeEnsembleClassifier" or weights is None:
        return 0
    after = _attribute(node, "post_transform")
    if after is not None and after.s != b"NONE":
        return 0
    if any(_attribute(node, name) is not None for name in ("base_values", "base_values_as_tensor")):
        return 0
    trees = np.array(_attribute(node, "class_treeids").ints)
    count = len(set(trees.tolist()))
    votes = np.array(weights.floats, dtype=np.float64) * count
    # one distribution per leaf, already divided: anything else is no average, and stays as it is
    return count if count > 1 and votes.min() >= 0.0 and votes.max() <= 1.0 + 1e-5 else 0


def _is_binary(node: Any) -> bool:
    """Whether only the second class has votes: the runtime then gives ``[1 - sum, sum]``."""
    labels = _attribute(node, "classlabels_int64s") or _attribute(node, "classlabels_strings")
    return len(labels.ints or labels.strings) == 2 and len(set(_attribute(node, "class_ids").ints)) == 1


def _whole_votes(votes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Take away the rounding of what was divided: 1.00000001 votes are 1."""
    fraction, exponent = np.frexp(votes)
    whole: NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(fraction, _BITS)), exponent - _BITS)
    return whole.astype(np.float32)


def _division(graph: Any, node: Any, trees: int, *, binary: bool) -> list[Any]:
    """Return the nodes that make probabilities of the sums, under the name that the node's output had."""
    from onnx import helper as build
    from onnx import numpy_helper

    name = node.output[1]
    sums, count = f"{name}_sums", f"{name}_trees"
    node.output[1] = sums
    constants: dict[str, Any] = {count: np.float32(trees)}
    if not binary:
        nodes = [build.make_node("Div", [sums, count], [name])]
    else:
        second, share, one = f"{name}_second", f"{name}_share", f"{name}_one"
        constants |= {second: np.array([1], dtype=np.int64), one: np.float32(1.0)}
        nodes = [
            build.make_node("Gather", [sums, second], [f"{name}_votes"], axis=1),
            build.make_node("Div", [f"{name}_votes", count], [share]),
            build.make_node("Sub", [one, share], [f"{name}_rest"]),
            build.make_node("Concat", [f"{name}_rest", share], [name], axis=1),
        ]
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()
    )
    return nodes

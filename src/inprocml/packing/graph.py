"""Surgery on ONNX graphs: what a bundle must not carry, and what nobody reads.

Needs the ``onnx`` package, which only packing has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["all_graphs", "has_external_data", "keep_output", "strip"]


def all_graphs(model: Any) -> Iterator[Any]:
    """Yield the main graph, every subgraph of If, Loop and Scan, and every local function."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


def has_external_data(model: Any) -> bool:
    """Whether any tensor keeps its values in another file."""
    return any(tensor.data_location == tensor.EXTERNAL or tensor.external_data for tensor in _tensors(model))


def strip(model: Any) -> None:
    """Remove, in place, texts that tell of the author's machine, and shapes that trip later tools.

    The torch exporter writes a stack trace with absolute paths and source lines into the metadata of
    every node, and value_info for initializers, on which ``onnxruntime.quantization`` fails.
    """
    _strip_texts(model)
    for graph in all_graphs(model):
        _strip_texts(graph)
        for value in _values(graph):
            _strip_texts(value)
        initializers = {tensor.name for tensor in getattr(graph, "initializer", ())}
        kept = [value for value in graph.value_info if value.name not in initializers]
        del graph.value_info[:]
        graph.value_info.extend(kept)
    for node in _nodes(model):
        _strip_texts(node)
        for attribute in node.attribute:
            attribute.doc_string = ""


def keep_output(model: Any, name: str) -> None:
    """Keep only the output ``name`` and the nodes it needs; a label nobody reads costs time per row."""
    graph = model.graph
    kept = [output for output in graph.output if output.name == name]
    del graph.output[:]
    graph.output.extend(kept)
    needed = {name}
    nodes = []
    for node in reversed(graph.node):  # stored in topological order
        if needed.isdisjoint(node.output):
            continue
        nodes.append(node)
        needed.update(node.input)
        needed.update(_outer_names(node))
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    initializers = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(initializers)
    made = needed.union(*(node.output for node in nodes))
    shapes = [value for value in graph.value_info if value.name in made]
    del graph.value_info[:]
    graph.value_info.extend(shapes)


def _outer_names(node: Any) -> set[str]:
    """Names that subgraphs of ``node`` take from around it."""
    found: set[str] = set()
    for attribute in node.attribute:
        for graph in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
            for inner in graph.node:
                found.update(inner.input)
                found.update(_outer_names(inner))
            found.update(output.name for output in graph.output)
    return found


def _values(graph: Any) -> Iterator[Any]:
    for part in ("input", "output", "value_info", "initializer"):
        # a function lists its inputs and outputs by name only
        yield from (value for value in getattr(graph, part, ()) if not isinstance(value, str))


def _nodes(model: Any) -> Iterator[Any]:
    for graph in all_graphs(model):
        yield from graph.node


def _tensors(model: Any) -> Iterator[Any]:
    for graph in all_graphs(model):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else []
            yield from attribute.tensors


def _strip_texts(part: Any) -> None:
    part.doc_string = ""
    if hasattr(part, "metadata_props"):  # since onnx 1.16
        del part.metadata_props[:]

"""The walk over an ONNX file's bytes: it finds every pointer to the outside, and survives any bytes."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tests.backends.onnx_models import WEIGHT, model, outside, serialize

from inprocml.backends.audit import audit_model
from inprocml.errors import Corrupt, Unsupported, Untrusted


def tensor():
    return outside(numpy_helper.from_array(WEIGHT, "hidden"))


def branch(node):
    value = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    return helper.make_graph([node], "branch", [], [value])


def constant(**attributes):
    return helper.make_node("Constant", [], ["out"], **attributes)


def nested(node, depth):
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["out"], then_branch=branch(node))
    return node


def sparse():
    indices = outside(numpy_helper.from_array(np.array([0], np.int64), "indices"))
    return helper.make_sparse_tensor(numpy_helper.from_array(np.ones(1, np.float32), "values"), indices, [3])


def in_function():
    made = ModelProto.FromString(model())
    function = helper.make_function(
        "mine", "F", ["a"], ["b"], [constant(value=tensor())], [helper.make_opsetid("", 17)]
    )
    made.functions.append(function)
    return made.SerializeToString()


def in_training():
    made = ModelProto.FromString(model())
    made.training_info.add().algorithm.initializer.append(tensor())
    return made.SerializeToString()


def in_sparse_initializer():
    made = ModelProto.FromString(model())
    made.graph.sparse_initializer.append(sparse())
    return made.SerializeToString()


HIDING_PLACES = {
    "initializer": lambda: model(external=True),
    "attribute": lambda: serialize([constant(value=tensor())]),
    "attribute list": lambda: serialize([helper.make_node("X", [], ["out"], many=[tensor()])]),
    "branch": lambda: serialize([nested(constant(value=tensor()), 1)]),
    "branch of a branch": lambda: serialize([nested(constant(value=tensor()), 3)]),
    "sparse attribute": lambda: serialize([constant(sparse_value=sparse())]),
    "sparse initializer": in_sparse_initializer,
    "function": in_function,
    "training": in_training,
}


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_external_data_is_found_wherever_it_hides(place):
    content = HIDING_PLACES[place]()
    with pytest.raises(Untrusted, match="external data"):
        audit_model(content)


def test_either_sign_of_external_data_is_enough():
    by_place, by_entry = tensor(), tensor()
    by_place.ClearField("external_data")
    by_place.name = "location"
    by_entry.ClearField("data_location")
    for one in (by_place, by_entry):
        with pytest.raises(Untrusted, match="external data"):
            audit_model(serialize([constant(value=one)]))


def test_a_message_cut_short_is_corrupt_whatever_it_still_shows():
    with pytest.raises(Corrupt, match="well-formed"):
        audit_model(model(external=True)[:-20])


def test_compiled_engines_on_disk_are_refused():
    node = helper.make_node(
        "EPContext", [], ["scores"], domain="com.microsoft", ep_cache_context="/tmp/engine"
    )
    with pytest.raises(Untrusted, match="EPContext"):
        audit_model(serialize([node]))


def test_innocent_words_are_no_offence():
    made = ModelProto.FromString(model())
    made.doc_string = "location EPContext"
    made.graph.initializer.append(numpy_helper.from_array(WEIGHT, "location"))
    audit_model(made.SerializeToString())


def test_endless_nesting_is_refused_without_overflowing():
    with pytest.raises(Untrusted, match="nests"):
        audit_model(serialize([nested(constant(value_string="location"), 30)]))


def test_no_bytes_and_other_formats():
    with pytest.raises(Corrupt, match="0 bytes"):
        audit_model(b"")
    with pytest.raises(Unsupported, match="own format"):
        audit_model(b"\x00\x00\x00\x00ORTM")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60))
@example(b"\x0b", b"")  # a group, which ONNX never writes
@example(b"\xff" * 12, b"")  # a number too long
@example(b"\x3a\xff\xff\xff\x7f", b"")  # a length beyond the end
def test_any_bytes_end_in_a_typed_refusal_or_a_pass(before, after):
    with contextlib.suppress(Corrupt, Untrusted, Unsupported):
        audit_model(before + b"location" + after)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_flipped_byte_never_hides_external_data_from_us_but_not_from_onnx(data):
    content = bytearray(model(external=True))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    try:
        parsed = ModelProto.FromString(bytes(content))
    except Exception:
        return
    outsiders = [one for one in parsed.graph.initializer if one.data_location == TensorProto.EXTERNAL]
    if outsiders and any(entry.key == "location" for one in outsiders for entry in one.external_data):
        with pytest.raises((Untrusted, Corrupt)):
            audit_model(bytes(content))

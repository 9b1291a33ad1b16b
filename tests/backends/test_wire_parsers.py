"""The audit against real parsers: what any of them reads as a pointer to the outside, the audit refuses.

Well-formed models are taken apart and put together again in every way that the wire format, or some parser's
carelessness, allows: tags and enums beyond 32 bits, padding, fields twice, messages in two halves, any order.
"""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from tests.backends.onnx_models import WEIGHT, model, outside, serialize
from tests.backends.test_wire import HIDING_PLACES

from inprocml.backends.audit import _INSIDE, audit_model
from inprocml.errors import BundleError, Corrupt, Untrusted

PROTO = {
    "Model": "ModelProto",
    "Training": "TrainingInfoProto",
    "Function": "FunctionProto",
    "Graph": "GraphProto",
    "Node": "NodeProto",
    "Attribute": "AttributeProto",
    "Sparse": "SparseTensorProto",
    "Tensor": "TensorProto",
}


def varint(number, padding=0):
    out = bytearray()
    while number > 0x7F or padding:
        out.append(number & 0x7F | 0x80)
        if number <= 0x7F:
            padding -= 1
        number >>= 7
    return bytes([*out, number])


def fields(content, descriptor):
    """Take a message apart: [(field number, wire type, value)], messages inside as lists again."""
    at, found = 0, []

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte, at = content[at], at + 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(content):
        key = read()
        number, wire = key >> 3, key & 7
        if wire == 0:
            value = read()
        else:
            size = {1: 8, 5: 4}.get(wire) or read()
            value, at = content[at : at + size], at + size
        field = descriptor.fields_by_number[number]
        if wire == 2 and field.message_type is not None:
            value = fields(value, field.message_type)
        found.append((number, wire, value))
    return found


class Writer:
    """Puts a message together again, oddly at one field in ``rarity``."""

    def __init__(self, seed, rarity, legal=False):
        # a seed, not draws: a model is thousands of choices, more than hypothesis can shrink
        self.random, self.rarity, self.legal = random.Random(seed), rarity, legal

    def chance(self):
        return self.random.randrange(self.rarity) == 0

    def message(self, parts):
        parts = [part for part in parts for part in self.variants(part)]
        if self.chance():
            self.random.shuffle(parts)
        return b"".join(self.field(*part) for part in parts)

    def variants(self, part):
        number, wire, value = part
        if self.legal or not self.chance():
            return [part]  # parsers differ on what comes twice, and no exporter writes it
        if isinstance(value, list) and self.random.random() < 0.5:
            cut = self.random.randint(0, len(value))
            return [(number, wire, value[:cut]), (number, wire, value[cut:])]
        return [part, part]

    def field(self, number, wire, value):
        tag = number << 3 | wire
        padding = 0
        if not self.legal and self.chance():
            tag |= self.random.choice([1 << 32, 1 << 34, 1 << 35, 1 << 62, 0])
            padding = self.random.randint(0, 3)
        content = varint(tag, padding)
        if wire == 0:
            if not self.legal and self.chance():
                value |= self.random.choice([1 << 32, 1 << 33, 1 << 63, 1 << 64, 1])
            return content + varint(value)
        if isinstance(value, list):
            value = self.message(value)
        if wire == 2:
            size = varint(len(value))
            content += varint(len(value), self.random.randint(0, 5 - len(size)) if self.chance() else 0)
        content += value
        if not self.legal and self.chance():
            content += self.random.choice([b"\x00", b"\x0b\x0c", b"\x04", b"\x98\x06", b"\x73\x70\x01\x74"])
        return content


def points_outside(message):
    if isinstance(message, TensorProto) and (
        message.data_location == TensorProto.EXTERNAL or message.external_data
    ):
        return True
    if isinstance(message, NodeProto) and message.op_type == "EPContext":
        return True
    for field, value in message.ListFields():
        if field.message_type is not None:
            several = value if hasattr(value, "add") else [value]
            if any(points_outside(one) for one in several):
                return True
    return False


def by_python(content):
    return ModelProto.FromString(content)


def by_cpp(content):
    """The parser that ONNX Runtime has too: it answers with what it read, written anew."""
    return onnx.shape_inference.infer_shapes(content)


def innocent():
    trees = helper.make_node(
        "Trees",
        ["features"],
        ["scores"],
        domain="ai.onnx.ml",
        numbers=[1.0, 2.5, -3.0] * 9,
        counts=[0, 1, 300, -1, 1 << 40] * 9,
        modes=["LEAF", "BRANCH_LEQ", "", "location", "x" * 40],
        weights=numpy_helper.from_array(WEIGHT),
    )
    return serialize([trees], [numpy_helper.from_array(WEIGHT, "weight")], domain="ai.onnx.ml")


def engine():
    return serialize([helper.make_node("EPContext", [], ["scores"], domain="com.microsoft")])


def hidden_behind_numbers():
    node = ModelProto.FromString(innocent()).graph.node[0]
    node.attribute[1].t.CopyFrom(outside(numpy_helper.from_array(WEIGHT)))
    return serialize([node], domain="ai.onnx.ml")


SEEDS = {**HIDING_PLACES, "innocent": innocent, "engine": engine, "behind numbers": hidden_behind_numbers}
TREES = {name: fields(make(), ModelProto.DESCRIPTOR) for name, make in SEEDS.items()}


def refused(content):
    try:
        audit_model(content)
    except BundleError:
        return True
    return False


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(sorted(TREES)), st.integers(0, 2**64), st.sampled_from([3, 10, 40, 150]))
def test_what_any_parser_reads_as_outside_is_refused(name, seed, rarity):
    content = Writer(seed, rarity).message(TREES[name])
    for parse in (by_python, by_cpp):
        try:
            parsed = parse(content)
        except Exception:
            continue
        if points_outside(parsed):
            assert refused(content), f"{parse.__name__} reads what the audit did not see"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**64), st.sampled_from([2, 3, 10, 40]))
def test_what_a_writer_may_do_to_an_innocent_model_is_no_offence(seed, rarity):
    audit_model(Writer(seed, rarity, legal=True).message(TREES["innocent"]))


@pytest.mark.parametrize("kind", PROTO)
def test_the_audit_knows_every_way_to_a_tensor_or_a_node(kind):
    """New ONNX releases add fields; one that leads to a tensor must not go unwalked."""

    def leads(descriptor, seen=()):
        if descriptor.name in {"TensorProto", "NodeProto"}:
            return True
        inner = [field.message_type for field in descriptor.fields if field.message_type is not None]
        return any(leads(one, (*seen, descriptor.name)) for one in inner if one.name not in seen)

    descriptor = getattr(onnx, PROTO[kind]).DESCRIPTOR
    wanted = {
        field.number: field.message_type.name
        for field in descriptor.fields
        if field.message_type is not None and leads(field.message_type)
    }
    assert {number: PROTO[inner] for number, inner in _INSIDE[kind].items()} == wanted


# --- by hand ------------------------------------------------------------------------------------------

HIDDEN = outside(numpy_helper.from_array(WEIGHT, "weight"))
PATHS = {  # field numbers from the model down to the tensor, and the tensor's bytes
    "initializer": (7, 5),
    "attribute": (7, 1, 5, 5),
    "sparse": (7, 15, 1),
    "function": (25, 7, 5, 10),
    "training": (20, 1, 5),
}


def wrap(path, content, odd_at, tag):
    """Put ``content`` under the path; the tag of level ``odd_at`` is written by ``tag``."""
    for level in range(len(path) - 1, -1, -1):
        key = path[level] << 3 | 2
        content = (tag(key) if level == odd_at else varint(key)) + varint(len(content)) + content
    return content


ODD_TAGS = {
    "bit 32": lambda key: varint(key | 1 << 32),
    "bit 34": lambda key: varint(key | 1 << 34),
    "bit 35": lambda key: varint(key | 1 << 35),
    "ten bytes": lambda key: varint(key | 1 << 63),
    "padded": lambda key: varint(key, 1),
    "group": lambda key: varint(key & ~7 | 3),
    "wire type 6": lambda key: varint(key & ~7 | 6),
    "field 0 before it": lambda key: b"\x02\x00" + varint(key),
    "end of stream before it": lambda key: b"\x00" + varint(key),
}


@pytest.mark.parametrize("odd", ODD_TAGS)
@pytest.mark.parametrize("path", PATHS)
def test_an_odd_tag_hides_nothing_at_any_level(path, odd):
    content = HIDDEN.SerializeToString()
    for level in range(len(PATHS[path])):
        with pytest.raises(Corrupt, match="well-formed"):
            audit_model(model() + wrap(PATHS[path], content, level, ODD_TAGS[odd]))
    with pytest.raises(Untrusted, match="external data"):  # the plain tags, as a check of this test
        audit_model(model() + wrap(PATHS[path], content, None, None))


@pytest.mark.parametrize(
    "location", [1, 2, 1 << 31, 1 << 32 | 1, 1 << 32, 1 << 63 | 1, (1 << 64) | 1], ids=hex
)
def test_a_data_location_that_a_parser_could_cut_to_external_is_refused(location):
    hidden = numpy_helper.from_array(WEIGHT, "weight").SerializeToString() + b"\x70" + varint(location)
    with pytest.raises((Untrusted, Corrupt)):
        audit_model(model() + wrap(PATHS["initializer"], hidden, None, None))


def test_a_data_location_of_another_wire_type_is_refused_and_the_default_is_not():
    tensor = numpy_helper.from_array(WEIGHT, "weight").SerializeToString()
    for odd in (b"\x72\x01\x01", b"\x75\x01\x00\x00\x00", b"\x71\x01\x00\x00\x00\x00\x00\x00\x00"):
        with pytest.raises(Untrusted):
            audit_model(model() + wrap(PATHS["initializer"], tensor + odd, None, None))
    made = ModelProto.FromString(model())
    del made.graph.initializer[:]
    graph = made.graph.SerializeToString() + wrap((5,), tensor + b"\x70\x00", None, None)
    audit_model(wrap((7,), graph, None, None))


def test_of_a_field_given_twice_both_are_seen():
    place, entry = TensorProto(data_location=TensorProto.EXTERNAL), TensorProto()
    entry.external_data.add(key="location", value="weights.bin")
    clean = numpy_helper.from_array(WEIGHT, "weight")
    for hidden in (place, entry):
        for order in ([clean, hidden], [hidden, clean]):
            value = b"".join(wrap((5,), one.SerializeToString(), None, None) for one in order)
            with pytest.raises(Untrusted, match="external data"):
                audit_model(model() + wrap((7, 1, 5), value, None, None))
    both = ModelProto.FromString(model(external=True)).graph.SerializeToString()
    for graphs in ([both, b""], [b"", both]):
        content = b"".join(wrap((7,), graph, None, None) for graph in graphs)
        with pytest.raises(Untrusted, match="external data"):
            audit_model(content)
    for names in ([b"EPContext", b"Add"], [b"Add", b"EPContext"]):
        with pytest.raises(Untrusted, match="EPContext"):
            audit_model(
                model() + wrap((7, 1), b"".join(wrap((4,), name, None, None) for name in names), None, None)
            )


@pytest.mark.parametrize(
    "odd",
    [
        b"\x08" + b"\x80" * 10 + b"\x01",  # eleven bytes
        b"\x08\x80",  # ends within a number
        b"\x3a\x05abc",  # a length beyond the end
        b"\x3a\x80\x80\x80\x80\x80\x00",  # a length of six bytes
        b"\x3a\xff\xff\xff\xff\x7f",  # a length of 35 bits
        b"\x0d\x01\x02",  # ends within a fixed-size number
        b"\x09\x01\x02\x03\x04",
    ],
    ids=bytes.hex,
)
def test_numbers_and_lengths_that_do_not_add_up_are_refused(odd):
    with pytest.raises(Corrupt, match="well-formed"):
        audit_model(model() + odd)
    attribute = wrap((7, 1, 5), b"\x40\x01" + odd, None, None)
    with pytest.raises(Corrupt, match="well-formed"):
        audit_model(model() + attribute)


def test_external_data_needs_no_word_to_be_seen():
    made = ModelProto.FromString(model())
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    with pytest.raises(Untrusted):
        audit_model(made.SerializeToString())


def test_a_run_of_numbers_hides_nothing_and_costs_little():
    """The shortcut for tree ensembles: whatever follows a run is read."""
    node = helper.make_node(
        "Trees", [], ["scores"], domain="ai.onnx.ml", n=np.arange(5000), f=[1.0] * 5000, s=["LEAF"] * 5000
    )
    audit_model(serialize([node], domain="ai.onnx.ml"))
    runs = node.attribute[0].SerializeToString() + node.attribute[2].SerializeToString()
    hidden = wrap((5,), HIDDEN.SerializeToString(), None, None)
    for attribute in (runs + hidden, hidden + runs, runs + hidden + runs):
        with pytest.raises(Untrusted, match="external data"):
            audit_model(model() + wrap((7, 1, 5), attribute, None, None))

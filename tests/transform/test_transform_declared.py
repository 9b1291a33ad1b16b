"""Declarations are values: they do not change, and copies of them are equal."""

from __future__ import annotations

import copy
import pickle

import pytest

from inprocml import Timestamp
from inprocml.transform import Custom

MAPPINGS = [
    Timestamp(parts={"hour": "cyclic", "weekday": "ordinal"}).parts,
    Custom("f", {"x": "number"}).reads,
]


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize(
    "change",
    [
        lambda mapping: mapping.__setitem__("hour", "onehot"),
        lambda mapping: mapping.__delitem__(next(iter(mapping))),
        lambda mapping: mapping.__ior__({"hour": "onehot"}),
        lambda mapping: mapping.update(hour="onehot"),
        lambda mapping: mapping.setdefault("day", "onehot"),
        lambda mapping: mapping.pop(next(iter(mapping))),
        lambda mapping: mapping.popitem(),
        lambda mapping: mapping.clear(),
    ],
)
def test_the_mapping_of_a_declaration_does_not_change(mapping, change):
    before = dict(mapping)
    with pytest.raises(TypeError, match="write a new one"):
        change(mapping)
    assert mapping == before


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_copies_are_equal(mapping):
    for again in (copy.copy(mapping), copy.deepcopy(mapping), pickle.loads(pickle.dumps(mapping))):
        assert again == mapping
        assert hash(again) == hash(mapping)
        assert type(again) is type(mapping)
    assert dict(mapping) | {"day": "onehot"} == {**mapping, "day": "onehot"}


def test_another_order_is_another_declaration():
    one = Timestamp(parts={"hour": "cyclic", "weekday": "ordinal"})
    other = Timestamp(parts={"weekday": "ordinal", "hour": "cyclic"})
    # their features come in another order
    assert one != other
    assert one.parts != other.parts
    assert one == Timestamp(parts={"hour": "cyclic", "weekday": "ordinal"})
    assert one.parts == {"hour": "cyclic", "weekday": "ordinal"}
    assert Custom("f", {"a": "number", "b": "number"}) != Custom("f", {"b": "number", "a": "number"})

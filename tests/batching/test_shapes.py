"""Which calls share a batch, how long it is, and what fills it up; pure."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocml.batching import Ragged, Shapes
from inprocml.batching.compute import cut, join
from inprocml.batching.shapes import LADDER

lengths = st.integers(1, 700)


def ids(rows, length, start=0):
    return np.arange(start, start + rows * length, dtype=np.int64).reshape(rows, length) + 1


def test_groups_end_often_enough_to_waste_little_and_seldom_enough_to_be_few():
    for shorter, longer in pairwise(LADDER):
        assert shorter < longer
        assert (longer - shorter - 1) / longer <= 1 / 3 or longer <= 16
    assert sum(end <= 512 for end in LADDER) == 12
    assert [Ragged().end(length) for length in (0, 1, 8, 9, 33, 48, 49, 500)] == [
        8,
        8,
        8,
        16,
        48,
        48,
        64,
        512,
    ]
    assert Ragged().end(10**9) == 10**9  # beyond all groups, one of its own


def test_where_nothing_varies_everybody_may_share():
    assert Shapes(fixed=True).of({"x": np.zeros((1, 3)), "y": np.zeros((1, 4, 5))}) is None


def test_sizes_that_nobody_promised_are_kept_apart():
    shapes = Shapes()
    small, large = ({"photo": np.zeros((1, 3, side, side), np.float32)} for side in (4, 8))
    assert shapes.of(small) == shapes.of({"photo": np.ones((5, 3, 4, 4), np.float32)})
    assert shapes.of(small) != shapes.of(large)
    assert len({shapes.of(small), shapes.of(large)}) == 2  # hashable


@given(lengths, lengths, st.booleans(), st.sampled_from([(), (4, 100, 700)]))
def test_lengths_of_one_group_share_and_a_long_row_does_not_slow_short_ones(one, other, fixed, ends):
    how = Ragged(ends=ends)
    shapes = Shapes({"ids": how}, fixed=fixed)
    together = shapes.of({"ids": ids(1, one)}) == shapes.of({"ids": ids(2, other)})
    assert together == (how.end(one) == how.end(other))
    if together and not ends and min(one, other) > 8:
        assert max(one, other) <= 1.5 * min(one, other)


calls = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 60)), min_size=1, max_size=6)


@given(calls, st.booleans(), st.sampled_from([1, 2]))
def test_joined_rows_are_the_callers_own_followed_by_padding(wanted, whole, axis):
    """Ids and mask vary in length, features do not; one caller after the other, whatever the lengths."""
    shapes = Shapes({"ids": Ragged(-7, axis), "mask": Ragged(0, axis)}, fixed=True, whole=whole)
    parts = []
    for place, (rows, length) in enumerate(wanted):
        tokens = ids(rows, length, 1000 * place)
        if axis == 2:
            tokens = np.stack([tokens, -tokens], axis=1)
        one = {"ids": tokens, "mask": np.ones_like(tokens), "features": np.full((rows, 3), place, np.float32)}
        parts.append(one)
    joined = join(parts, shapes)
    longest = max(length for _, length in wanted)
    assert joined["ids"].shape[axis] == (Ragged().end(longest) if whole else longest)
    start = 0
    for part in parts:
        rows, length = len(part["ids"]), part["ids"].shape[axis]
        found = {name: array[start : start + rows] for name, array in joined.items()}
        kept, rest = np.split(found["ids"], [length], axis=axis)
        assert kept.tobytes() == part["ids"].tobytes()
        assert (rest == -7).all()
        assert (found["mask"].sum(axis=axis) == length).all()
        assert found["features"].tobytes() == part["features"].tobytes()
        start += rows
    assert {name: array.dtype for name, array in joined.items()} == {
        "ids": np.int64,
        "mask": np.int64,
        "features": np.float32,
    }
    level = shapes.level(parts)
    again = {name: np.concatenate([part[name] for part in level]) for name in joined}
    assert all(again[name].tobytes() == joined[name].tobytes() for name in joined)


def test_what_has_its_length_is_not_copied():
    shapes = Shapes({"ids": 0}, fixed=True)
    parts = [{"ids": ids(1, 8), "x": np.zeros((1, 2))}, {"ids": ids(2, 5), "x": np.zeros((2, 2))}]
    level = shapes.level(parts)
    assert level[0]["ids"] is parts[0]["ids"]
    assert level[1]["x"] is parts[1]["x"]
    assert level[1]["ids"].shape == (2, 8)
    assert Shapes().level(parts) is parts


def test_joined_arrays_are_new_whatever_becomes_of_the_callers_own():
    shapes = Shapes({"ids": 0})
    parts = [{"ids": ids(1, 8)}, {"ids": ids(1, 8)}]
    joined = join(parts, shapes)["ids"]
    assert not any(np.shares_memory(joined, part["ids"]) for part in parts)


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"ids": ids(1, 4).astype(np.int32)}, TypeError),
        ({"ids": np.ones((1, 4, 2), np.int64)}, ValueError),
        ({"idz": ids(1, 4)}, ValueError),
    ],
    ids=["dtype", "rank", "name"],
)
def test_what_does_not_fit_is_refused_and_never_converted(other, error):
    for shapes in (Shapes({"ids": 0}), Shapes()):
        with pytest.raises(error):
            join([{"ids": ids(1, 4)}, other], shapes)


def test_outputs_that_follow_a_length_are_cut_back_to_the_callers_own():
    shapes = Shapes({"ids": 0}, follows={"tags": "ids"})
    parts = [{"ids": ids(1, 3)}, {"ids": ids(2, 5)}]
    joined = join(parts, shapes)
    outputs = {"tags": joined["ids"] * 2, "score": joined["ids"].sum(axis=1)}
    for part, start in zip(parts, (0, 1), strict=True):
        rows = len(part["ids"])
        found = shapes.trimmed(cut(outputs, start, rows), part)
        assert found["tags"].tolist() == (part["ids"] * 2).tolist()
        assert found["score"].tolist() == part["ids"].sum(axis=1).tolist()
        assert not np.shares_memory(found["tags"], outputs["tags"])
    assert Shapes({"ids": 0}).trimmed(outputs, parts[0]) is outputs


def test_what_cannot_be_is_refused_when_it_is_declared():
    for ragged in ({"ids": Ragged(axis=0)}, {"ids": Ragged(ends=(8, 4))}, {"ids": Ragged(ends=(0, 4))}):
        with pytest.raises(ValueError, match="'ids'"):
            Shapes(ragged)
    with pytest.raises(ValueError, match="mask"):
        Shapes({"ids": 0}, follows={"tags": "mask"})
    with pytest.raises(ValueError, match=r"'ids' has shape \(3,\); axis 1"):
        Shapes({"ids": 0}).of({"ids": np.zeros(3)})

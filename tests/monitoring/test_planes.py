"""Planes: what lies in them, what does not, rows that were not learnt from, and documents that lie."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocml import Corrupt, Numeric, Transform, Unsupported, Vector
from inprocml.monitoring import Baseline, build_baseline
from inprocml.monitoring.planes import LARGEST, MOST_COMPONENTS, MOST_PLANES, Plane, learnt
from inprocml.monitoring.scalars import planes_of, scalars, with_scalars

SIZE = 12


def units(vectors):
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def flat(rng, rows, *, within, size=SIZE):
    """Vectors of any length in the plane of two directions, with a little noise."""
    vectors = np.zeros((rows, size))
    vectors[:, within] = rng.normal(size=(rows, 2)) * 3
    return vectors + rng.normal(size=(rows, size)) * 0.05


def vectors_of(rows, size=SIZE, name="v"):
    """A fitted schema and its column."""
    table = {name: rows.tolist()}
    transform = Transform({name: Vector(size=size)}).fit(table)
    return transform.schema, transform.columns(table)


def test_what_leaves_the_plane_is_told_and_its_length_is_not():
    rng = np.random.default_rng(0)
    schema, columns = vectors_of(flat(rng, 2_000, within=[0, 1]))
    planes = planes_of(schema, columns)
    assert len(planes["v"].parts[1]) == 2
    for within, far in (([0, 1], False), ([5, 6], True)):
        _, served = vectors_of(flat(np.random.default_rng(1), 500, within=within))
        made = scalars(schema, served, planes)
        assert (made["v.reconstruction"].mean() > 0.9) == far
        assert (made["v.reconstruction"].mean() < 0.2) != far
        assert made["v.norm"].mean() == pytest.approx(scalars(schema, columns)["v.norm"].mean(), rel=0.1)


_numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([2, 3, 9, 300]))
def test_a_row_alone_is_as_far_as_beside_others_however_the_table_lies(data, size):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    column = rng.normal(size=(data.draw(st.integers(2, 40)), size)) * 10.0 ** rng.integers(-300, 300)
    column[data.draw(st.integers(0, len(column) - 1))] = np.nan
    schema, _ = vectors_of(np.ones((3, size)), size)
    components = np.linalg.qr(rng.normal(size=(size, min(8, size // 2))))[0].T
    mean = units(rng.normal(size=(1, size))) / 2
    planes = {"v": Plane(size, np.concatenate([mean, components]).astype("<f4").tobytes())}
    made = scalars(schema, {"v": column}, planes)
    other = scalars(schema, {"v": np.asfortranarray(column)}, planes)
    for place in range(len(column)):
        alone = scalars(schema, {"v": column[place : place + 1]}, planes)
        for name in ("v.norm", "v.direction", "v.reconstruction"):
            np.testing.assert_array_equal(alone[name], made[name][place : place + 1])
            np.testing.assert_array_equal(other[name][place], made[name][place])
    known = made["v.reconstruction"][~np.isnan(column[:, 0])]
    assert ((known >= 0) & (known <= 2 + 1e-3)).all()
    assert np.isnan(made["v.reconstruction"]).sum() == 1


@pytest.mark.parametrize(("rows", "size"), [(60, 64), (1_000, 384), (3_000, 384)])
def test_rows_of_training_seem_no_nearer_than_those_that_are_served(rows, size):
    rng = np.random.default_rng(rows)
    mixing = rng.normal(size=(10, size))

    def more(count):
        return units(rng.normal(size=(count, 10)) @ mixing + 2 * rng.normal(size=(count, size)))

    training = more(rows)
    plane = learnt(training)
    if plane is None:  # too few to tell
        assert rows < size
        return
    mine, others = plane.distances(training), plane.distances(more(5_000))
    assert others.mean() - mine.mean() < (0.1 + 3 * rows**-0.5) * mine.std()


def test_nothing_is_learnt_where_there_is_nothing():
    rng = np.random.default_rng(0)
    assert learnt(np.full((5, 3), np.nan)) is None
    assert learnt(np.ones((5, 1))) is None
    assert learnt(np.zeros((5, LARGEST + 1))) is None
    assert learnt(units(rng.normal(size=(400, 384)))) is None  # they point anywhere
    assert learnt(units(rng.normal(size=(1, 4)))) is None


def test_vectors_that_are_all_alike():
    plane = learnt(units(np.tile([3.0, 4.0, 0.0], (50, 1))))
    assert len(plane.parts[1]) == 0
    assert plane.distances(np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])) == pytest.approx(
        [0, 2**0.5], abs=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.integers(2, 200), st.integers(0, 2**32))
def test_a_plane_is_small_and_its_components_are_told_apart(size, rows, seed):
    rng = np.random.default_rng(seed)
    plane = learnt(units(rng.normal(size=(rows, size)) * np.geomspace(1, 50, size)))
    if plane is not None:
        assert len(plane.parts[1]) <= min(MOST_COMPONENTS, size // 2)
        assert len(plane.content) <= 4 * size * (1 + MOST_COMPONENTS)
        assert Plane(size, plane.content) == plane


def baseline():
    rng = np.random.default_rng(0)
    schema, columns = vectors_of(flat(rng, 200, within=[0, 1], size=4), 4)
    planes = planes_of(schema, columns)
    return schema, build_baseline(schema, with_scalars(schema, columns, planes), planes=planes)


def test_a_baseline_carries_them():
    schema, made = baseline()
    assert made.fields.keys() == {"v.norm", "v.direction", "v.reconstruction"}
    text = made.to_json()
    again = Baseline.from_json(text)
    assert (again, again.planes, again.to_json()) == (made, made.planes, text)
    assert again.fitting(schema) is again
    bare = json.loads(text)
    assert [(plane["kind"], plane["name"]) for plane in bare.pop("planes")] == [("plane@1", "v")]
    assert Baseline.from_json(json.dumps(bare)).to_json() == json.dumps(
        bare, separators=(",", ":"), sort_keys=True
    )


def floats(change):
    """A document of which the numbers of a plane were changed."""

    def changed(document):
        (plane,) = document["planes"]
        numbers = np.frombuffer(b64decode(plane["base64"]), "<f4").copy()
        plane["base64"] = b64encode(change(numbers).astype("<f4").tobytes()).decode()

    return changed


def at(place, value):
    def change(numbers):
        numbers[place] = value
        return numbers

    return floats(change)


def put(**members):
    return lambda document: document["planes"][0].update(members)


HOSTILE = {
    "a mean that is no number": at(0, np.nan),
    "a component that is no number": at(-1, np.nan),
    "an infinite component": at(-1, np.inf),
    "a huge component": at(-1, 3e38),
    "a mean outside": at(0, 1.5),
    "components that are not of length 1": floats(lambda numbers: numbers * 1.1),
    "components that are one": floats(lambda numbers: np.concatenate([numbers[:8], numbers[4:8]])),
    "a number too few": floats(lambda numbers: numbers[:-1]),
    "no number": floats(lambda numbers: numbers[:0]),
    "too many components": floats(lambda numbers: np.concatenate([numbers, np.eye(4, dtype="f4").ravel()])),
    "another size": put(size=8),
    "a size of one": put(size=1),
    "a huge size": put(size=2**40),
    "a size that is none": put(size=4.0),
    "half a byte": put(base64="AAA"),
    "base64 with line ends": put(base64="AAAA\nAAAA"),
    "base64 spelt otherwise": put(base64="AAAAAAAAAAAAAAAAAAAAAB=="),
    "bytes that are none": put(base64="\u00e9" * 8),
    "a member nobody knows": put(import_="os"),
    "two of one name": lambda document: document["planes"].append(document["planes"][0]),
    "none at all": lambda document: document.update(planes=[]),
    "no list": lambda document: document.update(planes={}),
    "a crowd": lambda document: document.update(planes=document["planes"] * (MOST_PLANES + 1)),
    "the first kind": lambda document: document.update(kind="baseline@1"),
}


def test_a_plane_of_another_release_is_unsupported():
    document = json.loads(baseline()[1].to_json())
    put(kind="plane@2")(document)
    with pytest.raises(Unsupported, match="Upgrade inprocml"):
        Baseline.from_json(json.dumps(document))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_cannot_be_is_refused(hostile):
    document = json.loads(baseline()[1].to_json())
    HOSTILE[hostile](document)
    with pytest.raises(Corrupt, match="the baseline cannot be read"):
        Baseline.from_json(json.dumps(document))


@pytest.mark.parametrize(
    "entries", [{"v": Vector(size=5)}, {"w": Vector(size=4)}, {"v": Numeric()}], ids=["size", "name", "kind"]
)
def test_a_plane_of_vectors_that_rows_do_not_have_is_refused(entries):
    (name, entry), *_ = entries.items()
    value = 1.0 if isinstance(entry, Numeric) else [1.0] * entry.size
    schema = Transform(entries).fit([{name: value}, {name: value}]).schema
    with pytest.raises(Corrupt, match="vectors 'v' that rows do not have"):
        baseline()[1].fitting(schema)

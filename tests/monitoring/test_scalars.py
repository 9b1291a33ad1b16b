"""Numbers for what is not counted itself: the same at pack time and while serving, of any finite values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import inprocml
from inprocml import Audio, Classes, Model, Numeric, Text, Transform, Vector
from inprocml.monitoring.scalars import scalars, with_scalars
from inprocml.monitoring.verdict import State


def schema_of(**entries):
    rows = [
        {"note": "a", "v": [1.0, 2.0], "n": 1.0, "v.norm": 2.0, "sound": [0.0, 0.5] * 4000},
        {"note": "b", "v": [3.0, 4.0], "n": 2.0, "v.norm": 3.0, "sound": [0.5, 0.0] * 4000},
    ]
    return Transform(entries).fit([{name: row[name] for name in entries} for row in rows]).schema


_finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_finite, _finite), min_size=1, max_size=20))
def test_norms_and_directions_of_any_vectors(vectors):
    column = np.array(vectors)
    made = scalars(schema_of(v=Vector(size=2)), {"v": column})
    assert list(made) == ["v.norm", "v.direction"]
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(
            made["v.norm"], np.hypot(column[:, 0], column[:, 1]), rtol=1e-12, atol=1e-300
        )
    assert (np.abs(made["v.direction"]) <= np.sqrt(2)).all()
    for place in range(len(column)):  # a row alone, beside others: the same
        alone = scalars(schema_of(v=Vector(size=2)), {"v": column[place : place + 1]})
        assert [alone[name][0] for name in made] == [made[name][place] for name in made]


def test_direction_tells_what_the_norm_does_not():
    made = scalars(schema_of(v=Vector(size=2)), {"v": np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 0.0]])})
    assert made["v.norm"].tolist() == [1.0, 1.0, 5.0]
    first, other, again = made["v.direction"]
    assert first == again
    assert abs(first - other) > 0.1


def test_missing_values_have_no_number():
    schema = schema_of(v=Vector(size=2), note=Text(buckets=4))
    made = scalars(
        schema, {"v": np.full((2, 2), np.nan), "note": np.array([None, "caf\u00e9"], dtype=object)}
    )
    assert np.isnan(made["v.norm"]).all()
    assert np.isnan(made["v.direction"]).all()
    assert np.isnan(made["note.length"][0])
    assert made["note.length"][1] == 4


def test_sound_as_numbers_and_as_a_file():
    schema = schema_of(sound=Audio(sample_rate=8_000, seconds=2.0))
    column = np.empty(4, dtype=object)
    column[:] = [np.array([3.0, -3.0]), b"RIFF", None, np.empty(0)]
    made = scalars(schema, {"sound": column})
    np.testing.assert_array_equal(made["sound.bytes"], [np.nan, 4, np.nan, np.nan])
    np.testing.assert_array_equal(made["sound.samples"], [2, np.nan, np.nan, 0])
    np.testing.assert_array_equal(made["sound.level"], [3, np.nan, np.nan, 0])


def test_a_field_of_that_name_comes_first():
    schema = schema_of(**{"v": Vector(size=2), "v.norm": Numeric()})
    columns = {"v": np.ones((1, 2)), "v.norm": np.array([7.0])}
    assert with_scalars(schema, columns)["v.norm"].tolist() == [7.0]


def test_numbers_alone_cost_nothing():
    assert scalars(schema_of(n=Numeric()), {"n": np.ones(3)}) == {}


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"v": rng.normal(size=3).tolist(), "note": "x" * int(rng.integers(10, 50))} for _ in range(400)]
    transform = Transform({"v": Vector(size=3), "note": Text(buckets=8)})
    features = transform.fit_transform(rows)
    if isinstance(features, dict):
        features = np.concatenate([part.reshape(len(rows), -1) for part in features.values()], axis=1)
    model = LogisticRegression().fit(features, rng.integers(0, 2, 400))
    inprocml.pack(tmp_path / "m", transform=transform, model=model, output=Classes(["a", "b"]), baseline=rows)
    return tmp_path / "m", rows


def test_a_served_model_watches_them(store):
    path, rows = store
    with Model(path, name="scalars") as model:
        for row in rows[:20]:
            model.predict(row)
        report = model.drift()
        assert {"v.norm", "v.direction", "note.length"} <= {found.name for found in report.findings}
        assert report.health.sampled == 20
        assert report["note.length"].rows == 20
        longer = [{**row, "note": row["note"] * 4} for row in rows]
        assert model.drift(rows).state is State.OK
        assert "note.length" in {found.name for found in model.drift(longer).drifted}

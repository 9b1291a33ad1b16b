"""Unrest of training rows: found where stretches differ, and no news then; none in shuffled rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.monitoring.alarm.columns import Stream, shifted

from inprocml import Category, Numeric, Transform
from inprocml.monitoring import build_baseline, layout_of
from inprocml.monitoring.alarm import with_unrest
from inprocml.monitoring.verdict import Reference, State

ROWS, STRETCHES = 32_000, 16
TRANSFORM = Transform({"amount": Numeric(missing="median"), "kind": Category(missing="slot")})


def baseline_of(amount, kind=None, scores=None):
    kinds = np.full(len(amount), "a", dtype=object) if kind is None else kind
    columns = {"amount": np.asarray(amount, np.float64), "kind": kinds}
    outputs = {} if scores is None else {"p": scores}
    return with_unrest(build_baseline(TRANSFORM.schema, columns, outputs), columns, outputs)


def stretches(rng, spread, rows=ROWS):
    """Values whose mean differs from stretch to stretch by ``spread`` sigma."""
    means = rng.normal(size=STRETCHES)
    means = (means - means.mean()) / means.std() * spread
    return rng.normal(size=rows) + np.repeat(means, rows // STRETCHES)


@pytest.fixture(scope="module", autouse=True)
def _fitted():
    TRANSFORM.fit([{"amount": 1.0, "kind": "a"}, {"amount": 2.0, "kind": "b"}])


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 0.5), st.integers(0, 1000))
def test_location_is_the_variance_between_stretches(spread, seed):
    found = baseline_of(stretches(np.random.default_rng(seed), spread)).unrest["input", "amount"]
    part = spread**2 / (1 + spread**2) * STRETCHES / (STRETCHES - 1)
    assert found[0] == pytest.approx(part, rel=0.3)  # ranks: far stretches count for a little less


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_shuffled_rows_have_none(seed):
    rng = np.random.default_rng(seed)
    values = rng.permutation(stretches(rng, 0.5))
    kinds = rng.choice(np.array(["a", "b", None], dtype=object), ROWS)
    assert dict(baseline_of(values, kinds, rng.random(ROWS)).unrest) == {}


def test_missing_values_and_categories_that_come_in_stretches():
    rng = np.random.default_rng(1)
    chance = np.repeat(rng.uniform(0, 0.2, STRETCHES), ROWS // STRETCHES)
    amount = np.where(rng.random(ROWS) < chance, np.nan, rng.normal(size=ROWS))
    kinds = np.where(rng.random(ROWS) < 3 * chance, "a", "b").astype(object)
    found = baseline_of(amount, kinds).unrest
    assert found["input", "amount"][2] > 0.01
    assert found["input", "amount"][:2] == (0, 0)
    assert found["input", "kind"][2] > 0.01


def test_outputs_have_it_too():
    rng = np.random.default_rng(2)
    found = baseline_of(rng.normal(size=ROWS), scores=stretches(rng, 0.3)).unrest
    assert list(found) == [("output", "p")]


def test_a_table_sorted_by_a_column_tells_no_time():
    rng = np.random.default_rng(3)
    kinds = np.sort(rng.choice(["a", "b", "c"], ROWS)).astype(object)
    assert dict(baseline_of(np.sort(rng.normal(size=ROWS)), kinds).unrest) == {}


@pytest.mark.parametrize("rows", [1, 10, 399, 400])
def test_few_rows_say_little(rows):
    rng = np.random.default_rng(4)
    found = baseline_of(rng.normal(size=rows))
    assert found.rows == rows
    assert dict(found.unrest) == {}


def test_nothing_but_missing_values():
    assert dict(baseline_of(np.full(2_000, np.nan)).unrest) == {}


def served(baseline, live, seed=5):
    """Serve 700 healthy blocks like training, then ``live`` sigma of a shift for 400."""
    stream = Stream(*layout_of(baseline).series[:1], seed=seed)
    name = stream.layout.series[0].name
    stream.blocks(700, **{name: shifted(0)})
    stream.blocks(400, **{name: shifted(live)})
    return stream


@pytest.mark.parametrize(
    ("spread", "live", "state"),
    [
        (0.0, 0.3, State.DRIFT),
        (0.2, 0.3, State.OK),  # a stretch of training was as far out
        (0.2, 1.6, State.DRIFT),
    ],
)
def test_what_stretches_of_training_show_is_no_news(spread, live, state):
    baseline = baseline_of(stretches(np.random.default_rng(6), spread))
    stream = served(baseline, live)
    assert stream.alarm.state(Reference.TRAIN, stream.now) is state


def test_unrest_is_no_excuse_for_what_training_never_saw():
    rng = np.random.default_rng(7)
    kinds = np.concatenate([np.where(rng.random(2_000) < p, "a", "b") for p in rng.uniform(0.2, 0.8, 16)])
    series = layout_of(baseline_of(rng.normal(size=ROWS), kinds.astype(object))).series[1]
    assert series.unrest[2] > 0.05
    stream = Stream(series)
    stream.blocks(600)
    before = list(stream.events)
    new, chances = np.array(["a", "b", "new"], dtype=object), [0.49, 0.49, 0.02]
    stream.blocks(40, kind=lambda rng, rows: rng.choice(new, rows, p=chances))
    assert before == []
    assert "unseen" in stream.events[-1].findings[0].why

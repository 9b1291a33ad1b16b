"""Statistics on rows: what no column alone shows, chances that are right, samples that merge."""

from __future__ import annotations

import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocml.monitoring.statistics import Reservoir, Undefined, domain_auc, domain_classifier, mmd

BOTH = [domain_classifier, mmd]


def rows(seed, size=1000, columns=8):
    return np.random.default_rng(seed).normal(size=(size, columns))


def flipped(size=1000, columns=8):
    """Two columns whose correlation changes its sign, each of them as before."""
    then, now = rows(1, size, columns), rows(2, size, columns)
    then[:, 1] = 0.8 * then[:, 0] + 0.6 * then[:, 1]
    now[:, 1] = -0.8 * now[:, 0] + 0.6 * now[:, 1]
    return then, now


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 48))
def test_the_auc_alone_is_that_of_the_classifier(seed, size, columns):
    then, now = rows(seed, size, columns), rows(seed + 1, size, columns)
    whole, alone = domain_classifier(then, now, permutations=19), domain_auc(then, now)
    if isinstance(whole, Undefined):
        assert alone == whole
    else:
        assert alone == whole.auc


def test_a_flipped_correlation_is_found_and_the_columns_named():
    found = domain_classifier(*flipped())
    assert found.auc > 0.85
    assert found.p_value <= 0.01
    assert sum(found.weights[:2]) > 0.9
    assert sum(found.weights) == pytest.approx(1)
    assert found.auc == found.statistic


def test_a_flipped_correlation_is_found_among_35_columns_of_2000_rows():
    then, now = flipped(2500, 35)
    assert domain_classifier(then, now).auc > 0.85
    assert mmd(then[:, :3], now[:, :3]).p_value <= 0.01


@pytest.mark.parametrize("statistic", BOTH)
def test_what_changes_in_one_column_is_found(statistic):
    then, now = rows(3), rows(4)
    now[:, 2] += 1.0
    assert statistic(then, now).p_value <= 0.01
    missing = rows(4)
    missing[:300, 5] = np.nan
    assert statistic(then, missing).p_value <= 0.01


def test_the_classifier_finds_scale_rare_values_and_constants():
    then, wider = rows(3), rows(4)
    wider[:, 2] *= 2
    assert domain_classifier(then, wider).p_value <= 0.01
    rare = np.zeros((1000, 1)), (np.arange(1000) % 10 == 0).astype(float)[:, None]
    assert domain_classifier(*rare).p_value <= 0.01
    assert domain_classifier(np.full((50, 1), 5.0), np.full((50, 1), 7.0)).auc == 1


@pytest.mark.parametrize("statistic", BOTH)
def test_one_value_of_a_billion_decides_nothing(statistic):
    then, now = rows(5), rows(6)
    now[0, 0] = 1e9
    now[1, 1], now[2, 1] = np.inf, -np.inf
    assert statistic(then, now).p_value > 0.01


@pytest.mark.parametrize("statistic", BOTH)
@pytest.mark.parametrize("value", [np.nan, 5.0])
def test_rows_that_are_all_alike_show_nothing(statistic, value):
    alike = np.full((2000, 3), value)
    assert statistic(alike, alike[:1111]).p_value == 1.0


@pytest.mark.parametrize("statistic", BOTH)
def test_a_constant_that_goes_missing_is_found(statistic):
    then = np.full((200, 1), 5.0)
    now = then.copy()
    now[:60] = np.nan
    assert statistic(then, now).p_value <= 0.01


@pytest.mark.parametrize("statistic", BOTH)
def test_without_drift_p_values_are_as_rare_as_they_say(statistic):
    draw = np.random.default_rng(7)
    p_values = []
    for seed in range(300):
        both = draw.normal(size=(160, 3))
        both[:, 2] = both[:, 0] + 0.3 * both[:, 2]
        both[draw.random(160) < 0.1, 1] = np.nan
        p_values.append(statistic(both[:80], both[80:], permutations=99, seed=seed).p_value)
    for level in (0.02, 0.05, 0.2):
        assert np.mean(np.array(p_values) <= level) < level + 4 * np.sqrt(level / 300)


@pytest.mark.parametrize("statistic", BOTH)
def test_the_same_arguments_give_the_same_result_and_another_seed_another(statistic):
    sides = rows(8, 2500, 3), rows(9, 2500, 3)
    assert statistic(*sides) == statistic(*sides)
    assert statistic(*sides).statistic != statistic(*sides, seed=1).statistic


@pytest.mark.parametrize("statistic", BOTH)
def test_units_do_not_matter(statistic):
    then, now = rows(10), rows(11)
    scaled = statistic(then * 1024, now * 1024)
    assert scaled == statistic(then, now)


@pytest.mark.parametrize("statistic", BOTH)
def test_too_few_rows_are_undefined(statistic):
    assert "19 rows" in statistic(rows(1, 19), rows(2, 100)).reason
    assert "current holds 0 rows" in statistic(rows(1, 100), rows(2, 0)).reason
    assert not isinstance(statistic(rows(1, 20), rows(2, 20)), Undefined)


@pytest.mark.parametrize("statistic", BOTH)
def test_other_shapes_and_too_few_permutations_are_refused(statistic):
    for then, now in (
        (rows(1), rows(1)[:, :3]),
        (rows(1)[:, 0], rows(1)[:, 0]),
        (rows(1)[:, :0], rows(1)[:, :0]),
    ):
        with pytest.raises(ValueError, match="shape"):
            statistic(then, now)
    with pytest.raises(ValueError, match="permutations"):
        statistic(rows(1), rows(2), permutations=5)


def test_wide_rows_are_looked_at_in_part_and_still_found():
    then, now = rows(12, 400, 120), rows(13, 400, 120)
    now[:, :12] += 1.0
    found = domain_classifier(then, now)
    assert found.p_value <= 0.01
    assert sum(found.weights[:12]) > 0.5


ids = st.lists(st.integers(0, 2**64 - 1), max_size=60, unique=True)


def values(names):
    return np.array([[name % 1000, -(name % 7)] for name in names], dtype=float).reshape(-1, 2)


def filled(names, size=10):
    made = Reservoir(2, size=size)
    made.add(np.array(names, dtype=np.uint64), values(names))
    return made


@given(names=ids, order=st.randoms(use_true_random=False), cuts=st.lists(st.integers(0, 60), max_size=4))
@settings(max_examples=200)
def test_a_sample_is_the_same_in_any_order_and_however_it_was_shared_out(names, order, cuts):
    whole = filled(names)
    mixed = list(names)
    order.shuffle(mixed)
    places = [0, *sorted(min(cut, len(mixed)) for cut in cuts), len(mixed)]
    workers = [filled(mixed[start:end]) for start, end in pairwise(places)]
    order.shuffle(workers)
    merged = Reservoir(2, size=10)
    for worker in workers:
        merged.merge(worker)
        merged.merge(worker)  # twice is once
    one_by_one = Reservoir(2, size=10)
    for name in mixed:
        one_by_one.add(np.array([name], dtype=np.uint64), values([name]))
    assert merged == whole == one_by_one
    assert len(whole) == min(10, len(names))
    given_rows = {tuple(row) for row in values(names).tolist()}
    assert {tuple(row) for row in whole.rows.tolist()} <= given_rows


def test_a_sample_is_uniform_over_consecutive_ids():
    made = Reservoir(1, size=2000)
    for start in range(0, 100_000, 500):
        numbers = np.arange(start, start + 500)
        made.add(numbers, numbers[:, None])
    found = made.rows[:, 0]
    assert len(found) == len(set(found.tolist())) == 2000
    per_tenth = np.histogram(found, 10, (0, 100_000))[0]
    assert np.abs(per_tenth - 200).max() < 60
    assert abs(np.mean(found % 2) - 0.5) < 0.05


def test_a_sample_differs_by_seed_keeps_missing_values_and_its_size():
    many = np.arange(5000)
    first, second = Reservoir(1, size=50), Reservoir(1, size=50, seed=1)
    for made in (first, second):
        made.add(many, np.where(many % 2, np.nan, many)[:, None])
        assert made.rows.nbytes == 400
    assert first != second
    assert np.isnan(first.rows).any()
    assert first != "a reservoir"


@given(names=ids)
def test_a_sample_survives_its_bytes(names):
    whole = filled(names)
    assert Reservoir.load(whole.dump()) == whole
    assert len(whole.dump()) <= 32 + 10 * 3 * 8


@given(place=st.integers(0, 271), bit=st.integers(0, 7), end=st.integers(0, 271))
def test_damaged_bytes_are_refused(place, bit, end):
    dumped = filled(range(10)).dump()
    assert len(dumped) == 272
    flipped_bit = bytearray(dumped)
    flipped_bit[place] ^= 1 << bit
    for damaged in (bytes(flipped_bit), dumped[:end], dumped + b"x"):
        with pytest.raises(ValueError, match="reservoir"):
            Reservoir.load(damaged)


def test_bytes_that_say_more_than_they_hold_are_refused():
    body = filled([1, 2]).dump()[:-4]
    twice = body[:28] + body[28:36] * 2 + body[44:]
    for lie in (body.replace(b"bottomk1", b"bottomk2"), body + bytes(8), twice):
        with pytest.raises(ValueError, match="no reservoir"):
            Reservoir.load(lie + zlib.crc32(lie).to_bytes(4, "little"))


def test_a_copy_is_handed_out():
    made = filled([1, 2, 3])
    made.rows[:] = 0
    assert made == filled([1, 2, 3])


@pytest.mark.parametrize(
    ("names", "given_rows"),
    [
        ([1], [[1.0, 2.0], [3.0, 4.0]]),
        ([1], [[1.0]]),
        ([[1]], [[1.0, 2.0]]),
        ([-1], [[1.0, 2.0]]),
        ([0.5], [[1.0, 2.0]]),
    ],
)
def test_rows_and_ids_that_do_not_fit_are_refused(names, given_rows):
    with pytest.raises(ValueError, match="id"):
        Reservoir(2).add(names, given_rows)


def test_unlike_reservoirs_do_not_merge():
    for other in (Reservoir(1), Reservoir(2, size=5), Reservoir(2, seed=3)):
        with pytest.raises(ValueError, match="merge"):
            Reservoir(2).merge(other)
    for columns, size in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least"):
            Reservoir(columns, size=size)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="seed"):
            Reservoir(1, seed=seed)

"""The limits of a number: the outermost values whose features are finite, and all between them are."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inprocml import Corrupt, Numeric, Transform
from inprocml.transform import Vector

FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(min_value=1e-300, max_value=1e300)
BENT = st.sampled_from([None, "sqrt", "square", "yeo-johnson"])


def read(**entry):
    return Transform.from_json(json.dumps({"kind": "transform@1", "fields": [entry]}))


def number(**learnt):
    usual = {"scale": "standard", "log": False, "power": None, "clip": None, "exponent": 1.0}
    return {"kind": "numeric@1", "name": "x", "field": None, "missing": None, "fill": None, **usual, **learnt}


def vector(offsets, divisors):
    usual = {"field": None, "scale": "standard", "missing": None}
    return {
        **usual,
        "kind": "vector@1",
        "name": "x",
        "size": len(offsets),
        "offsets": offsets,
        "divisors": divisors,
    }


def read_if_sound(**entry):
    try:
        return read(**entry)
    except Corrupt:
        return None


@given(offset=FINITE, divisor=POSITIVE, power=BENT, exponent=st.floats(-5, 5), share=st.floats(0, 1))
def test_what_lies_within_the_limits_is_finite_and_what_lies_beyond_is_refused(
    offset, divisor, power, exponent, share
):
    transform = read_if_sound(**number(offset=offset, divisor=divisor, power=power, exponent=exponent))
    assume(transform is not None)
    low, high = transform.schema.fields[0].limits
    inside = min(max(low * (1 - share) + high * share, low), high)
    rows = {"x": [low, inside, high, math.nextafter(low, high), math.nextafter(high, low)]}
    assert np.isfinite(transform.transform(rows)).all()
    field = transform.schema.fields[0]
    beyond = [(math.nextafter(low, -math.inf), low), (math.nextafter(high, math.inf), high)]
    for x, end in beyond:
        if math.isfinite(x) and not (power == "sqrt" and end == 0.0):
            # wider limits would let this one in, and its feature would be no number of float32
            step = transform._plan.entries[0]
            assert abs(step.encode(x)) >= float.fromhex("0x1.ffffffp+127")
            assert not field.limits[0] <= x <= field.limits[1]


def test_a_square_that_fits_at_its_clip_and_not_between_is_no_scale():
    # (25 - 25) / 1e-40 fits at both ends of the clip, (0 - 25) / 1e-40 does not
    with pytest.raises(Corrupt, match="float32 cannot hold"):
        read(**number(power="square", clip=[-5.0, 5.0], offset=25.0, divisor=1e-40))


def test_a_square_whose_fill_fits_and_zero_does_not_is_no_scale():
    with pytest.raises(Corrupt, match="float32 cannot hold"):
        read(**number(power="square", missing=5.0, fill=5.0, offset=25.0, divisor=1e-40))


def test_a_square_clipped_away_from_zero_need_not_hold_zero():
    transform = read(**number(power="square", clip=[5.0, 6.0], offset=25.0, divisor=1e-37))
    assert np.isfinite(transform.transform({"x": [-1e9, 0.0, 5.0, 5.5, 6.0, 1e9]})).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9)), min_size=1, max_size=6))
def test_a_vector_accepts_what_each_of_its_numbers_would(pairs):
    offsets, divisors = [list(part) for part in zip(*pairs, strict=True)]
    transform = read(**vector(offsets, divisors))
    single = [read(**number(offset=o, divisor=d)).schema.fields[0].limits for o, d in pairs]
    assert transform.schema.fields[0].limits == (max(low for low, _ in single), min(h for _, h in single))


@pytest.mark.parametrize("divisor", [0.0, -1.0])
def test_a_vector_s_divisors_are_positive(divisor):
    with pytest.raises(Corrupt, match="divisors must be positive"):
        read(**vector([0.0, 1.0], [1.0, divisor]))


def test_a_vector_whose_numbers_share_no_value_is_refused():
    with pytest.raises(Corrupt, match="float32 cannot hold"):
        read(**vector([0.0, 1e300], [1.0, 1.0]))


def test_a_hundred_thousand_scales_take_no_longer_than_reading_them():
    # once a search for each of them: minutes
    size = 100_000
    offsets = [number / 7 for number in range(size)]
    transform = read(**vector(offsets, [1.0 + offset for offset in offsets]))
    assert transform.width == size


def test_fitted_vectors_say_where_float32_ends():
    transform = Transform({"x": Vector(size=2, scale="standard")}).fit({"x": [[1.0, 2.0], [3.0, 5.0]]})
    low, high = transform.schema.fields[0].limits
    assert np.isfinite(transform.transform({"x": [[low, high], [high, low]]})).all()
    assert low < -1e37 < 1e37 < high


def test_limits_do_not_depend_on_the_guess():
    from inprocml.transform.limits import limit_where

    guesses = [-1e300, -1.0, 0.0, 5e-324, 6.9, 7.0, 7.1, 1e300, math.inf, -math.inf, math.nan]
    found = [limit_where(lambda x: x <= 7.0, 0.0, 1e308, guess) for guess in guesses]
    assert set(found) == {7.0}
    found = [limit_where(lambda x: x >= -7.0, 0.0, -1e308, guess) for guess in guesses]
    assert set(found) == {-7.0}


def test_numbers_keep_their_order_within_a_rising_curve():
    rows = {"x": [-3.0, -1.0, 0.0, 0.5, 8.0]}
    features = Transform({"x": Numeric(power="yeo-johnson")}).fit_transform(rows)[:, 0].tolist()
    assert all(one < other for one, other in pairwise(features))

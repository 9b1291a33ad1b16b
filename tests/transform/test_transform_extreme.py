"""Training values at the ends of float64: learnt or refused with the field's name, and never a warning."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inprocml import InvalidRow, Numeric, Transform, TransformError

HUGE = 1.7e308
LAST = np.finfo(np.float64).max
JUST_ABOVE = math.nextafter(-1.0, 0.0)


@pytest.fixture(params=["ignore", "warn", "raise"])
def host(request):
    """A host that has its own mind about numpy's floating-point errors, and makes every warning an error."""
    with np.errstate(all=request.param), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(("values", "first"), [([1.0, -2.0, -3.0], 1), ([-1.0, 1.0], 0), ([3.0, -1], 1)])
@pytest.mark.parametrize("scale", ["none", "standard", "minmax"])
@pytest.mark.parametrize("missing", [None, "mean", "median", 0.0])
def test_a_training_value_without_a_logarithm_is_an_invalid_row(host, values, first, scale, missing):
    with pytest.raises(InvalidRow) as refused:
        Transform({"x": Numeric(log=True, scale=scale, missing=missing), "y": Numeric()}).fit(
            {"x": values, "y": ["?"] * len(values)}
        )
    assert refused.value.issues.keys() == {"x", "y"}  # all at once
    assert refused.value.issues["x"].startswith("must be greater than -1 ")
    rows = [{"x": value, "y": 0.0} for value in values]
    with pytest.raises(InvalidRow) as refused:
        Transform({"x": Numeric(log=True, scale=scale, missing=missing), "y": Numeric()}).fit(rows)
    assert refused.value.row == first


def test_the_mean_of_huge_values_is_learnt(host):
    values = [HUGE, HUGE, 1.0, None, -HUGE / 2]
    transform = Transform({"x": Numeric(missing="mean", log=True, clip=(0.0, LAST))}).fit({"x": values})
    exact = (2 * int(HUGE) + 1 - int(HUGE) // 2) // 4
    assert transform.transform_one({}) == transform.transform_one({"x": float(exact)})
    assert transform.transform({"x": values}).tobytes() == transform.fit_transform({"x": values}).tobytes()


def test_what_float32_cannot_hold_says_so(host):
    with pytest.raises(InvalidRow, match="x: must be at most 3.4"):
        Transform({"x": Numeric()}).fit({"x": [1.0, HUGE]})
    for missing in ("mean", "median"):
        with pytest.raises(TransformError, match=r"x: .*float32"):
            Transform({"x": Numeric(missing=missing)}).fit({"x": [HUGE, HUGE, 1.0]})


def test_a_mean_is_never_outside_its_values(host):
    values = [JUST_ABOVE, JUST_ABOVE, math.nextafter(JUST_ABOVE, 0.0)]  # the rounded quotient would be -1
    transform = Transform({"x": Numeric(missing="mean", log=True)}).fit({"x": values})
    assert np.isfinite(transform.transform_one({})).all()


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SPECS = st.builds(
    dict,
    missing=st.sampled_from([None, "median", "mean", 0.0, -0.5, LAST]),
    scale=st.sampled_from(["none", "standard", "minmax"]),
    log=st.booleans(),
    clip=st.sampled_from([None, (0.0, 5.0), (-0.9, 1e300), (1e-320, 1e-310), (-LAST, LAST)]),
)


@given(SPECS, st.lists(FLOATS | st.none(), min_size=1, max_size=6), FLOATS)
@example({"missing": "mean", "scale": "standard"}, [LAST, -LAST, LAST, LAST, None], 0.0)
@example({"missing": "mean", "scale": "standard", "log": True}, [LAST, -1.0, LAST], 0.0)
@example({"missing": "median", "scale": "minmax"}, [5e-324, 1e-323], LAST)
def test_fitting_learns_or_refuses_by_name_and_doors_agree(arguments, values, asked):
    try:
        transform = Transform({"x": Numeric(**arguments)})
    except ValueError:
        return
    with np.errstate(all="raise"):
        try:
            features = transform.fit_transform({"x": values})
        except (InvalidRow, TransformError) as refused:
            assert "x: " in str(refused)
            return
        assert np.isfinite(features).all()
        for value in (*values, asked):
            try:
                single = transform.transform_one({"x": value})
            except InvalidRow:
                with pytest.raises(InvalidRow):
                    transform.transform({"x": [value]})
                continue
            assert np.isfinite(single).all()
            assert single.tobytes() == transform.transform({"x": [value]}).tobytes()

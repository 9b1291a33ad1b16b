"""Sine and cosine of fractions of a turn: nearest float64, exact where they can be, symmetric everywhere."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inprocml.transform.turns import cosine, sine, table

PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798"
)


def reference(k, n):
    """Return (sine, cosine) to 80 digits by another road: decimals, no folding, the plain series."""
    with localcontext() as settings:
        settings.prec = 90
        x = 2 * PI * (k % n) / n
        sums, term, step = [Decimal(0), Decimal(0)], Decimal(1), 0
        while abs(term) > Decimal(10) ** -85:
            sums[step % 2] += term if step % 4 < 2 else -term
            step += 1
            term = term * x / step
        return sums[1], sums[0]


def nearest(value, exact):
    """Say that no neighbour of ``value`` is nearer to ``exact``."""
    with localcontext() as settings:
        settings.prec = 120
        distance = abs(Decimal(value) - exact)
        return all(
            distance < abs(Decimal(math.nextafter(value, way)) - exact) for way in (-math.inf, math.inf)
        )


@given(st.integers(1, 5000), st.integers(-(10**6), 10**6))
@example(24, 5)
@example(2048, 511)
@example(7, 10**30)
def test_every_value_is_the_nearest_float64(n, k):
    exact_sine, exact_cosine = reference(k, n)
    for ours, exact in ((sine(k, n), exact_sine), (cosine(k, n), exact_cosine)):
        assert ours == 0.0 if abs(exact) < Decimal(10) ** -80 else nearest(ours, exact)


def test_values_that_are_exact():
    assert [cosine(k, 12) for k in (0, 2, 3, 4, 6, 8, 9, 10)] == [1, 0.5, 0, -0.5, -1, -0.5, 0, 0.5]
    assert [sine(k, 12) for k in (0, 1, 3, 5, 6, 7, 9, 11)] == [0, 0.5, 1, 0.5, 0, -0.5, -1, -0.5]
    zeros = [cosine(1, 4), cosine(3, 4), sine(0, 5), sine(1, 2)]
    assert all(math.copysign(1, zero) == 1 for zero in zeros)
    assert sine(1, 8) == cosine(1, 8) == math.sqrt(0.5)


@given(st.integers(1, 400), st.integers(-(10**9), 10**9))
def test_symmetries_hold_to_the_bit(n, k):
    assert cosine(k, n) == cosine(-k, n) == cosine(k + n, n) == cosine(3 * k, 3 * n)
    assert sine(k, n) == -sine(-k, n) == sine(k + n, n)
    assert sine(k, n) == cosine(4 * k - n, 4 * n)
    assert -cosine(2 * k + n, 2 * n) == cosine(2 * k, 2 * n)


def test_a_fraction_no_float_could_hold_is_still_right():
    tiny = sine(1, 10**200)
    assert tiny == pytest.approx(2 * math.pi * 1e-200, rel=1e-15)
    assert cosine(1, 10**200) == 1.0


def test_the_table_is_sine_and_cosine():
    assert table(7) == tuple((sine(k, 7), cosine(k, 7)) for k in range(7))
    assert len(table(31)) == 31
    with pytest.raises(ValueError, match="positive"):
        table(0)

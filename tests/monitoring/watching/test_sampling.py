"""Never more rows than are allowed, each as likely as another, whatever pattern they come in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inprocml.monitoring.watching.sampling import Sample


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(-10, 10), st.integers(0, 200)), max_size=20),
)
def test_never_more_than_is_allowed(most, turns):
    sample, now, allowed = Sample(most, 0.0), 0.0, float(most)
    for step, count in turns:
        before, now = now, now + step
        allowed = min(allowed + max(0.0, now - before) * most, most)
        rows = list(range(count))
        chosen = list(sample.of(rows, now))
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(count, int(allowed))
        allowed -= len(chosen)


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 200), st.integers(0, 200)), max_size=20),
)
def test_what_is_lost_and_what_is_counted_are_together_no_more_than_is_allowed(most, turns):
    sample, now, taken = Sample(most, 0.0), 0.0, 0
    for step, count, dropped in turns:
        now += step
        taken += len(sample.of(range(count), now))
        lost = sample.lost(dropped)
        assert 0 <= lost <= dropped
        taken += lost
        assert taken <= most * (now + 1) + 1e-6


def test_rows_that_come_in_a_pattern_are_all_as_likely():
    """Two by two, as pages ask: a step of two would count one kind alone."""
    sample, kinds = Sample(1_000, 0.0), [0, 0]
    for second in range(1, 51):
        for row in sample.of([0, 1] * 1_000, float(second)):
            kinds[row] += 1
    assert sum(kinds) == 50_000
    assert abs(kinds[0] - 25_000) < 1_000  # nine standard deviations

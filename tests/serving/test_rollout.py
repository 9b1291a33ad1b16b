"""What a rollout may be declared as, who gets the candidate, and what the evidence leads to."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inprocml import Rollout
from inprocml.serving import as_rollouts
from inprocml.serving.course import after, begin, decide
from inprocml.serving.evidence import Evidence, Scales, Tally
from inprocml.serving.trial import position

RAMP = (0.01, 0.1, 0.5, 1.0)


def tally(rows, errors=0, seconds=0.001):
    scales = Scales()
    for _ in range(rows - errors):
        scales.answered(seconds, candidate=False)
    for _ in range(errors):
        scales.failed(candidate=False)
    return scales.read().serving


# --- declaring ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "version or of an alias"),
        ({"version": "5", "alias": "staging"}, "version or of an alias"),
        ({"version": 5}, "must be text"),
        ({"version": ""}, "must be text"),
        ({"version": "5", "share": 1.5}, "share must be from 0 to 1"),
        ({"version": "5", "share": math.nan}, "share must be from 0 to 1"),
        ({"version": "5", "share": True}, "share must be a number"),
        ({"version": "5", "share": "0.1"}, "share must be a number"),
        ({"version": "5", "ramp": (0.5, 0.1)}, "must grow"),
        ({"version": "5", "ramp": (0.1, 0.1)}, "must grow"),
        ({"version": "5", "ramp": (0.1, 2.0)}, "ramp must be from 0 to 1"),
        ({"version": "5", "ramp": (0.1,), "share": 0.1}, "not both"),
        ({"version": "5", "latency": 0.5}, "latency must be from 1"),
        ({"version": "5", "hold": -1}, "hold must be from 0"),
        ({"version": "5", "rows": 0}, "rows must be a whole number"),
        ({"version": "5", "rows": 2.5}, "rows must be a whole number"),
        ({"version": "5", "disagreement": 0.1}, "needs shadow"),
        ({"version": "5", "shadow": 0.5, "disagreement": -0.1}, "disagreement must be"),
    ],
)
def test_impossible_rollouts_are_refused_where_they_are_written(given, complaint):
    with pytest.raises((TypeError, ValueError), match=complaint):
        Rollout(**given)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("5", "must be a Rollout"),
        (["5"], "must be a Rollout"),
        ({"5": 0.6, "6": 0.6}, "must not exceed 1"),
        ([Rollout("5"), Rollout("5", 0.1)], "twice"),
        ({5: 0.1}, "must be text"),
    ],
)
def test_impossible_sets_of_rollouts_are_refused(given, complaint):
    with pytest.raises((TypeError, ValueError), match=complaint):
        as_rollouts(given)


def test_a_mapping_of_shares_is_the_short_form():
    assert as_rollouts({"5": 0.1}) == (Rollout("5", 0.1),)
    assert as_rollouts(Rollout("5", ramp=RAMP)) == (Rollout("5", ramp=RAMP),)
    assert as_rollouts(None) == ()


# --- who gets it ----------------------------------------------------------------------------------------


@given(st.text(max_size=30), st.text(min_size=1, max_size=80))
def test_a_key_stands_in_one_place(key, salt):
    assert 0.0 <= position(key, salt) < 1.0
    assert position(key, salt) == position(key, salt)


def test_keys_are_spread_evenly_and_anew_for_each_candidate():
    keys = [f"user-{number}" for number in range(20_000)]
    one = [position(key, "sha256:one") < 0.1 for key in keys]
    other = [position(key, "sha256:other") < 0.1 for key in keys]
    assert sum(one) == pytest.approx(2000, abs=200)  # 4.7 standard deviations
    assert sum(a and b for a, b in zip(one, other, strict=True)) == pytest.approx(200, abs=70)


def test_a_places_value_is_part_of_the_promise():
    """Another hash would deal every user anew on an upgrade."""
    assert position("user-1", "sha256:" + "0" * 64) == pytest.approx(0.21412512818087104, abs=1e-15)


# --- evidence -------------------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-6, 250.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_right_to_a_fifth(durations, part):
    scales = Scales()
    for seconds in durations:
        scales.answered(seconds, candidate=True)
    exact = sorted(durations)[max(math.ceil(part * len(durations)) - 1, 0)]
    told = scales.read().candidate.percentile(part)
    assert max(exact, 1e-5) <= told * (1 + 1e-9)
    assert told <= max(exact, 1e-5) * 2**0.25 * (1 + 1e-9)


def test_evidence_gathered_from_many_threads_is_exact():
    scales = Scales()

    def gather(_):
        for _ in range(500):
            scales.answered(0.001, candidate=True)
            scales.failed(candidate=False)
            scales.compare(agreed=False)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(gather, range(8)))
    found = scales.read()
    assert (found.candidate.rows, found.serving.errors, found.compared, found.disagreed) == (4000,) * 4
    scales.clear()
    assert scales.read() == Evidence()


# --- decisions ------------------------------------------------------------------------------------------


def test_a_ramp_goes_step_by_step_and_then_takes_over():
    rollout = Rollout("5", ramp=RAMP, hold=10, rows=100)
    course, now, shares = begin(rollout, 0.0), 0.0, []
    while not course.over:
        now += 10
        decision = decide(rollout, course, Evidence(tally(1000), tally(100)), now)
        shares.append((decision.action, decision.share))
        course = after(course, decision, rollout, Evidence(tally(1000), tally(100)), now)
    assert shares == [("advance", 0.1), ("advance", 0.5), ("advance", 1.0), ("finish", 1.0)]


def test_neither_time_nor_rows_alone_advance_a_ramp():
    rollout = Rollout("5", ramp=RAMP, hold=10, rows=100)
    course = begin(rollout, 0.0)
    assert decide(rollout, course, Evidence(tally(1000), tally(99)), 1000.0) is None
    assert decide(rollout, course, Evidence(tally(1000), tally(1000)), 9.9) is None


@pytest.mark.parametrize(
    ("evidence", "reason"),
    [
        (Evidence(tally(1000), tally(50, errors=5)), "5 of 50 rows failed"),
        (Evidence(tally(200, seconds=0.001), tally(200, seconds=0.01)), "95th percentile"),
        (Evidence(tally(10), tally(10), compared=100, disagreed=40), "40 of 100 shadowed rows"),
    ],
)
def test_a_limit_exceeded_rolls_back_at_once_and_says_why(evidence, reason):
    rollout = Rollout("5", 0.1, shadow=0.5, disagreement=0.1)
    course = begin(rollout, 0.0)
    decision = decide(rollout, course, evidence, 0.1)
    assert (decision.action, decision.share) == ("roll_back", 0.0)
    assert reason in decision.reason
    over = after(course, decision, rollout, evidence, 0.1)
    assert decide(rollout, over, evidence, 1e9) is None


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(tally(1000), tally(20, errors=1)),  # one unlucky row
        Evidence(tally(1000, errors=100), tally(1000, errors=100)),  # both fail alike: not its fault
        Evidence(tally(10, seconds=0.001), tally(10, seconds=1.0)),  # too few to tell
        Evidence(tally(10), tally(10), compared=29, disagreed=29),
    ],
)
def test_what_proves_nothing_changes_nothing(evidence):
    rollout = Rollout("5", 0.1, shadow=0.5, disagreement=0.1)
    assert decide(rollout, begin(rollout, 0.0), evidence, 1e9) is None


def test_a_ramp_with_a_limit_on_disagreement_waits_for_comparisons():
    rollout = Rollout("5", ramp=RAMP, hold=0, rows=1, shadow=0.5, disagreement=0.1)
    course = begin(rollout, 0.0)
    assert decide(rollout, course, Evidence(tally(100), tally(100), compared=29), 1.0) is None
    assert decide(rollout, course, Evidence(tally(100), tally(100), compared=30), 1.0).action == "advance"


def test_failures_are_held_against_what_the_serving_version_does():
    """Where all requests are late, the first few may all have been the candidate's."""
    rollout = Rollout("5", 0.5)
    course = begin(rollout, 0.0)
    assert decide(rollout, course, Evidence(tally(0), tally(4, errors=4)), 1.0) is None
    assert decide(rollout, course, Evidence(tally(3, errors=3), tally(4, errors=4)), 1.0) is None
    assert decide(rollout, course, Evidence(tally(4), tally(4, errors=4)), 1.0).action == "roll_back"
    alone = begin(Rollout("5", 1.0), 0.0)
    assert decide(rollout, alone, Evidence(tally(0), tally(4, errors=4)), 1.0).action == "roll_back"


def test_a_ramp_waits_until_latency_can_be_judged():
    """A trial found it advancing a candidate that was 250 times slower, for want of 100 rows."""
    rollout = Rollout("5", ramp=RAMP, hold=0, rows=50)
    course = begin(rollout, 0.0)
    slow = Evidence(tally(1000, seconds=0.0004), tally(60, seconds=0.1))
    assert decide(rollout, course, slow, 10.0) is None
    enough = Evidence(tally(1000, seconds=0.0004), tally(100, seconds=0.1))
    assert decide(rollout, course, enough, 10.0).action == "roll_back"
    unknown = Evidence(tally(50), tally(100))
    assert decide(rollout, course, unknown, 10.0) is None, "the serving version's is not known yet"


def test_where_the_candidate_has_all_requests_it_is_held_against_the_step_before():
    rollout = Rollout("5", ramp=(0.5, 1.0), hold=0, rows=100)
    course = begin(rollout, 0.0)
    seen = Evidence(tally(200, seconds=0.001), tally(200, seconds=0.001))
    course = after(course, decide(rollout, course, seen, 1.0), rollout, seen, 1.0)
    assert course.share == 1.0
    slow = Evidence(tally(0), tally(150, seconds=0.05))
    assert decide(rollout, course, slow, 2.0).action == "roll_back"
    assert decide(rollout, course, Evidence(tally(0), tally(150)), 2.0).action == "finish"
    alone = begin(Rollout("5", ramp=(1.0,), hold=0, rows=100), 0.0)
    assert decide(Rollout("5", ramp=(1.0,), hold=0, rows=100), alone, slow, 2.0).action == "finish"


class Course(RuleBasedStateMachine):
    """A ramp under any evidence: it never skips, never goes back but to nothing, and gives a reason."""

    @initialize(
        ramp=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=5, unique=True),
        hold=st.floats(0, 100),
        rows=st.integers(1, 500),
        limit=st.floats(0, 0.2),
    )
    def start(self, ramp, hold, rows, limit):
        self.rollout = Rollout("5", ramp=tuple(sorted(ramp)), hold=hold, rows=rows, errors=limit)
        self.now = 0.0
        self.course = begin(self.rollout, self.now)
        self.shares = [self.course.share]

    @rule(
        seconds=st.floats(0, 200), rows=st.integers(0, 1000), bad=st.floats(0, 0.5), good=st.integers(0, 999)
    )
    def evidence(self, seconds, rows, bad, good):
        assume(hasattr(self, "rollout"))
        self.now += seconds
        errors = int(rows * bad)
        seen = Evidence(tally(good), tally(rows, errors))
        decision = decide(self.rollout, self.course, seen, self.now)
        if decision is None:
            return
        assert not self.course.over, "nothing is decided about what is over"
        assert decision.reason
        if decision.action == "roll_back":
            assert errors / rows > self.rollout.errors
            assert decision.share == 0.0
        else:
            assert rows >= self.rollout.rows
            assert self.now - self.course.since >= self.rollout.hold
            assert errors / rows <= self.rollout.errors
        self.course = after(self.course, decision, self.rollout, seen, self.now)
        self.shares.append(self.course.share)

    @invariant()
    def shares_follow_the_ramp(self):
        if not hasattr(self, "rollout"):
            return
        steps = list(self.rollout.ramp)
        walked = self.shares if not self.course.over else self.shares[:-1]
        assert walked == steps[: len(walked)]
        if self.course.over:
            assert self.shares[-1] in {0.0, 1.0}


TestCourse = Course.TestCase


def test_a_tally_of_nothing_has_no_figures():
    assert (Tally().error_share, Tally().percentile(0.95), Tally().timed) == (0.0, 0.0, 0)

"""States, sizes, time, dump and load, and any order of calls: a stateful machine and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.monitoring.alarm.columns import MIDNIGHT, Stream, category, normal, numbers, shifted, times

from inprocml.monitoring import Baseline, NumberBins, ValueBins
from inprocml.monitoring.alarm import Alarm
from inprocml.monitoring.series import Layout, Series, layout_of
from inprocml.monitoring.verdict import Action, Reference, State

FEW = (normal("x", rows=500), category("c", {"a": 3, "b": 1}, rows=500))


def alarm(series=FEW, **options):
    return Alarm(Layout(tuple(series)), model="late", version="7", **options)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_parts_of_a_block_give_the_state_of_their_sum(data):
    whole, parts = alarm(block_rows=20), alarm(block_rows=20)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    now = MIDNIGHT
    for each in (whole, parts):
        each.look(now)
    for _ in range(data.draw(st.integers(1, 40))):
        counts = rng.integers(0, 9, (data.draw(st.integers(1, 4)), Layout(FEW).size))
        counts[0, 0] += 1
        steps = sorted(data.draw(st.floats(0, 59)) for _ in counts[1:])
        for part, step in zip(counts[1:], steps, strict=True):
            parts.add(part, 1, now + step)
        now += 60
        last = 20 + len(counts)
        assert whole.add(counts.sum(axis=0), last, now) == parts.add(counts[0], last - len(counts) + 1, now)
    assert whole.dump() == parts.dump()


def test_workers_add_up():
    one, four = Stream(*FEW), Stream(*FEW)
    rng = np.random.default_rng(3)
    for _ in range(50):
        workers = rng.integers(0, 20, (4, one.layout.size))
        one.now += 60
        one.alarm.add(workers.sum(axis=0), 200, one.now)
        for place, counts in enumerate(workers):
            four.alarm.add(counts, 50, one.now - 3 + place)
    assert one.alarm.findings(Reference.TRAIN, one.now)[0].value == pytest.approx(
        four.alarm.findings(Reference.TRAIN, one.now)[0].value
    )


@pytest.mark.parametrize("blocks", [0, 1, 30, 700])
def test_what_is_loaded_goes_on_as_if_nothing_had_been(blocks):
    first = Stream(*FEW)
    first.blocks(blocks)
    second = Stream(*FEW)
    second.alarm = Alarm.load(first.layout, first.alarm.dump(), model="late", version="7")
    second.now, second.rng, first.rng = first.now, np.random.default_rng(4), np.random.default_rng(4)
    for stream in (first, second):
        stream.events = []
        stream.blocks(60, x=shifted(1.2))
    assert first.events == second.events
    assert first.alarm.dump() == second.alarm.dump()
    for reference in Reference:
        assert first.alarm.findings(reference, first.now) == second.alarm.findings(reference, first.now)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_state_is_refused(data):
    stored = bytearray(STORED)
    way = data.draw(st.sampled_from(["flip", "cut", "more", "swap"]))
    place = data.draw(st.integers(0, len(stored) - 1))
    if way == "flip":
        stored[place] ^= 1 << data.draw(st.integers(0, 7))
    elif way == "cut":
        del stored[place:]
    elif way == "more":
        stored += data.draw(st.binary(min_size=1, max_size=9))
    else:
        stored = stored[place:] + stored[:place] if place else bytearray(b"")
    with pytest.raises(ValueError, match=r"cannot be used.*Delete it"):
        Alarm.load(Layout(FEW), bytes(stored), model="late", version="7")


def _stored():
    stream = Stream(*FEW)
    stream.blocks(40)
    return stream.alarm.dump()


STORED = _stored()


def test_state_of_other_columns_is_refused():
    for series in [FEW[:1], (normal("y", rows=500), FEW[1]), (normal("x", rows=501), FEW[1])]:
        with pytest.raises(ValueError, match="cannot be used"):
            Alarm.load(Layout(series), STORED, model="late", version="7")


def wide():
    """The widest columns there are: 64 edges, and 64 values."""
    rng = np.random.default_rng(1)
    bins = NumberBins(tuple(range(64)))
    many = rng.choice(200, 5000).astype(object)
    return [
        Series("n", "input", bins.count(rng.uniform(0, 63, 5000))),
        Series("c", "output", ValueBins.of(many).count(many)),
        times("t", np.datetime64("2023-10-02", "us") + rng.integers(0, 10**6, 5000).astype("m8[s]")),
    ]


def test_four_kilobytes_a_column_for_ever():
    stream = Stream(*wide() * 5)
    size = len(stream.alarm.dump())
    assert size <= 4096 * len(stream.layout.series) + 4096
    stream.blocks(1200, rows=300)
    assert len(stream.alarm.dump()) == size
    empty = len(Stream().alarm.dump())
    assert (size - empty) / len(stream.layout.series) <= 4096


def test_counts_that_no_longer_fit_stay_at_the_largest():
    stream = Stream(*FEW)
    counts = np.full(stream.layout.size, 2**40)
    for _ in range(700):
        stream.now += 60
        stream.alarm.add(counts, 2**40, stream.now)
    assert stream.alarm.findings(Reference.TRAIN, stream.now)[0].rows > 0
    stream.reload()


def test_states_follow_one_another():
    stream = Stream(*FEW)
    state = lambda: stream.alarm.state(Reference.TRAIN, stream.now)
    assert state() is State.INSUFFICIENT
    stream.blocks(5)
    assert state() is State.WARMING
    stream.blocks(510)
    assert state() is State.OK
    assert stream.alarm.state(Reference.LIVE, stream.now) is State.INSUFFICIENT
    stream.now += 3601
    assert state() is State.STALE
    assert {each.state for each in stream.alarm.findings(Reference.TRAIN, stream.now)} == {State.STALE}
    stream.block()
    assert state() is State.OK


def test_an_episode_ends_when_nothing_was_heard_for_a_day():
    stream = Stream(*FEW)
    stream.blocks(510)
    stream.until_event(8, x=shifted(2.0))
    assert stream.alarm.look(stream.now + 80_000) == []
    (closed,) = stream.alarm.look(stream.now + 90_000)
    assert (closed.action, closed.id) == (Action.CLOSED, stream.events[0].id)
    assert stream.alarm.look(stream.now + 99_000) == []


@pytest.mark.parametrize(
    "series",
    [
        [],
        [normal("x", rows=10)],
        [numbers("constant", [5.0] * 1000)],
        [numbers("empty", [])],
        [numbers("missing", [np.nan] * 1000)],
        [numbers("infinite", [np.inf, -np.inf] * 500)],
        [category("alone", {"a": 1}, rows=1000)],
        [numbers("huge", np.random.default_rng(0).normal(size=1000) * 1e300)],
        [normal("x"), times("t", np.array(["NaT"] * 100, "M8[us]"))],
    ],
    ids=lambda series: "-".join(each.name for each in series) or "none",
)
def test_poor_columns_give_no_verdict_without_evidence_and_no_exception(series):
    stream = Stream(*series)
    for rows in (0, 1, 100):
        stream.now += 60
        for counts in (np.zeros(stream.layout.size, np.int64), stream.layout.reference()):
            assert stream.alarm.add(counts, rows, stream.now) == []
    stream.reload()
    found = stream.alarm.findings(Reference.TRAIN, stream.now)
    assert len(found) == len(series)
    assert all(math.isfinite(each.value) for each in found)
    assert isinstance(stream.alarm.timeline(), tuple)
    assert isinstance(stream.alarm.state(Reference.LIVE, stream.now), State)


def test_a_baseline_of_ten_rows_is_no_evidence():
    stream = Stream(normal("x", rows=10))
    stream.blocks(600, x=shifted(9.0))
    assert stream.events == []
    assert stream.alarm.state(Reference.TRAIN, stream.now) is State.INSUFFICIENT


def test_one_row_a_minute_is_no_evidence_for_a_long_time():
    stream = Stream(*FEW)
    for _ in range(90):
        assert stream.block(1, x=shifted(9.0)) == []
    assert stream.alarm.state(Reference.TRAIN, stream.now) is State.WARMING


def test_all_missing_in_a_column_that_always_was():
    stream = Stream(numbers("missing", [np.nan] * 1000), normal("x"))
    assert stream.blocks(600) == []


@pytest.mark.parametrize("now", [math.nan, math.inf, -1.0, 1e15])
def test_a_clock_that_tells_no_time(now):
    stream = Stream(*FEW)
    stream.blocks(3)
    assert stream.alarm.add(Layout(FEW).reference(), 500, now) == []
    assert stream.alarm.look(now) == []
    stream.alarm.findings(Reference.TRAIN, now)
    stream.alarm.state(Reference.TRAIN, now)
    assert stream.blocks(3) == []


def test_a_clock_that_steps_back_goes_on_from_there():
    stream = Stream(*FEW)
    stream.blocks(520)
    stream.now -= 86_400 * 2
    assert stream.blocks(5) == []
    assert stream.alarm.state(Reference.TRAIN, stream.now) is State.OK
    assert stream.until_event(8, x=shifted(2.0)) is not None
    stream.now -= 3600
    stream.block(x=shifted(2.0))
    assert stream.alarm.findings(Reference.TRAIN, stream.now)[0].state is State.DRIFT


def test_since_is_never_later_than_now_though_the_clock_steps_back():
    stream = Stream(*FEW)
    stream.blocks(520)
    stream.blocks(60, x=shifted(2.0))
    assert [event.action for event in stream.events if event.reference is Reference.TRAIN] == [Action.OPENED]
    stream.now -= 5 * 3600
    stream.block(x=shifted(2.0))
    drifted = stream.alarm.findings(Reference.TRAIN, stream.now)[0]
    assert drifted.state is State.DRIFT
    assert max(drifted.since, stream.alarm.since(Reference.TRAIN)) <= stream.now


def test_counts_of_another_layout_are_refused():
    with pytest.raises(ValueError, match="not of this layout"):
        alarm().add(np.zeros(3, np.int64), 1, MIDNIGHT)


@pytest.mark.parametrize(("count", "rows"), [(-1, 5), (1, -5)])
def test_negative_counts_are_refused(count, rows):
    with pytest.raises(ValueError, match="must not be negative"):
        alarm().add(np.full(Layout(FEW).size, count), rows, MIDNIGHT)


def test_a_baseline_without_columns_watches_nothing():
    nothing = Alarm(layout_of(Baseline(0, {}, {})), model="m", version="1")
    assert nothing.add(np.zeros(0, np.int64), 1000, MIDNIGHT) == []
    assert nothing.add(np.zeros(0, np.int64), 1000, MIDNIGHT + 99) == []
    assert nothing.findings(Reference.TRAIN, MIDNIGHT) == ()
    assert nothing.timeline() == ()


class Calls(RuleBasedStateMachine):
    """Any calls in any order: episodes open and close in turns, nothing raises, loading changes nothing."""

    @initialize(seed=st.integers(0, 2**16), learnt=st.booleans())
    def begin(self, seed, learnt):
        self.stream = Stream(*FEW, seed=seed, budget=5)
        if learnt:
            self.stream.blocks(501)
        self.size = len(self.stream.alarm.dump())

    @rule(blocks=st.integers(1, 45), rows=st.sampled_from([0, 1, 30, 100, 1000]))
    def quiet(self, blocks, rows):
        self.stream.blocks(blocks, rows)

    @rule(blocks=st.integers(1, 30), mean=st.sampled_from([-4.0, 0.4, 2.0, np.inf, np.nan]))
    def changed(self, blocks, mean):
        self.stream.blocks(blocks, x=lambda rng, rows: rng.normal(size=rows) + mean)

    @rule(seconds=st.sampled_from([-200_000.0, -3600.0, -1.0, 0.0, 30.0, 4000.0, 100_000.0, 2e6]))
    def time(self, seconds):
        self.stream.now = max(0.0, self.stream.now + seconds)

    @rule()
    def look(self):
        self.stream.events += self.stream.alarm.look(self.stream.now)

    @rule()
    def reload(self):
        before = self.stream.alarm.dump()
        self.stream.reload()
        assert self.stream.alarm.dump() == before

    @precondition(lambda self: self.stream.events)
    @rule()
    def tell(self):
        for reference in Reference:
            found = self.stream.alarm.findings(reference, self.stream.now)
            assert sorted(each.name for each in found) == ["c", "x"]
            assert all(math.isfinite(each.value) and each.rows == sum(each.current) for each in found)

    @invariant()
    def in_turns(self):
        if not hasattr(self, "stream"):
            return
        assert len(self.stream.alarm.dump()) == self.size
        for reference in Reference:
            told = [event for event in self.stream.events if event.reference is reference]
            actions = [event.action for event in told]
            assert actions == [Action.OPENED, Action.CLOSED] * (len(told) // 2) + [Action.OPENED] * (
                len(told) % 2
            )
            assert all(told[at].id == told[at + 1].id for at in range(0, len(told) - 1, 2))
            assert len({event.id for event in told}) == (len(told) + 1) // 2
            is_open = self.stream.alarm.state(reference, self.stream.now) is State.DRIFT
            assert is_open == bool(len(told) % 2)


TestCalls = Calls.TestCase
TestCalls.settings = settings(
    deadline=None, max_examples=12, stateful_step_count=12, suppress_health_check=list(HealthCheck)
)

"""The queue's rules, tried in every order: no row is lost, doubled, reordered, or given another's answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inprocml.batching import check_limits
from inprocml.batching.compute import cut, join
from inprocml.batching.queue import Queue
from inprocml.batching.ticket import Drained, Move, State, Ticket
from inprocml.errors import DeadlineExceeded, InprocmlError, Overloaded, Unavailable

PATIENCE, STEP = 1.0, 8.0  # as batching/line.py says them to users


def due(ticket):
    return min(ticket.deadline, ticket.arrived + PATIENCE * STEP**-ticket.priority)


class Machine(RuleBasedStateMachine):
    """Plays all callers and the worker, and keeps its own, simpler books."""

    @initialize(batch=st.integers(1, 6), size=st.integers(1, 10), delay=st.sampled_from([0.0, 0.0, 1.5]))
    def setup(self, batch, size, delay):
        self.queue = Queue(max_batch_size=batch, max_queue_size=size, max_queue_delay=delay)
        self.now = 0.0
        self.holder: Ticket | str | None = None
        self.line: list[Ticket] = []  # who waits, in order of arrival
        self.outside: list[Ticket] = []  # who waits for room, in order of arrival
        self.batch: list[Ticket] = []  # what the worker computes
        self.questions: dict[Ticket, np.ndarray] = {}
        self.answers: dict[Ticket, np.ndarray] = {}
        self.ended: dict[Ticket, str] = {}
        self.left_running: set[Ticket] = set()
        self.draining = False

    def end(self, ticket, how):
        assert ticket not in self.ended, f"ended twice: {self.ended[ticket]}, then {how}"
        self.ended[ticket] = how

    @rule(
        rows=st.integers(1, 7),
        patience=st.sampled_from([math.inf, math.inf, 0.0, 1.0, 3.0]),
        priority=st.sampled_from([0, 0, 0, -1, 1]),
        shape=st.sampled_from([None, None, "wide"]),
        inline=st.booleans(),
        bulk=st.booleans(),
    )
    def arrive(self, rows, patience, priority, shape, inline, bulk):
        ticket = Ticket(rows, self.now, self.now + patience, priority, shape)
        first = len(self.questions) * 100
        self.questions[ticket] = np.arange(first, first + rows)
        depth = self.queue.depth
        try:
            move = self.queue.arrive(ticket, self.now, inline=inline, patient=bulk)
        except ValueError:
            assert rows > self.queue.max_batch_size
            self.end(ticket, "too large")
            return
        except InprocmlError as error:
            self.end(ticket, type(error).__name__)
            assert self.queue.depth == depth
            if isinstance(error, Drained):
                assert self.draining
            elif isinstance(error, DeadlineExceeded):
                assert patience == 0.0
            else:
                assert type(error) is Overloaded
                assert not bulk
                assert self.holder is not None
                assert self.line
                assert depth + rows > self.queue.max_queue_size
            return
        assert not self.draining
        assert patience > 0
        assert rows <= self.queue.max_batch_size
        if move is Move.RUN:
            assert inline
            assert self.holder is None
            assert not self.line
            assert not self.queue.max_queue_delay
            self.holder = ticket
            return
        if self.line and depth + rows > self.queue.max_queue_size:
            assert bulk
            assert move is Move.WAIT
            self.outside.append(ticket)
            return
        self.line.append(ticket)
        if self.holder is None:
            assert move is Move.WAKE
            self.holder = "worker"

    def let_in(self):
        """Whoever waited for room moves up, in order, as soon as it fits."""
        limit = self.queue.max_queue_size
        while self.outside and (
            not self.line or sum(t.rows for t in self.line) + self.outside[0].rows <= limit
        ):
            self.line.append(self.outside.pop(0))

    @precondition(lambda self: isinstance(self.holder, Ticket))
    @rule()
    def inline_run_ends(self):
        ticket = self.holder
        assert self.queue.release(ticket) is bool(self.line)
        self.answers[ticket] = self.questions[ticket].copy()
        self.end(ticket, "answered")
        self.holder = "worker" if self.line else None

    @precondition(lambda self: not self.batch)
    @rule()
    def worker_looks(self):
        """Also when it was woken for nothing."""
        step = self.queue.take(self.now)
        if self.holder != "worker":
            assert step == ([], [], None)
            return
        expired = []
        while self.line and min(self.line, key=due).deadline <= self.now:
            late = min(self.line, key=due)
            expired.append(late)
            self.line.remove(late)
            self.end(late, "expired")
            self.let_in()
        order = sorted(self.line, key=due)
        limit = self.queue.max_batch_size
        if step.ready_at is not None:
            assert step.expired == expired
            first = order[0]
            assert not step.batch
            assert not self.draining
            assert self.now < step.ready_at == min(first.arrived + self.queue.max_queue_delay, first.deadline)
            assert sum(ticket.rows for ticket in order) < limit
            return
        expected, rows = [], 0
        for ticket in (*order, *self.outside):
            if ticket.shape == order[0].shape:
                if ticket.deadline <= self.now:
                    expired.append(ticket)
                    self.end(ticket, "expired")
                    continue
                if expected and rows + ticket.rows > limit:
                    break
                rows += ticket.rows
                expected.append(ticket)
        assert step.expired == expired
        assert step.batch == expected, "taken out of order, or room left unused"
        assert rows <= limit
        self.line = [ticket for ticket in self.line if ticket not in (*expected, *expired)]
        self.outside = [ticket for ticket in self.outside if ticket not in (*expected, *expired)]
        self.let_in()
        self.batch = step.batch
        self.holder = "worker" if self.batch else None

    @precondition(lambda self: self.batch)
    @rule(fails=st.booleans())
    def worker_answers(self, fails):
        """A failed batch is answered one by one; either way each caller gets its own rows."""
        parts = [self.batch] if not fails else [[ticket] for ticket in self.batch]
        for part in parts:
            joined = join([{"id": self.questions[ticket]} for ticket in part])
            staying = self.queue.settle(part)
            at = 0
            for ticket in part:
                if ticket in staying:
                    self.answers[ticket] = cut(joined, at, ticket.rows)["id"]
                    self.end(ticket, "answered")
                else:
                    assert ticket in self.left_running or self.ended[ticket] == "expired"
                at += ticket.rows
        self.batch = []

    @precondition(lambda self: self.line or self.batch or self.outside)
    @rule(data=st.data())
    def caller_leaves(self, data):
        ticket = data.draw(st.sampled_from(self.line + self.batch + self.outside))
        if ticket in self.ended:
            assert self.queue.leave(ticket) is (self.ended[ticket] == "left")
            return
        assert self.queue.leave(ticket)
        self.end(ticket, "left")
        for place in (self.line, self.outside):
            if ticket in place:
                place.remove(ticket)
                self.let_in()
                return
        self.left_running.add(ticket)

    @rule(data=st.data())
    def somebody_leaves_or_releases_again(self, data):
        """Who has ended, or never held the device, changes nothing."""
        if self.ended:
            ticket = data.draw(st.sampled_from(list(self.ended)))
            act = data.draw(st.sampled_from([self.queue.leave, self.queue.release]))
            act(ticket)
        if self.line:
            assert self.queue.release(self.line[-1]) is (self.holder == "worker")

    @precondition(lambda self: isinstance(self.holder, Ticket))
    @rule()
    def inline_caller_is_interrupted(self):
        self.queue.leave(self.holder)
        self.end(self.holder, "interrupted")
        self.holder = "worker" if self.line else None

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def expire(self):
        for ticket in self.queue.expire(self.now):
            assert ticket.deadline <= self.now
            self.end(ticket, "expired")
        self.line = [ticket for ticket in self.line if ticket.deadline > self.now]
        self.outside = [ticket for ticket in self.outside if ticket.deadline > self.now]
        self.let_in()

    @rule()
    def drain(self):
        self.queue.drain()
        self.draining = True

    @invariant()
    def books_agree(self):
        if not hasattr(self, "queue"):
            return
        assert self.queue.depth == sum(ticket.rows for ticket in self.line)
        assert self.queue.busy is (self.holder is not None)
        assert self.queue.worker is (self.holder == "worker")
        assert all(ticket.state is State.WAITING for ticket in self.line)
        assert all(ticket.state is State.OUTSIDE for ticket in self.outside)
        assert not self.outside or self.line, "somebody waits for room in an empty queue"
        assert not self.line or self.holder is not None, "rows wait and nobody is to serve them"

    def teardown(self):
        if not hasattr(self, "queue"):
            return
        self.drain()
        for _ in range(len(self.questions) + 2):
            if isinstance(self.holder, Ticket):
                self.inline_run_ends()
            if self.batch:
                self.worker_answers(fails=False)
            self.worker_looks()
        assert not self.queue.busy
        assert self.ended.keys() == self.questions.keys(), "a caller was never answered"
        for ticket, answer in self.answers.items():
            assert answer.tolist() == self.questions[ticket].tolist(), "somebody else's answer"
            assert self.ended[ticket] == "answered"


Machine.TestCase.settings = settings(max_examples=250, stateful_step_count=60, deadline=None)
TestQueue = Machine.TestCase


def make(**limits):
    return Queue(name="late", **limits)


def test_a_lone_caller_runs_and_the_device_is_free_again():
    queue, ticket = make(), Ticket(1, 0.0)
    assert queue.arrive(ticket, 0.0, inline=True) is Move.RUN
    assert queue.busy
    assert queue.release(ticket) is False
    assert not queue.busy
    assert ticket.state is State.DONE


def test_the_worker_is_owed_a_wake_up_once_an_inline_run_ends_with_rows_waiting():
    queue, first, second = make(), Ticket(1, 0.0), Ticket(1, 0.0)
    queue.arrive(first, 0.0, inline=True)
    assert queue.arrive(second, 0.0, inline=True) is Move.WAIT
    assert queue.release(first) is True
    assert queue.take(0.0).batch == [second]


def test_a_worker_woken_for_nothing_takes_nothing_from_an_inline_caller():
    queue, first, second = make(), Ticket(1, 0.0), Ticket(1, 0.0)
    queue.arrive(first, 0.0, inline=True)
    queue.arrive(second, 0.0, inline=True)
    assert queue.take(0.0) == ([], [], None)
    assert second.state is State.WAITING


def test_a_batch_never_skips_an_item_to_fill_up():
    queue = make(max_batch_size=4)
    tickets = [Ticket(rows, 0.0) for rows in (3, 2, 1)]
    for ticket in tickets:
        queue.arrive(ticket, 0.0, inline=False)
    assert queue.take(0.0).batch == tickets[:1]
    assert queue.take(0.0).batch == tickets[1:]


def test_delay_waits_for_company_until_the_oldest_has_waited_enough():
    queue = make(max_queue_delay=2.0, max_batch_size=3)
    first, second, third = Ticket(1, 0.0), Ticket(1, 1.0), Ticket(1, 1.5)
    assert queue.arrive(first, 0.0, inline=True) is Move.WAKE
    assert queue.take(0.0).ready_at == 2.0
    assert queue.arrive(second, 1.0, inline=True) is Move.WAIT
    assert queue.take(1.0).ready_at == 2.0
    assert queue.arrive(third, 1.5, inline=True) is Move.WAKE  # full: no reason to wait any longer
    assert queue.take(1.5).batch == [first, second, third]


def test_delay_ends_at_its_time_and_when_draining():
    for release in ("time", "drain"):
        queue, ticket = make(max_queue_delay=2.0), Ticket(1, 0.0)
        queue.arrive(ticket, 0.0, inline=True)
        assert queue.take(1.0).batch == []
        if release == "drain":
            assert queue.drain() is Move.WAKE
        assert queue.take(2.0 if release == "time" else 1.0).batch == [ticket]


def test_full_means_rows_and_an_empty_queue_takes_any_one_item():
    queue = make(max_queue_size=3, max_batch_size=8)
    queue.arrive(Ticket(1, 0.0), 0.0, inline=True)
    big = Ticket(5, 0.0)
    assert queue.arrive(big, 0.0, inline=True) is Move.WAIT
    with pytest.raises(Overloaded, match=r"'late'.*5 rows wait.*max_queue_size is 3"):
        queue.arrive(Ticket(1, 0.0), 0.0, inline=True)
    assert queue.leave(big)
    for _ in range(3):
        queue.arrive(Ticket(1, 0.0), 0.0, inline=True)
    with pytest.raises(Overloaded):
        queue.arrive(Ticket(1, 0.0), 0.0, inline=True)


def test_the_patient_wait_for_room_in_order_and_a_drain_serves_them():
    queue = make(max_queue_size=2, max_batch_size=2)
    tickets = [Ticket(1, 0.0) for _ in range(5)]
    for ticket in tickets:
        queue.arrive(ticket, 0.0, inline=False, patient=True)
    assert [ticket.state for ticket in tickets] == [State.WAITING] * 2 + [State.OUTSIDE] * 3
    assert queue.depth == 2
    with pytest.raises(Overloaded):
        queue.arrive(Ticket(1, 0.0), 0.0, inline=False)
    assert queue.leave(tickets[3])
    queue.drain()
    with pytest.raises(Drained):
        queue.arrive(Ticket(1, 0.0), 0.0, inline=False, patient=True)
    assert queue.take(0.0).batch == tickets[:2]
    assert queue.take(0.0).batch == [tickets[2], tickets[4]]


def test_the_patient_are_refused_when_their_time_is_up():
    queue = make(max_queue_size=1)
    inside, late, later = Ticket(1, 0.0), Ticket(1, 0.0, 1.0), Ticket(1, 0.0)
    for ticket in (inside, late, later):
        queue.arrive(ticket, 0.0, inline=False, patient=True)
    assert queue.expire(1.0) == [late]
    assert queue.abandon() == [inside, later]
    assert (queue.depth, queue.busy) == (0, False)


def test_only_the_holder_frees_the_device_and_only_once():
    queue, first, second, third = make(), Ticket(1, 0.0), Ticket(1, 0.0), Ticket(1, 0.0)
    queue.arrive(first, 0.0, inline=True)
    assert queue.release(first) is False
    queue.arrive(second, 0.0, inline=True)
    assert queue.release(first) is False
    queue.leave(first)
    assert queue.holder is second
    queue.arrive(third, 0.0, inline=True)
    queue.release(second)
    assert queue.release(second) is True  # still owed: the worker has not been here
    assert queue.take(0.0).batch == [third]


def test_more_rows_than_a_batch_holds_are_the_callers_to_chunk():
    with pytest.raises(ValueError, match=r"9 rows.*max_batch_size is 8.*chunks"):
        make(max_batch_size=8).arrive(Ticket(9, 0.0), 0.0, inline=True)


def test_a_deadline_already_past_is_refused_at_the_door():
    queue = make()
    with pytest.raises(DeadlineExceeded, match="had passed when the call was made"):
        queue.arrive(Ticket(1, 5.0, 5.0), 5.0, inline=True)
    assert not queue.busy


def test_drained_is_a_kind_of_unavailable_and_says_what_to_do():
    queue = make()
    assert queue.drain() is Move.WAIT
    with pytest.raises(Drained, match="ask for the current one") as caught:
        queue.arrive(Ticket(1, 0.0), 0.0, inline=True)
    assert isinstance(caught.value, Unavailable)
    assert caught.value.status_hint == 503


def test_abandon_closes_everybody_who_still_expects_an_answer():
    queue = make(max_batch_size=2)
    tickets = [Ticket(1, 0.0) for _ in range(4)]
    for ticket in tickets:
        queue.arrive(ticket, 0.0, inline=False)
    queue.take(0.0)
    queue.leave(tickets[0])
    assert queue.abandon() == tickets[1:]
    assert (queue.depth, queue.busy, queue.worker) == (0, False, False)
    assert queue.arrive(Ticket(1, 0.0), 0.0, inline=True) is Move.RUN


@pytest.mark.parametrize(
    "limits",
    [
        {"max_batch_size": 0},
        {"max_batch_size": 2.5},
        {"max_batch_size": True},
        {"max_batch_size": math.nan},
        {"max_queue_size": 0},
        {"max_queue_size": math.inf},
        {"max_queue_size": "9"},
        {"max_queue_delay": True},
        {"max_queue_delay": "1"},
        {"max_queue_delay": -1.0},
        {"max_queue_delay": math.nan},
        {"max_queue_delay": math.inf},
    ],
)
def test_impossible_limits_are_refused_by_name(limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        make(**limits)
    given = {"max_batch_size": 64, "max_queue_delay": 0.0, "max_queue_size": 1024, **limits}
    with pytest.raises(ValueError, match=next(iter(limits))):
        check_limits(**given)


def test_numbers_of_numpy_are_limits_too():
    check_limits(max_batch_size=np.int64(64), max_queue_delay=np.float32(0.5), max_queue_size=np.int32(9))

"""What the queue makes of costs: whom it refuses, how large a batch grows, when it waits, who leads."""

from __future__ import annotations

import itertools
import math
import random
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inprocml.batching.pace import Pace
from inprocml.batching.queue import Queue
from inprocml.batching.ticket import Move, State, Ticket
from inprocml.errors import DeadlineExceeded, InprocmlError, Overloaded

A, C = 0.002, 0.001  # seconds: t(b) = A + C*b


def learnt(queue, now=0.0, shape=None, a=A, c=C):
    """Teach a queue what batches cost, up to ``now``."""
    for rows in (1, 2, 4, 8) * 3:
        queue.ran(shape, rows, a + c * rows, now)
    return queue


def busy(queue, now=0.0, rows=1):
    """Let the worker compute ``rows`` rows from ``now`` on."""
    ticket = Ticket(rows, now)
    assert queue.arrive(ticket, now, inline=False) is Move.WAKE
    assert queue.take(now).batch == [ticket]
    return ticket


def free(queue, running, now):
    """End the worker's batch."""
    queue.settle([running], now)


def wait(queue, now=0.0, **how):
    ticket = Ticket(how.pop("rows", 1), now, **how)
    queue.arrive(ticket, now, inline=True)
    return ticket


# --- shedding -----------------------------------------------------------------------------------------


def test_who_cannot_be_on_time_is_refused_before_anything_is_computed():
    queue = learnt(Queue(name="late"))
    busy(queue)  # until 3 ms; then 3 ms for the next one
    with pytest.raises(DeadlineExceeded, match=r"'late'.*too late.*0 rows wait, about 6\.0 ms.*nothing was"):
        wait(queue, deadline=0.005)
    assert wait(queue, deadline=0.0065).state is State.WAITING


def test_those_ahead_are_counted():
    queue = learnt(Queue(max_batch_size=4))
    busy(queue)
    for _ in range(8):
        wait(queue, deadline=0.017)  # after 3 ms, two batches of 6
    with pytest.raises(DeadlineExceeded, match="8 rows wait, about 18"):
        wait(queue, deadline=0.0175)
    assert wait(queue, deadline=0.0185).state is State.WAITING


def test_an_idle_device_refuses_on_fresh_evidence_only():
    """An estimate that kept everybody out could never be corrected."""
    queue = learnt(Queue(), now=0.0)
    with pytest.raises(DeadlineExceeded, match="too late"):
        wait(queue, now=0.5, deadline=0.501)
    assert not queue.busy
    assert wait(queue, now=1.5, deadline=1.501).state is State.INLINE


def test_nobody_is_refused_on_little_evidence():
    queue = Queue()
    for _ in range(7):
        queue.ran(None, 1, 10.0, 0.0)
    assert wait(queue, deadline=0.001).state is State.INLINE


def test_who_has_become_late_in_the_line_is_shed_before_the_batch():
    queue = learnt(Queue())
    busy(queue)
    late, fine = wait(queue, deadline=0.0062), wait(queue, deadline=0.1)
    step = queue.take(0.005)  # the run took longer: now even alone it would be ready at 8 ms
    assert (step.expired, step.batch) == ([late], [fine])


def test_without_deadlines_nobody_is_ever_shed():
    queue = learnt(Queue(max_queue_size=10**6))
    busy(queue)
    tickets = [wait(queue) for _ in range(1000)]
    assert all(ticket.state is State.WAITING for ticket in tickets)


# --- the size of a batch ------------------------------------------------------------------------------


def test_a_batch_is_the_largest_that_keeps_the_earliest_deadline():
    queue = learnt(Queue(max_batch_size=64))
    running = busy(queue)
    first = wait(queue, deadline=0.0141)
    others = [wait(queue) for _ in range(20)]
    free(queue, running, 0.003)
    batch = queue.take(0.003).batch  # 3 + 2 + 9 rows = 14 ms
    assert batch[0] is first
    assert len(batch) == 9
    queue.settle(batch, 0.014)
    assert len(queue.take(0.014).batch) == len(others) - 8


def test_a_tight_deadline_of_somebody_later_does_not_split_what_can_be_on_time():
    queue = learnt(Queue())
    running = busy(queue)
    tickets = [wait(queue, deadline=0.02 + k / 1000) for k in range(5)]
    free(queue, running, 0.003)
    assert queue.take(0.003).batch == tickets


def test_an_objective_bounds_the_batch_and_refuses_what_would_take_longer():
    queue = learnt(Queue(name="late", slo=0.0205, max_batch_size=64))
    running = busy(queue)
    for _ in range(13):  # 3 ms, then 8 rows in 10, 5 in 7
        wait(queue)
    with pytest.raises(Overloaded, match=r"'late': 13 rows wait.*objective is 20\.5 ms"):
        wait(queue)
    free(queue, running, 0.003)
    assert len(queue.take(0.003).batch) == 8  # half of the objective: 2 + 8 ms
    assert wait(queue, deadline=1.0).state is State.WAITING  # its own deadline counts, not the objective


def test_an_objective_lets_the_patient_wait_for_room():
    queue = learnt(Queue(slo=0.004))
    busy(queue)
    patient = Ticket(4, 0.0)
    assert queue.arrive(patient, 0.0, inline=False, patient=True) is Move.WAIT
    more = Ticket(4, 0.0)
    queue.arrive(more, 0.0, inline=False, patient=True)
    assert (patient.state, more.state) == (State.WAITING, State.OUTSIDE)


def test_a_lone_caller_is_never_refused_for_the_objective():
    queue = learnt(Queue(slo=0.0001))
    assert wait(queue).state is State.INLINE


@pytest.mark.parametrize(
    ("a", "waiting", "taken"),
    [(0.010, 7, 7), (0.010, 13, 13), (0.010, 5, 4), (0.0001, 7, 4), (0.010, 4, 4), (0.0001, 40, 16)],
)
def test_prepared_sizes_are_filled_up_only_where_that_pays(a, waiting, taken):
    queue = learnt(Queue(sizes=(1, 2, 4, 8, 16)), a=a)
    running = busy(queue)
    for _ in range(waiting):
        wait(queue)
    free(queue, running, 0.003)
    assert len(queue.take(0.003).batch) == taken
    assert queue.padded(5) == 8


def test_sizes_that_shrink_are_obeyed_at_once():
    queue = learnt(Queue(sizes=(1, 2, 4, 8)))
    busy(queue)
    for _ in range(8):
        wait(queue)
    queue.sizes = (1, 2)
    assert len(queue.take(0.003).batch) == 2


# --- order --------------------------------------------------------------------------------------------


def test_deadlines_go_first_and_priorities_before_equals():
    queue = Queue(max_batch_size=1)
    busy(queue)
    low, plain, high = wait(queue, priority=-1), wait(queue), wait(queue, priority=1)
    soon = wait(queue, deadline=0.05)
    order = []
    while batch := queue.take(0.0).batch:
        queue.settle(batch)
        order += batch
    assert order == [soon, high, plain, low]


def test_whoever_has_waited_long_goes_before_urgent_newcomers():
    queue = Queue(max_batch_size=1)
    busy(queue)
    old = wait(queue, priority=-1)  # has 8 s of patience
    new = [wait(queue, now=8.0, priority=8), wait(queue, now=7.9)]
    assert queue.take(8.0).batch == [old]
    assert queue.take(8.0).batch == new[:1]


@pytest.mark.parametrize("priority", [10**9, -(10**9)])
def test_priorities_beyond_the_limits_are_the_limits(priority):
    queue = Queue()
    busy(queue)
    assert 0 < wait(queue, priority=priority).due < 8.0**8 + 1


def test_a_batch_has_one_shape_and_costs_are_learnt_by_shape():
    queue = Queue()
    busy(queue)
    tickets = [wait(queue, shape=shape) for shape in ("long", "short", "long", "short")]
    assert queue.take(0.0).batch == tickets[::2]
    queue.settle(tickets[::2])
    assert queue.take(0.0).batch == tickets[1::2]
    learnt(queue, shape="long", a=1.0)
    assert queue.forecast.cost("long").seconds(1) == pytest.approx(1.001)
    assert queue.forecast.cost("short").samples == 0


def test_costs_of_shapes_are_bounded():
    queue = Queue()
    for k in range(1000):
        queue.ran(k, 1, 0.5, 0.0)
    assert len(queue.forecast._costs) == len(queue.forecast._learnt) <= 64
    assert queue.forecast.cost(999).samples == 1


# --- a pipelined device -------------------------------------------------------------------------------


def test_the_next_batch_starts_when_the_device_is_about_to_be_free():
    queue = learnt(Queue(max_batch_size=4))
    queue.lead = 0.001
    first = busy(queue, rows=2)  # until 4 ms
    wait(queue)
    step = queue.take(0.001)
    assert step.batch == []
    assert step.ready_at == pytest.approx(0.8 * 0.004 - 0.001)
    assert len(queue.take(0.0031).batch) == 1
    assert queue.running()
    assert queue.settle([first]) == [first]


def test_an_estimate_that_is_too_high_does_not_confirm_itself():
    """A batch is brought in once the next one has started: held too long, it seems to have run so long."""
    queue = learnt(Queue(max_batch_size=64), a=0.008, c=0.0)
    now, landed, flying = 0.0, 0.0, deque()
    for _ in range(1000):
        wait(queue, now)
        step = queue.take(now)
        if step.ready_at is not None:
            now = step.ready_at
            step = queue.take(now)
        flying.append((step.batch, now))
        if len(flying) == 2:
            batch, began = flying.popleft()
            now = max(now, max(began, landed) + 0.004)  # what it takes in truth
            queue.ran(None, len(batch), now - max(began, landed), now)
            queue.settle(batch, now)
            landed = now
    assert queue.forecast.cost(None).seconds(1) < 0.0055


def test_a_full_batch_starts_at_once_beside_the_one_that_runs():
    queue = learnt(Queue(max_batch_size=4))
    busy(queue, rows=2)
    tickets = [wait(queue) for _ in range(4)]
    assert queue.take(0.0001).batch == tickets


def test_the_device_is_not_given_back_while_a_batch_is_in_flight():
    queue = learnt(Queue())
    first = busy(queue)
    assert queue.take(0.0) == ([], [], None)
    assert queue.worker
    queue.settle([first])
    queue.take(0.0)
    assert not queue.busy


# --- estimates that do not hold for everybody ---------------------------------------------------------


def test_who_goes_first_is_not_refused_for_those_behind():
    queue = learnt(Queue(max_batch_size=4))
    busy(queue)
    for _ in range(100):
        wait(queue)
    assert wait(queue, deadline=0.1, priority=8).state is State.WAITING  # 103 rows take more than 0.15 s
    queue = learnt(Queue(max_batch_size=4, slo=0.02))
    busy(queue)
    while queue.wait(None, queue.depth + 1, 0.0) <= 0.02:
        wait(queue)
    assert wait(queue, priority=8).state is State.WAITING


def test_rows_of_a_cheap_shape_are_not_taken_for_dear_ones():
    queue = learnt(learnt(Queue(), shape="dear", a=0.1, c=0.1), shape="cheap", a=0.0, c=1e-5)
    busy(queue)
    for _ in range(20):
        wait(queue, shape="cheap")
    assert wait(queue, shape="dear", deadline=1.0).state is State.WAITING
    with pytest.raises(DeadlineExceeded):
        wait(queue, shape="dear", deadline=0.11)


@pytest.mark.parametrize("c", [0.0, 1e-6])
def test_an_objective_that_no_row_can_keep_does_not_keep_rows_apart(c):
    """Company costs nothing here: one by one, they would only wait for each other."""
    queue = learnt(Queue(slo=0.005), a=0.003, c=c)
    running = busy(queue)
    tickets = [wait(queue, deadline=1.0) for _ in range(8)]
    free(queue, running, 0.003)
    assert queue.take(0.003).batch == tickets


def test_shapes_that_were_only_asked_for_forget_no_cost():
    queue = learnt(Queue(), shape="known")
    for k in range(200):
        queue.wait(("strange", k), 1, 0.0)
    assert queue.forecast.cost("known").settled


# --- clocks -------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_holds_no_batch_until_it_is_there_again():
    queue = learnt(Queue(max_queue_delay=0.01), 3600.0)
    wait(queue, 3600.0)
    step = queue.take(5.0)
    assert step.batch or step.ready_at <= 5.01
    queue = learnt(Queue(max_batch_size=4), 3600.0)
    busy(queue, 3600.0, rows=2)
    wait(queue, 3600.0)
    assert queue.take(5.0).batch or queue.take(5.0).ready_at <= 5.01
    pace = Pace()
    for k in range(20):  # two callers who return at once
        pace.answered(2, 3600.0 + k, fixed=1.0, seconds=1.0)
        pace.arrived(3600.001 + k)
        pace.arrived(3600.002 + k)
    pace.answered(2, 3620.0, fixed=1.0, seconds=1.0)
    assert pace.hold_until(1, 3620.0) > 3620.0
    assert pace.hold_until(1, 5.0) < 5.0


def test_a_clock_that_is_set_back_makes_no_estimate_fresh_for_ever():
    queue = learnt(Queue(), 3600.0, a=1.0, c=0.0)
    assert wait(queue, 5.0, deadline=5.1).state is State.INLINE


# --- holds --------------------------------------------------------------------------------------------


class Loop:
    """Callers in a closed loop, in virtual time: back ``pause`` after their answers, ``gap`` apart."""

    def __init__(self, callers, *, a, c, pause, gap=0.0):
        self.queue, self.a, self.c, self.pause, self.gap = Queue(max_batch_size=256), a, c, pause, gap
        self.back = [(0.0, k) for k in range(callers)]
        self.batches, self.held = [], 0.0
        self.count = itertools.count()

    def arrive_until(self, now):
        while self.back and self.back[0][0] <= now:
            at, _ = self.back.pop(0)
            self.queue.arrive(Ticket(1, at), at, inline=False)

    def step(self, now):
        self.arrive_until(now)
        step = self.queue.take(now)
        if step.batch:
            end = now + self.a + self.c * len(step.batch)
            self.batches.append(len(step.batch))
            self.arrive_until(end)
            self.queue.ran(None, len(step.batch), end - now, end)
            staying = self.queue.settle(step.batch, end)
            self.back += [(end + self.pause + self.gap * k, next(self.count)) for k in range(len(staying))]
            self.back.sort()
            return end
        if step.ready_at is not None:
            soonest = min(step.ready_at, self.back[0][0] if self.back else math.inf)
            self.held += soonest - now
            return soonest
        return self.back[0][0]

    def run(self, batches):
        now = 0.0
        while len(self.batches) < batches:
            now = self.step(now)
        return now


def test_callers_who_return_at_once_are_waited_for_where_a_batch_is_dear():
    loop = Loop(32, a=0.002, c=0.0002, pause=0.0002, gap=0.00001)
    loop.back = [(0.0, k) for k in range(16)] + [(0.001, k) for k in range(16)]
    loop.run(200)
    assert min(loop.batches[-20:]) >= 28


def test_callers_who_return_late_are_not_waited_for():
    loop = Loop(32, a=0.0001, c=0.00002, pause=0.0002, gap=0.00001)
    loop.run(200)
    assert loop.held == 0


def test_callers_who_all_wait_together_are_split_where_the_device_would_idle():
    pace = Pace()
    for k in range(10):
        now = k / 1000
        pace.formed(now, waited=False)
        taken = pace.share(32, 64)
        pace.answered(32, now + 0.0007, fixed=0.00005, seconds=0.0007)  # 0.3 ms pass until the next one
    assert taken == 16
    assert pace.share(3, 64) == pace.share(65, 64) == 64
    for k in range(10):
        pace.formed(1 + k / 1000, waited=True)
    assert pace.share(32, 64) == 64


def test_one_caller_alone_is_never_held():
    loop = Loop(1, a=0.002, c=0.0002, pause=0.00001)
    loop.run(100)
    assert loop.held == 0
    assert set(loop.batches) == {1}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("load", [0.3, 0.7, 0.9, 0.97])
@pytest.mark.parametrize(("a", "c"), [(0.002, 0.0002), (0.0001, 0.00002), (0.001, 0.00001)])
def test_arrivals_by_chance_are_hardly_ever_held(seed, load, a, c):
    """Poisson arrivals at a share of what batches of 64 give: fewer than one batch in twenty may wait."""
    rng = random.Random(seed)
    queue, now, held, batches = Queue(max_batch_size=64), 0.0, 0, 0
    rate = load * 64 / (a + 64 * c)
    arrival = rng.expovariate(rate)

    def arrive_until(moment):
        nonlocal arrival
        while arrival <= moment:
            queue.arrive(Ticket(1, arrival), arrival, inline=False, patient=True)
            arrival += rng.expovariate(rate)

    while batches < 400:
        arrive_until(now)
        step = queue.take(now)
        if step.batch:
            batches += 1
            now += a + c * len(step.batch)
            arrive_until(now)
            queue.ran(None, len(step.batch), a + c * len(step.batch), now)
            queue.settle(step.batch, now)
        elif step.ready_at is not None:
            held += 1
            now = min(step.ready_at, arrival)
        else:
            now = arrival
    assert held < batches / 20


# --- everything at once -------------------------------------------------------------------------------


class Costs(RuleBasedStateMachine):
    """A queue that knows its costs, on a clock that also jumps back: nobody is lost or served twice."""

    def __init__(self):
        super().__init__()
        self.queue = Queue(max_batch_size=8, max_queue_size=16, slo=0.05)
        self.now = 0.0
        self.open: list[Ticket] = []
        self.batch: list[Ticket] = []
        self.inline: Ticket | None = None

    @rule(
        rows=st.integers(1, 8),
        hurry=st.sampled_from([math.inf, math.inf, 0.001, 0.004, 0.02]),
        priority=st.integers(-9, 9),
        shape=st.sampled_from([None, "wide"]),
        patient=st.booleans(),
    )
    def arrive(self, rows, hurry, priority, shape, patient):
        ticket = Ticket(rows, self.now, self.now + hurry, priority, shape)
        try:
            move = self.queue.arrive(ticket, self.now, inline=True, patient=patient)
        except InprocmlError as error:
            assert ticket.state is State.NEW
            assert isinstance(error, DeadlineExceeded) == (hurry < math.inf) or type(error) is Overloaded
            assert not (patient and type(error) is Overloaded)
            return
        if move is Move.RUN:
            self.inline = ticket
        else:
            self.open.append(ticket)

    @precondition(lambda self: self.inline is not None)
    @rule(took=st.floats(0, 0.1))
    def inline_ends(self, took):
        self.now += took
        self.queue.ran(self.inline.shape, self.inline.rows, took, self.now)
        self.queue.release(self.inline)
        self.inline = None

    @precondition(lambda self: not self.batch)
    @rule()
    def take(self):
        step = self.queue.take(self.now)
        for ticket in step.expired:
            assert ticket.deadline < math.inf
            self.open.remove(ticket)
        assert not self.inline or not step.batch
        self.batch = step.batch
        assert sum(ticket.rows for ticket in self.batch) <= 8
        assert len({ticket.shape for ticket in self.batch}) <= 1

    @precondition(lambda self: self.batch)
    @rule(took=st.floats(0, 0.1))
    def land(self, took):
        self.now += took
        self.queue.ran(self.batch[0].shape, sum(ticket.rows for ticket in self.batch), took, self.now)
        for ticket in self.queue.settle(self.batch, self.now):
            self.open.remove(ticket)
        self.batch = []

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data):
        ticket = data.draw(st.sampled_from(self.open))
        assert self.queue.leave(ticket)
        self.open.remove(ticket)

    @rule(seconds=st.sampled_from([0.0005, 0.01, 1.0, -0.5]))
    def clock_moves(self, seconds):
        self.now += seconds

    @invariant()
    def books_agree(self):
        waiting = [ticket for ticket in self.open if ticket.state in {State.WAITING, State.OUTSIDE}]
        running = [ticket for ticket in self.open if ticket.state is State.RUNNING]
        assert len(waiting) + len(running) == len(self.open)
        assert self.queue.depth == sum(t.rows for t in self.open if t.state is State.WAITING)
        # who left is computed all the same
        assert self.queue.active >= self.queue.depth + sum(ticket.rows for ticket in running)
        assert self.queue.busy or self.queue.active == 0
        assert not waiting or self.queue.busy, "somebody waits and nobody serves"

    def teardown(self):
        if self.inline is not None:
            self.inline_ends(0.001)
        for _ in range(4 * len(self.open) + 4):
            if self.batch:
                self.land(0.001)
            self.take()
            self.now += 0.001
        assert not self.open, "a caller was never answered"
        assert not self.queue.busy


Costs.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestCosts = Costs.TestCase

"""The simulated device keeps time, keeps order, and says who broke it."""

from __future__ import annotations

import gc
import json
import threading

import numpy as np
import pytest

from inprocml.backends.accelerator import Span, Trouble
from inprocml.testing import (
    ManualClock,
    Operation,
    SimulatedDevice,
    SimulatedError,
    chrome_trace,
    overlap,
)

FLOAT = np.dtype(np.float32)


class Bench:
    """Two streams, a block and a page-locked array of four numbers each."""

    def __init__(self, **options):
        self.device = SimulatedDevice(a=1.0, c=0.5, bandwidth=16.0, **options)
        self.into, self.run = self.device.stream("in"), self.device.stream("compute")
        self.event = self.device.event()
        self.span = Span(self.device.block(16), 0, (4, 1), FLOAT)
        self.host = self.device.host(16)
        self.numbers = self.host.view(np.float32)
        self.numbers[:] = [1, 2, 3, 4]

    def feed(self):
        self.device.copy_in(self.into, self.span, self.host)

    def order(self, first, then):
        event = self.device.event()
        self.device.record(first, event)
        self.device.wait(then, event)

    def settle(self, stream):
        self.device.record(stream, self.event)
        self.device.synchronise(self.event)


@pytest.fixture
def bench():
    return Bench()


def test_an_answer_is_there_when_it_was_waited_for_and_not_before(bench):
    bench.feed()
    bench.order(bench.into, bench.run)
    (answer,) = bench.device.compute(bench.run, {"features": bench.span}).values()
    out = bench.device.host(16).view(np.float32)
    bench.device.copy_out(bench.run, out, answer)
    assert out.tolist() != [1, 2, 3, 4]
    bench.settle(bench.run)
    assert out.tolist() == [1, 2, 3, 4]


def test_time_is_what_was_said_and_moves_only_when_somebody_waits(bench):
    bench.feed()  # 16 bytes at 16 bytes a second
    bench.order(bench.into, bench.run)
    bench.device.compute(bench.run, {"features": bench.span})  # 1 + 0.5 * 4
    assert bench.device.clock() == 0
    bench.settle(bench.run)
    assert bench.device.clock() == 4.0
    assert bench.device.trace == [
        Operation("in", "copy_in", 0, 0.0, 1.0),
        Operation("compute", "compute", 0, 1.0, 4.0),
    ]


def test_streams_run_at_once_and_one_unit_does_one_thing_at_a_time(bench):
    other = Span(bench.device.block(16), 0, (4, 1), FLOAT)
    bench.feed()
    bench.order(bench.into, bench.run)
    bench.device.compute(bench.run, {"features": bench.span})
    bench.device.copy_in(bench.into, other, bench.device.host(16))
    second = bench.device.stream("compute again")
    bench.order(bench.into, second)
    bench.device.compute(second, {"features": other})
    spans = [(each.begin, each.end) for each in bench.device.trace]
    assert spans == [(0, 1), (1, 4), (1, 2), (4, 7)]


def test_a_read_that_no_event_orders_is_a_hazard(bench):
    bench.feed()
    bench.device.mark(7)
    with pytest.raises(
        AssertionError,
        match=r"compute of batch 7 on stream 'compute' reads a block of 16 bytes while "
        r"copy_in of batch 0 on stream 'in', which writes it",
    ):
        bench.device.compute(bench.run, {"features": bench.span})


def test_a_write_over_what_is_still_read_is_a_hazard(bench):
    bench.feed()
    bench.order(bench.into, bench.run)
    bench.device.compute(bench.run, {"features": bench.span})
    with pytest.raises(AssertionError, match="copy_in .* writes a block .* compute .* reads it"):
        bench.feed()


def test_two_reads_are_no_hazard_and_neither_are_other_bytes(bench):
    block = bench.device.block(32)
    low, high = Span(block, 0, (4, 1), FLOAT), Span(block, 16, (4, 1), FLOAT)
    bench.device.copy_in(bench.into, low, bench.host)
    bench.device.copy_in(bench.run, high, bench.host)
    bench.device.drain()


def test_what_the_host_has_waited_for_comes_before_all_it_asks_for_later(bench):
    bench.feed()
    bench.settle(bench.into)
    bench.device.compute(bench.run, {"features": bench.span})


def test_an_event_orders_what_was_enqueued_before_it_and_nothing_later(bench):
    bench.device.record(bench.into, bench.event)
    bench.feed()
    bench.device.wait(bench.run, bench.event)
    with pytest.raises(AssertionError, match="hazard"):
        bench.device.compute(bench.run, {"features": bench.span})


def test_a_page_locked_array_is_left_alone_until_its_copy_has_ended(bench):
    bench.feed()
    bench.numbers[0] = 9
    with pytest.raises(AssertionError, match="wrote to a page-locked array before copy_in of batch 0"):
        bench.settle(bench.into)


def test_memory_of_the_host_that_is_not_page_locked_is_refused(bench):
    with pytest.raises(AssertionError, match="not page-locked"):
        bench.device.copy_in(bench.into, bench.span, np.zeros(4, np.float32))


def test_a_block_freed_under_an_operation_is_told_by_the_next_call(bench):
    bench.feed()
    bench.span = None
    gc.collect()
    with pytest.raises(AssertionError, match="freed while copy_in of batch 0"):
        bench.device.check()


def test_an_answer_may_be_freed_in_the_order_of_its_own_stream(bench):
    bench.feed()
    bench.order(bench.into, bench.run)
    bench.device.compute(bench.run, {"features": bench.span})  # dropped at once
    gc.collect()
    bench.device.check()


def test_graphs_share_memory_and_so_must_be_in_order(bench):
    bench.feed()
    bench.order(bench.into, bench.run)
    graph = bench.device.capture(bench.run, {"features": bench.span})
    other = Span(bench.device.block(16), 0, (4, 1), FLOAT)
    bench.device.copy(bench.run, other, bench.span)
    small = bench.device.capture(bench.run, {"features": other})
    bench.device.replay(bench.run, graph)
    bench.device.replay(bench.run, small)
    bench.order(bench.run, bench.into)
    bench.device.replay(bench.into, graph)
    with pytest.raises(AssertionError, match="hazard: replay"):
        bench.device.replay(bench.run, small)


def test_a_replay_computes_what_its_inputs_hold_now(bench):
    bench.feed()
    bench.settle(bench.into)
    graph = bench.device.capture(bench.run, {"features": bench.span})
    bench.settle(bench.run)
    bench.numbers[:] = [5, 6, 7, 8]
    bench.feed()
    bench.order(bench.into, bench.run)
    bench.device.replay(bench.run, graph)
    out = bench.device.host(16)
    bench.device.copy_out(bench.run, out, graph.outputs["features"])
    bench.settle(bench.run)
    assert out.view(np.float32).tolist() == [5, 6, 7, 8]
    assert SimulatedDevice(graphs=False).capture(None, {}) is None


def test_memory_is_counted_cached_and_given_back():
    device = SimulatedDevice(memory=1000, workspace=100)
    stream = device.stream("compute")
    span = Span(device.block(8), 0, (2, 1), FLOAT)
    outputs = device.compute(stream, {"features": span})
    assert device.memory() == (1000 - 8 - 8 - 200, 1000)
    device.release()
    assert device.memory() == (1000 - 8 - 8, 1000)
    device.others = 900
    with pytest.raises(SimulatedError, match="out of memory") as caught:
        device.compute(stream, {"features": span})
    assert device.trouble(caught.value) is Trouble.MEMORY
    device.others = 0
    device.drain()
    del outputs, span, caught
    gc.collect()
    assert device.memory()[0] == 1000
    with pytest.raises(SimulatedError, match="out of memory"):
        device.block(1001)


def test_a_run_fails_on_demand_and_the_next_does_not(bench):
    bench.feed()
    bench.settle(bench.into)
    bench.device.fail(2, KeyError("mine"))
    given = {"features": bench.span}
    bench.device.compute(bench.run, given)
    with pytest.raises(KeyError, match="mine") as caught:
        bench.device.compute(bench.run, given)
    assert bench.device.trouble(caught.value) is Trouble.ORDINARY
    bench.device.compute(bench.run, given)
    bench.device.poison = 3.0
    with pytest.raises(SimulatedError, match="poisoned"):
        bench.device.compute(bench.run, given)


def test_a_lost_device_fails_every_call(bench):
    bench.feed()
    bench.settle(bench.into)
    bench.device.lose()
    bench.device.compute(bench.run, {"features": bench.span})  # the launch itself succeeds
    for call in (bench.device.drain, bench.device.memory, bench.device.event):
        with pytest.raises(SimulatedError, match="illegal memory access") as caught:
            call()
        assert bench.device.trouble(caught.value) is Trouble.STICKY


def test_a_copy_that_never_ends_is_waited_for_until_it_is_let_go():
    bench = Bench(clock=ManualClock(5.0))
    bench.device.stall(2)
    bench.feed()
    bench.feed()
    waiting = threading.Thread(target=bench.settle, args=(bench.into,), daemon=True)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    bench.device.resume()
    waiting.join(20)
    assert not waiting.is_alive()
    assert bench.device.trace[-1].end == 6.0  # right behind the first


def test_a_closed_device_refuses(bench):
    bench.device.close()
    with pytest.raises(SimulatedError, match="closed"):
        bench.feed()


def test_overlap_is_the_part_of_copying_that_another_batch_hides():
    runs = [Operation("compute", "compute", 1, 1.0, 3.0), Operation("compute", "replay", 2, 4.0, 6.0)]
    own = Operation("in", "copy_in", 1, 0.0, 1.0)
    half = Operation("in", "copy_in", 2, 2.0, 4.0)
    assert overlap([own, *runs]) == 0
    assert overlap([half, *runs]) == 0.5
    assert overlap([own, half, *runs]) == pytest.approx(1 / 3)
    assert overlap([Operation("in", "copy_in", 3, 0.0, 8.0), *runs]) == 0.5
    assert overlap(runs) == 0


def test_the_trace_is_one_that_viewers_open(bench):
    bench.feed()
    shown = json.loads(json.dumps(bench.device.chrome_trace()))
    assert shown == json.loads(json.dumps(chrome_trace(bench.device.trace, device="simulated:0")))
    named = [each["args"]["name"] for each in shown["traceEvents"] if each["ph"] == "M"]
    assert named == ["simulated:0", "in"]
    (drawn,) = [each for each in shown["traceEvents"] if each["ph"] == "X"]
    assert (drawn["name"], drawn["tid"], drawn["ts"], drawn["dur"]) == ("copy_in 0", 0, 0.0, 1e6)

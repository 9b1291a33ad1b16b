"""Callers for the tests of the driver: threads that ask, one after the other, and what became of them."""

from __future__ import annotations

import threading
import time

import numpy as np

PATIENCE = 20  # real seconds after which a test says that somebody hangs


def features(*values):
    return {"x": np.array(values, np.float32).reshape(-1, 1)}


def answer(result):
    assert not isinstance(result, BaseException), result
    return result.outputs["x"].ravel().tolist()


def until(condition):
    """Wait for another thread's doing."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < limit, "it never came to that"
        time.sleep(0.0005)


class Caller(threading.Thread):
    """One blocked caller; ``outcome`` is its Result or what it was raised."""

    def __init__(self, runner, *values, **how):
        super().__init__(daemon=True)
        self.runner, self.values, self.how = runner, values, how
        self.outcome = None
        self.start()

    def run(self):
        try:
            self.outcome = self.runner.run(features(*self.values), rows=len(self.values), **self.how)
        except BaseException as error:
            self.outcome = error

    def end(self):
        self.join(PATIENCE)
        assert not self.is_alive(), "a caller hangs"
        return self.outcome

    def said(self):
        """What a caller with one row was told: its value, or the error."""
        outcome = self.end()
        return outcome if isinstance(outcome, BaseException) else outcome.outputs["x"].item()


def line_up(runner, *rows, **how):
    """Start callers one after the other, each surely in the queue before the next."""
    callers = []
    for values in rows:
        depth = runner.depth
        callers.append(Caller(runner, *np.atleast_1d(values), **how))
        until(lambda depth=depth: runner.depth > depth)
    return callers

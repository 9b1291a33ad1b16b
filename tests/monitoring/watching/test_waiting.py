"""Rows between the answer and the count: a label that comes at once finds its prediction, and waits for nobody."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from tests.monitoring.counting.kit import rows_of
from tests.monitoring.watching.test_labelled import see, watched
from tests.monitoring.watching.watched import Clock, monitor_of, serve

from inprocml.monitoring.quality import Feedback

ROWS = rows_of(np.random.default_rng(8), 50)


class Odd:
    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


class OddText(str):
    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


@pytest.mark.parametrize(
    "name",
    [np.array(["a", "b"]), pd.Series(["a", "b"]), pd.NA, Odd(), None, 3, b"x", ["aaaa-0"]],
    ids=lambda name: type(name).__name__,
)
def test_an_id_of_another_type_is_invalid_while_rows_wait(tmp_path, name):
    monitor, bare = watched(tmp_path, Clock()), monitor_of(tmp_path / "bare", Clock())
    see(monitor, ROWS[0], "aaaa-0")
    serve(bare, ROWS[:1])
    assert monitor.feedback(name, "ok") is Feedback.INVALID
    assert bare.feedback(name, "ok") is Feedback.UNMATCHED
    assert monitor.feedback("aaaa-0", "ok") is Feedback.MATCHED
    assert monitor.quality.counters().outcomes["invalid"] == 1
    monitor.close()
    bare.close()


def test_feedback_raises_nothing_whatever_fails(tmp_path, caplog):
    monitor = watched(tmp_path, Clock())
    see(monitor, ROWS[0], "aaaa-0")
    with caplog.at_level(logging.WARNING, "inprocml"):
        assert monitor.feedback(OddText("aaaa-0"), "ok") is Feedback.FAILED
    assert "label" in caplog.text
    assert monitor.quality.counters().outcomes["failed"] == 1
    monitor.close()

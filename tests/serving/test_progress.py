"""The line that tells how far a long table is."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from inprocml.serving.progress import Progress, told


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def run(clock, progress):
    for step in range(1, 11):
        clock.now += 1.0
        progress.show(step * 100)
    progress.end()


def test_a_terminal_sees_share_rate_and_time_left(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(clock, Progress(clock, total=2000))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.strip("\n").split("\r")[1:]
    assert lines[0].strip() == "predict_many: 300 of 2,000 rows (15%), 100 rows/s, 0:17 left"
    assert lines[-1].strip() == "predict_many: 1,000 of 2,000 rows (50%), 100 rows/s, 0:10 left"
    assert err.endswith("\n")


def test_a_shorter_line_leaves_nothing_of_a_longer_one(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress(clock, total=1_000_000)
    for rows in (1, 999_999):
        clock.now += 5.0
        progress.show(rows)
    first, second = capsys.readouterr().err.split("\r")[1:]
    assert len(second) >= len(first)


def test_nobody_who_looks_is_told_nothing(clock, capsys):
    run(clock, Progress(clock, total=2000))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("config", "shown"), [({"IPKernelApp": {}}, True), ({}, False), (None, False)])
def test_a_notebook_is_told_though_it_is_no_terminal(clock, capsys, monkeypatch, config, shown):
    shell = None if config is None else SimpleNamespace(config=config)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    run(clock, Progress(clock, total=2000))
    assert bool(capsys.readouterr().err) is shown


def test_a_process_without_stderr(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    run(clock, Progress(clock))


def test_what_was_done_before_does_not_count_as_quick():
    assert told(900, 1000, 10.0, done=800) == "predict_many: 900 of 1,000 rows (90%), 10 rows/s, 0:10 left"
    assert told(5, None, 2.0) == "predict_many: 5 rows, 2 rows/s"
    assert told(1, 36_001, 1.0).endswith("10:00:00 left")
    assert "left" not in told(0, 10, 1.0)

"""``quality``: what labels said to the servers of a host, and ``watch`` where answers have become worse."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pytest
from tests.monitoring.watching.test_labelled import DAY, answer
from tests.monitoring.watching.watched import Clock

from inprocml import Bundle
from inprocml.monitoring import DriftEvent, Quality, QualityReport
from inprocml.monitoring.quality import Settings
from inprocml.monitoring.verdict import State
from inprocml.monitoring.watching.labelled import Labelled


def told(store, folder, *, share, days=8):
    """Labels of some days until now, as a server that has ended leaves them; return its last report."""
    bundle, clock = Bundle.open(store / "1"), Clock()
    judged = Settings(kind="classes", classes=bundle.output.labels, usual=1.0, labels_within=2 * DAY)
    labelled = Labelled(
        Quality(judged),
        folder=folder,
        model=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        clock=clock,
        grumble=lambda what, error: pytest.fail(f"{what}: {error}"),
    )
    random = np.random.default_rng(4)
    for day in range(days):
        clock.now = time.time() - (days - day) * DAY
        truths = ["fraud" if late else "ok" for late in random.random(300) < share]
        answer(labelled, [f"{day}-{row}" for row in range(300)], [0.5] * 300, clock.now, truths)
        labelled.decide(lambda _: None)
    report = labelled.report()
    labelled.close()
    return report


def test_the_report_is_of_what_servers_have_left(run, store, tmp_path):
    left = told(store, tmp_path / "counts", share=0.5)
    code, out, err = run("quality", store, "--counts", tmp_path / "counts", "--html", tmp_path / "page.html")
    assert (code, err) == (0, "")
    assert "quality of fraud 1: ok" in out
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    code, out, err = run("quality", store, "--counts", tmp_path / "counts", "--json")
    report = QualityReport.from_dict(json.loads(out))
    assert report.counters.document() == left.counters.document()
    assert (report.model, report.version, report.scope) == ("fraud", "1", "host")


def test_worse_answers_are_an_exit_code_and_run_a_command_once(run, store, tmp_path):
    left = told(store, tmp_path / "counts", share=0.1)
    assert left.state is State.DRIFT
    assert run("quality", store, "--counts", tmp_path / "counts")[0] == 3
    note = tmp_path / "note"
    copy = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))"
    for code in (3, 0):
        done = run(
            *("watch", store, "--counts", tmp_path / "counts", "--once"),
            *("--on-drift", sys.executable, "-c", copy, note),
        )
        assert done[0] == code, done
    (line,) = note.read_text().splitlines()
    event = DriftEvent.from_dict(json.loads(line))
    assert event.findings[0].name == "quality"
    assert "worse than promised" in event.findings[0].why


def test_without_labels_it_says_what_to_do(run, store, tmp_path):
    code, out, err = run("quality", store, "--counts", tmp_path)
    assert (code, out) == (1, "")
    assert "no labels of fraud 1" in err
    assert "Monitoring(folder=...)" in err


def test_a_damaged_record_is_told_in_one_line(run, store, tmp_path):
    told(store, tmp_path / "counts", share=0.5, days=1)
    (path,) = (tmp_path / "counts").glob("*.labels")
    from inprocml.monitoring.counting import Slots

    slots = Slots.found(path)
    slots.write(0, b"nonsense")
    slots.close()
    code, _, err = run("quality", store, "--counts", tmp_path / "counts")
    assert code == 1
    assert "damaged" in err
    assert err.count(chr(10)) == 1
    path.write_bytes(b"x")
    assert "no labels" in run("quality", store, "--counts", tmp_path / "counts")[2]

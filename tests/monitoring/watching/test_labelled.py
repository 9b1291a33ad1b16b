"""What labels said, summed over the processes of a host: whoever of them is killed, restarted or damaged."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.monitoring.counting.kit import FORM, TRANSFORM, rows_of
from tests.monitoring.watching.watched import START, Clock, Idle, columns_of, monitor_of, serve

from inprocml.errors import BundleError
from inprocml.monitoring import Monitoring
from inprocml.monitoring.quality import Counters, Feedback, Quality, Settings
from inprocml.monitoring.quality.record import Record, room_for
from inprocml.monitoring.quality.sqlite import SqliteStore
from inprocml.monitoring.verdict import Action, Reference, State
from inprocml.monitoring.watching import Monitor, Slices, labels, overheard, worse
from inprocml.monitoring.watching.episode import Episode
from inprocml.monitoring.watching.labelled import Labelled

DAY = 86_400.0
CLASSES = ("ok", "late")


def settings_of(**how):
    return Settings(kind="classes", classes=CLASSES, **how)


def labelled_of(folder, clock, *, digest="d", said=None, **how):
    """One process's view; those of one folder stand for the processes of a host."""
    return Labelled(
        Quality(settings_of(**how)),
        folder=Path(folder),
        model="late",
        version="1",
        digest=digest,
        clock=clock,
        grumble=lambda what, error: None if said is None else said.append((what, str(error))),
    )


def answer(labelled, names, scores, at, truths=None):
    labelled.quality.predicted(names, np.asarray(scores, np.float64), at)
    for name, truth in zip(names, truths or (), strict=False):
        if truth is not None:
            assert labelled.quality.feedback(name, truth, at + 1) is Feedback.MATCHED


def told(report):
    return report.counters.document()


PREDICTION = st.tuples(
    st.integers(0, 3),  # the process
    st.integers(0, 40),  # the day
    st.floats(0, 1),
    st.sampled_from([*CLASSES, None]),
)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PREDICTION, max_size=40))
def test_the_sum_over_processes_is_what_one_process_counts(made):
    clock = Clock(START + 50 * DAY)
    with tempfile.TemporaryDirectory() as together, tempfile.TemporaryDirectory() as apart:
        one = labelled_of(apart, clock, labels_within=50 * DAY)
        many = [labelled_of(together, clock, labels_within=50 * DAY) for _ in range(4)]
        for place, (who, day, score, truth) in enumerate(made):
            for labelled in (one, many[who]):
                answer(labelled, [f"a-{place}"], [score], START + day * DAY, [truth])
        for labelled in many:
            labelled.look()
        reports = [labelled.report() for labelled in many]
        for report in reports:
            assert told(report) == told(one.report())
            assert (report.scope, report.workers) == ("host", 4)
        for labelled in (one, *many):
            labelled.close()


class Host(RuleBasedStateMachine):
    """Processes come, answer, are told labels, are killed; those that are restarted go on."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.living = []
        self.kept = 0  # labels that ended processes have shown
        self.heard = {}  # process -> labels since it began
        self.shown = {}  # process -> labels that it has shown
        self.serial = 0

    def teardown(self):
        for labelled in self.living:
            labelled.close()
        self.folder.cleanup()

    @rule()
    @precondition(lambda self: len(self.living) < 4)
    def begins(self):
        labelled = labelled_of(self.folder.name, self.clock)
        labelled.look()
        self.living.append(labelled)
        self.heard[labelled] = self.shown[labelled] = 0

    @rule(who=st.integers(0, 3), rows=st.integers(1, 5))
    @precondition(lambda self: self.living)
    def is_told(self, who, rows):
        labelled = self.living[who % len(self.living)]
        names = [f"x-{self.serial + row}" for row in range(rows)]
        self.serial += rows
        answer(labelled, names, [0.5] * rows, self.clock.now, ["late"] * rows)
        self.heard[labelled] += rows

    @rule(who=st.integers(0, 3))
    @precondition(lambda self: self.living)
    def looks(self, who):
        labelled = self.living[who % len(self.living)]
        labelled.look()
        self.shown[labelled] = self.heard[labelled]

    @rule(who=st.integers(0, 3))
    @precondition(lambda self: self.living)
    def is_killed(self, who):
        labelled = self.living.pop(who % len(self.living))
        labelled._shared.close()  # as the system does: the lock goes, what was written stays
        self.kept += self.shown.pop(labelled)
        del self.heard[labelled]

    @rule(who=st.integers(0, 3))
    @precondition(lambda self: self.living)
    def ends(self, who):
        labelled = self.living.pop(who % len(self.living))
        labelled.close()
        self.kept += self.heard.pop(labelled)
        del self.shown[labelled]

    @rule(seconds=st.sampled_from([1.0, 100.0, -50.0]))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @invariant()
    def every_label_is_counted_once(self):
        for labelled in self.living[:1]:
            others = sum(self.shown[other] for other in self.living if other is not labelled)
            assert labelled.report().counters.outcomes["matched"] == (
                self.kept + self.heard[labelled] + others
            )
            self.shown[labelled] = self.heard[labelled]  # to report is to look


TestHost = Host.TestCase
TestHost.settings = settings(deadline=None, max_examples=30, stateful_step_count=25)

SCRIPT = """
    import sys
    from tests.monitoring.watching.test_labelled import CLASSES, Clock, answer, labelled_of
    from tests.monitoring.watching.watched import START

    labelled = labelled_of(sys.argv[1], Clock(START + 10))
    who = sys.argv[2]
    answer(labelled, [f"{who}-{row}" for row in range(100)], [0.7] * 100, START, ["late"] * 60)
    labelled.look()
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_labels_of_killed_processes_stay_and_are_counted_once(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path), str(who)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for who in range(3)
    ]
    try:
        for one in workers:
            assert one.stdout.readline() == "ready\n"
        mine = labelled_of(tmp_path, Clock(START + 20))
        report = mine.report()
        assert (report.scope, report.workers) == ("host", 4)
        assert report.counters.outcomes["matched"] == 180
    finally:
        for one in workers:
            one.kill()
            one.communicate()
    assert mine.report().counters.outcomes["matched"] == 180
    heirs = [labelled_of(tmp_path, Clock(START + 30)) for _ in range(3)]
    for place, heir in enumerate(heirs):
        answer(heir, [f"new{place}-1"], [0.7], START + 25, ["ok"])
        heir.look()
    assert mine.report().counters.outcomes["matched"] == 183
    assert len(list(tmp_path.glob("*.labels"))) == 4, "heirs go on where the killed ended"
    assert mine.report().counters.total().seen == 303
    for each in (mine, *heirs):
        each.close()


def test_quality_outlives_a_restart_of_the_same_version(tmp_path):
    clock = Clock(START + DAY)
    first = labelled_of(tmp_path, clock)
    answer(first, ["a", "b"], [0.2, 0.9], START, ["ok", "late"])
    before = told(first.report())
    first.close()
    second = labelled_of(tmp_path, clock)
    assert told(second.report()) == before
    another = labelled_of(tmp_path, clock, digest="another version")
    assert another.report().counters.outcomes["matched"] == 0
    second.close()
    another.close()


def test_what_labels_are_judged_by_may_change_and_nothing_is_lost(tmp_path):
    clock = Clock(START + DAY)
    first = labelled_of(tmp_path, clock)
    answer(first, ["a", "b"], [0.2, 0.9], START, ["ok", "late"])
    first.look()
    second = labelled_of(tmp_path, clock, usual=0.9512345, labels_within=3.00001 * DAY, budget=1e-9)
    for each in (second, first):
        assert each.report().counters.outcomes["matched"] == 2
        assert each.report().workers == 2
    first.close()
    second.close()


def test_other_slices_are_counted_apart_and_nothing_is_lost(tmp_path):
    clock = Clock()
    plain, sliced = labelled_of(tmp_path, clock), labelled_of(tmp_path, clock, slices={"carrier": ("UA",)})
    answer(plain, ["a"], [0.5], START, ["ok"])
    answer(sliced, ["b"], [0.5], START, ["ok"])
    for each in (plain, sliced, plain):
        assert each.report().counters.outcomes["matched"] == 1
        assert each.report().workers == 1
    plain.close()
    sliced.close()


@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "half"])
def test_a_file_that_is_lost_or_damaged_costs_nothing_of_ones_own(tmp_path, damage):
    clock, said = Clock(), []
    mine, other = labelled_of(tmp_path, clock, said=said), labelled_of(tmp_path, clock)
    answer(mine, ["a"], [0.5], START, ["ok"])
    mine.look()
    answer(other, ["b"], [0.5], START, ["ok"])
    other.look()
    paths = sorted(tmp_path.glob("*.labels"))
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        if damage != "missing":
            path.write_bytes({"empty": b"", "noise": b"x" * len(content), "half": content[:5000]}[damage])
    clock.now += 60
    report = mine.report()
    assert report.scope == "host"
    assert report.counters.outcomes["matched"] == (
        1 if damage == "missing" else 2
    )  # of one process: held yet
    other.look()
    assert mine.report().counters.outcomes["matched"] == 2
    mine.close()
    other.close()


def test_a_record_with_a_flipped_bit_is_left_out_and_said_once(tmp_path):
    clock, said = Clock(), []
    mine, other = labelled_of(tmp_path, clock, said=said), labelled_of(tmp_path, clock)
    mine.look()
    for name in ("b", "c"):  # both halves of the file
        answer(other, [name], [0.5], START, ["ok"])
        other.look()
    assert mine.report().counters.outcomes["matched"] == 2
    other._shared.slots.write(0, b"not a record")
    assert mine.report().counters.outcomes["matched"] == 0
    assert said[0][0] == "what another process heard cannot be read"
    mine.close()
    other.close()


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_a_process_reports_for_itself_and_says_so(tmp_path, monkeypatch):
    clock, said = Clock(), []
    mine = labelled_of(tmp_path, clock, said=said)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        answer(mine, ["a"], [0.5], START, ["ok"])
        report = mine.report()
        assert (report.scope, report.counters.outcomes["matched"]) == ("worker", 1)
    assert said[0][0] == "this process counts labels for itself"
    clock.now += 60
    assert mine.report().scope == "host"
    mine.close()


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=400), st.integers(0, 5000), st.integers(0, 255))
def test_a_record_is_read_exactly_or_refused(noise, place, byte):
    for kind in (settings_of(slices={"a": (1, 2.5), "b": (True, "x")}), Settings(kind="regression")):
        counters = Counters(len(kind.classes), kind.slice_names)
        counters.cohort(20_000).label(*((0.25, 0, 1) if kind.classes else (0.25, 3.0)))
        counters.waited(70.0)
        content = Record(kind, counters, START).to_bytes()
        assert len(content) <= room_for(kind)
        read = Record.from_bytes(content)
        assert read.settings == kind
        assert read.counters.document() == counters.document()
        changed = bytearray(content)
        changed[place % len(content)] = byte
        for given_content in (noise, bytes(changed), content[: place % len(content)], content + noise):
            with contextlib.suppress(ValueError):
                Record.from_bytes(given_content)


def test_the_largest_record_has_room():
    names = {f"{place}{'é' * 60}": tuple(f"{value}{'é' * 60}" for value in range(16)) for place in range(4)}
    kind = Settings(kind="classes", classes=tuple(range(32)), slices=names)
    counters = Counters(32, kind.slice_names)
    for number in range(2**60, 2**60 + 300):
        counters.cohort(number)
    counters.outcomes = dict.fromkeys(counters.outcomes, 2**62)
    counters.lost = dict.fromkeys(counters.lost, 2**62)
    counters.delays[:] = 2**62
    assert len(Record(kind, counters, 1e12).to_bytes()) <= room_for(kind)


# --- episodes ---------------------------------------------------------------------------------------------


def day_of(labelled, clock, day, share, random):
    """A day of predictions with their labels: of score 0.5, of which ``share`` come true."""
    names = [f"{id(labelled):x}-{day}-{row}" for row in range(400)]
    truths = ["late" if late else "ok" for late in random.random(400) < share]
    clock.now = START + day * DAY
    answer(labelled, names, [0.5] * 400, clock.now, truths)


def test_labels_worse_than_promised_are_told_once_by_whoever_decides(tmp_path):
    clock, random = Clock(), np.random.default_rng(3)
    first, second = (labelled_of(tmp_path, clock, usual=1.0, labels_within=2 * DAY) for _ in range(2))
    events, day = [], 0
    for share, days in ((0.5, 4), (0.1, 4), (0.5, 30)):
        for _ in range(days):
            day_of(first, clock, day, share, random)
            day_of(second, clock, day, share, random)
            day += 1
            clock.now += DAY / 2
            second.look()
            (first if day % 2 else second).decide(events.extend)  # another may decide each day
            if len(events) == 1 and (since := first.report().since) is not None:
                assert since == events[0].since, "whatever window shows it best today"
    assert [event.action for event in events] == [Action.OPENED, Action.CLOSED]
    opened, closed = events
    assert opened.id == closed.id
    assert opened.since == closed.since == opened.findings[0].since
    assert opened.since <= START + 4 * DAY < opened.since + DAY, "the day that labels became worse"
    assert (opened.model, opened.version, opened.reference) == ("late", "1", Reference.TRAIN)
    (finding,) = opened.findings
    assert (finding.name, finding.role, finding.state) == ("quality", "output", State.DRIFT)
    assert "worse than promised" in finding.why
    assert opened.why == finding.why
    assert closed.why
    assert finding.value > finding.threshold > 0
    assert finding.since == opened.since
    assert type(opened).from_dict(json.loads(opened.to_json())) == opened
    first.close()
    second.close()
    heir = labelled_of(tmp_path, clock, usual=1.0, labels_within=2 * DAY)
    heir.decide(events.extend)
    assert len(events) == 2
    heir.close()


def worse_of(folder, clock, events=None, *, usual=1.0, labels_within=2 * DAY, **how):
    """Return a process whose labels have become worse than promised, and the day after."""
    labelled = labelled_of(folder, clock, usual=usual, labels_within=labels_within, **how)
    random, heard = np.random.default_rng(3), [] if events is None else events
    for day in range(8):
        day_of(labelled, clock, day, 0.5 if day < 4 else 0.1, random)
        clock.now += DAY / 2
        labelled.decide(heard.extend)
    assert [event.action for event in heard] == [Action.OPENED]
    return labelled, 8


def test_who_looks_on_hears_of_an_episode_while_labels_are_worse(tmp_path):
    clock, random = Clock(), np.random.default_rng(5)
    labelled, day = worse_of(tmp_path, clock)

    def worse_now():
        seen = overheard(tmp_path, model="late", version="1", digest="d", reference=None, now=clock.now)
        return worse(seen, tmp_path, "d")

    assert worse_now().id == worse(labelled.report(), tmp_path, "d").id
    clock.now += 30 * DAY  # its servers have ended, and left it open
    assert worse_now() is None
    clock.now -= 30 * DAY
    sliced = labelled_of(tmp_path, clock, usual=1.0, labels_within=2 * DAY, slices={"carrier": ("UA",)})
    for _ in range(4):  # a server that counts under other settings: its episodes are its own
        day_of(sliced, clock, day, 0.5, random)
        clock.now += DAY / 2
        day += 1
        sliced.decide(lambda _: None)
        assert worse_now() is None
    for _ in range(4):
        day_of(sliced, clock, day, 0.1, random)
        clock.now += DAY / 2
        day += 1
        sliced.decide(lambda _: None)
    assert worse_now().since > START + 10 * DAY
    for one in (labelled, sliced):
        one.close()


def test_an_episode_ends_when_labels_stop(tmp_path):
    clock, events = Clock(), []
    labelled, _ = worse_of(tmp_path, clock, events)
    for _ in range(9):  # until no label can come any more
        clock.now += DAY
        labelled.decide(events.extend)
    assert labelled.report().state is State.STALE
    for _ in range(3):
        clock.now += DAY
        labelled.decide(events.extend)
    assert [event.action for event in events] == [Action.OPENED, Action.CLOSED]
    assert "stopped coming" in events[1].why
    labelled.close()


def test_an_episode_that_an_earlier_release_wrote_goes_on(tmp_path):
    clock, events = Clock(), []
    labelled, _ = worse_of(tmp_path, clock)
    labelled._shared.slots.write_state(json.dumps([7, START, None]).encode())
    labelled.close()
    heir = labelled_of(tmp_path, clock, usual=1.0, labels_within=2 * DAY)
    heir.retire(events.extend)
    assert [(event.action, event.since) for event in events] == [(Action.CLOSED, START)]
    heir.close()


@given(st.binary(max_size=60) | st.lists(st.none() | st.booleans() | st.floats() | st.text(), max_size=8))
def test_any_bytes_are_an_episode_or_none(noise):
    episode = Episode.load(noise if isinstance(noise, bytes) else json.dumps(noise).encode())
    assert Episode.load(episode.dump()).number == episode.number


class Killed(BaseException):
    pass


def killed(_events):
    raise Killed


@pytest.mark.parametrize("before", ["told", "written"])
def test_an_episode_is_told_though_its_process_is_killed(tmp_path, before):
    clock, first, events = Clock(), [], []
    labelled, day = worse_of(tmp_path, clock, first)
    random = np.random.default_rng(4)
    for _ in range(8):  # as promised again: who decides is killed when that is to be told
        day_of(labelled, clock, day, 0.5, random)
        clock.now += DAY / 2
        day += 1
        with contextlib.suppress(Killed):
            labelled.decide(
                killed if before == "told" else lambda found: (first.extend(found), killed(found))
            )
    labelled._shared.close()
    for _ in range(3):
        heir = labelled_of(tmp_path, clock, usual=1.0, labels_within=2 * DAY)
        clock.now += DAY
        heir.decide(events.extend)
        heir.close()
    assert [(event.action, event.id) for event in events] == [(Action.CLOSED, first[0].id)], "and once"


# --- the monitor ------------------------------------------------------------------------------------------


def watched(folder, clock, *, model="late", prefix="aaaa", slices=None, hooks=(), quality=None, **how):
    declared = {} if slices is None else slices
    read = Slices(declared, TRANSFORM.schema, of="late 1")
    return Monitor(
        FORM.layout,
        model=model,
        version="1",
        digest=prefix * 8,
        inputs=TRANSFORM.columns,
        outputs=columns_of,
        settings=Monitoring(folder=folder, on_drift=hooks),
        quality=quality or Quality(settings_of(slices=read.values)),
        slices=read,
        prefix=prefix,
        clock=clock,
        wakes=Idle(),
        **how,
    )


def see(monitor, row, name, late=0.5):
    monitor.saw(row, {"probability": np.array([[1 - late, late]])}, name)


ROWS = rows_of(np.random.default_rng(8), 50)


def test_a_label_of_another_models_prediction_is_unmatched(tmp_path):
    mine, other = watched(tmp_path, Clock()), watched(tmp_path, Clock(), model="fraud", prefix="bbbb")
    see(mine, ROWS[0], "aaaa-1")
    see(other, ROWS[0], "bbbb-1")
    other.look()
    assert mine.feedback("bbbb-1", "ok") is Feedback.UNMATCHED
    assert mine.quality.counters().outcomes["unmatched"] == 1
    assert sum(other.quality.counters().outcomes.values()) == 0
    assert other.feedback("bbbb-1", "ok") is Feedback.MATCHED
    mine.close()
    other.close()
    assert other.feedback("aaaa-1", "ok") is Feedback.UNMATCHED, "also after it is gone"


def test_a_label_within_the_second_counts_no_rows_on_the_callers_thread(tmp_path, monkeypatch):
    monitor = watched(tmp_path, Clock())
    for place, row in enumerate(ROWS):
        see(monitor, row, f"aaaa-{place}")
    with monkeypatch.context() as patched:
        patched.setattr(Monitor, "look", lambda _: pytest.fail("evaluated in a view"))
        patched.setattr(Monitor, "_add", lambda *_: pytest.fail("counted in a view"))
        for place in range(50):
            assert monitor.feedback(f"aaaa-{place}", "ok") is Feedback.MATCHED
    monitor.look()
    assert monitor.numbers()["rows"] == monitor.numbers()["seen"] == 50
    assert monitor.quality.counters().total().seen == 50
    monitor.close()


def test_labels_of_a_version_that_is_gone_are_shown_by_the_one_that_serves(tmp_path):
    clock = Clock()
    old = watched(tmp_path, clock, prefix="cccc")
    see(old, ROWS[0], "cccc-1")
    old.close()
    new = watched(tmp_path, clock, prefix="dddd")
    assert new.feedback("cccc-1", "ok") is Feedback.MATCHED
    new.look()
    seen = overheard(tmp_path, model="late", version="1", digest="cccc" * 8, reference=None, now=clock.now)
    assert seen.counters.outcomes["matched"] == 1
    new.close()


def test_in_a_store_a_label_is_of_the_version_that_answered(tmp_path):
    """Two workers served version 1, and one serves version 2 now: labels come to that one."""
    clock, store = Clock(), SqliteStore(tmp_path / "predictions.db", model="late")

    def of(version):
        return Quality(settings_of(), store=store, version=version)

    of("1").predicted(["eeee-1", "eeee-2"], [0.9, 0.9], clock.now)  # of the other worker
    old = watched(tmp_path, clock, prefix="ffff", quality=of("1"))
    old.close(retired=True)
    new = watched(tmp_path, clock, prefix="0123", quality=of("2"))
    assert new.feedback("eeee-1", "ok") is Feedback.MATCHED
    assert new.feedback("eeee-9", "ok") is Feedback.UNMATCHED
    assert old.quality.counters().total().labelled == 1
    assert new.quality.counters().total().labelled == 0
    labels._known.clear()  # as in a process that never served version 1
    labels.keep("0123", new.labelled)
    assert new.feedback("eeee-2", "ok") is Feedback.UNMATCHED
    assert new.quality.counters().outcomes["unmatched"] == 2
    new.close()
    store.close()


def test_hooks_hear_of_quality(tmp_path):
    clock, heard = Clock(), []
    monitor = watched(tmp_path, clock)
    monitor.listen(heard.append)
    monitor.look()
    monitor.labelled.decide = lambda tell, _: tell(["worse"])
    clock.now += 100
    monitor.look()
    assert heard == ["worse"]
    monitor.close()


@pytest.mark.parametrize("heard", [True, False])
def test_an_event_that_a_hook_has_not_heard_is_told_again_by_the_next_process(tmp_path, heard):
    clock, events, busy = Clock(), [], [True]
    labelled, _ = worse_of(tmp_path, clock)
    for _ in range(5):  # the hook is at it for days
        labelled.retire(events.extend, lambda: not busy[0])
        clock.now += DAY
        labelled.decide(events.extend, lambda: not busy[0])
    assert [event.action for event in events] == [Action.CLOSED], "this process tells it once"
    busy[0] = not heard
    clock.now += DAY
    labelled.decide(events.extend, lambda: not busy[0])
    labelled._shared.close()
    heir = labelled_of(tmp_path, clock, usual=1.0, labels_within=2 * DAY)
    heir.decide(events.extend)
    assert [event.key for event in events] == [events[0].key] * (1 if heard else 2)
    heir.close()


def test_an_episode_of_quality_ends_with_its_version(tmp_path):
    clock, heard = Clock(), []
    labelled, _ = worse_of(tmp_path, clock, digest="aaaa" * 8, slices={})
    labelled.close()
    monitor = watched(tmp_path, clock)
    monitor.listen(heard.append)
    monitor.look()
    monitor.close(retired=True)
    assert [(event.action, event.version) for event in heard] == [(Action.CLOSED, "1")]
    assert "no longer serves" in heard[0].why
    assert monitor.labelled.report().state is State.DRIFT, "which says nothing of now"
    monitor.close(retired=True)
    assert len(heard) == 1


# --- slices -----------------------------------------------------------------------------------------------


def test_slices_are_read_as_the_schema_reads_them(tmp_path):
    monitor = watched(tmp_path, Clock(), slices={"zip": (10_001,), "delay": (3, -1.5)})
    see(monitor, {**ROWS[0], "zip": np.int64(10_001), "delay": 3.0}, "aaaa-1")
    see(monitor, {**ROWS[0], "zip": 10_002, "delay": 3}, "aaaa-2")
    monitor.look()
    for name in ("aaaa-1", "aaaa-2"):
        assert monitor.feedback(name, "ok") is Feedback.MATCHED
    slices = monitor.labelled.report().slices
    assert slices["zip"][10_001]["accuracy"].rows == 1
    assert slices["delay"][3]["accuracy"].rows == 2
    monitor.close()


@pytest.mark.parametrize(
    ("slices", "said"),
    [
        ({"carier": ("UA",)}, "carier.*does not have.*carrier"),
        ({"carrier": (5,)}, "value 0 of 'carrier' must be a string"),
        ({"zip": (10_001, "10002")}, "value 1 of 'zip' must be an integer"),
        ({"carrier": (None,)}, "value 0 of 'carrier' is missing"),
        ({"delay": (1, 1.0)}, "two alike"),
        ({"at": ("2013-01-07T05:00:00+00:00",)}, "of kind instant"),
        ({"delay": (float("nan"),)}, "value 0 of 'delay'"),
    ],
)
def test_a_slice_that_no_row_would_be_in_is_refused(slices, said):
    with pytest.raises(BundleError, match=said):
        Slices(slices, TRANSFORM.schema, of="late 3")


def test_a_monitor_without_quality_has_no_labels(tmp_path, caplog):
    monitor = monitor_of(tmp_path, Clock())
    serve(monitor, ROWS)
    with caplog.at_level(logging.WARNING, "inprocml"):
        assert monitor.feedback("0", "ok") is Feedback.UNMATCHED
        monitor.look()
    assert not caplog.records
    assert not list(tmp_path.glob("*.labels"))
    monitor.close()

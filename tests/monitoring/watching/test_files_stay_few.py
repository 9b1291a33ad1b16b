"""Files of counts and labels go when they are of no use: with a version, with a server, and with time."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.monitoring.counting.kit import FORM, TRANSFORM
from tests.monitoring.watching.watched import (
    START,
    Clock,
    Idle,
    columns_of,
    monitor_of,
    rows_of,
    serve,
    totals,
)

from inprocml.monitoring import Monitoring
from inprocml.monitoring.bins import BinCounts, NumberBins
from inprocml.monitoring.counting import Form, Slots
from inprocml.monitoring.quality.core import Quality
from inprocml.monitoring.series import Layout, Series
from inprocml.monitoring.watching import Monitor
from inprocml.monitoring.watching.evaluation import room_for
from inprocml.monitoring.watching.sharing import Shared

ROWS = rows_of(np.random.default_rng(0), 5)
PATIENCE = 20.0


def judged_of(version, clock, folder=None):
    """A monitor of one version that waits for labels."""
    settings = Monitoring(folder=folder)
    return Monitor(
        FORM.layout,
        model="late",
        version=str(version),
        digest=f"{version:064}",
        inputs=TRANSFORM.columns,
        outputs=columns_of,
        settings=settings,
        quality=Quality(settings.judged("classes", ("no", "yes"))),
        prefix=f"p{version}",
        clock=clock,
        wakes=Idle(),
    )


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"inprocml-{os.getuid()}"


def files(folder, kind="counts"):
    return sorted(path.name for path in folder.glob(f"*.{kind}"))


SERVER = """
    import sys, tempfile
    from pathlib import Path
    from tests.monitoring.watching.test_files_stay_few import ROWS, START, Clock, files, judged_of, os, serve

    tempfile.tempdir = sys.argv[1]
    folder, clock = Path(sys.argv[1]) / f"inprocml-{os.getuid()}", Clock(START)
    last = None
    for version in range(40):
        monitor = judged_of(version, clock)
        serve(monitor, ROWS)
        monitor.look()
        if last is not None:
            last.close(retired=True)
        last = monitor
        assert len(files(folder)) == 1, files(folder)
        assert len(files(folder, "labels")) <= 17, files(folder, "labels")
    last.close()
"""


def test_a_server_that_lives_keeps_no_counts_of_versions_that_were_swapped_away(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(tmp_path)]
    subprocess.run(command, env=environment, check=True, timeout=50)
    folder = tmp_path / f"inprocml-{os.getuid()}"
    assert len(files(folder)) == 1, "of the version that serves: another worker may go on"
    assert len(files(folder, "labels")) == 1


def test_counts_of_a_version_stay_while_one_process_serves_it(temporary):
    clock = Clock()
    old = [monitor_of(None, clock) for _ in range(2)]
    for monitor in old:
        serve(monitor, ROWS)
        monitor.look()
    old[0].close(retired=True)
    assert len(files(temporary)) == 1
    assert totals(old[1])[0] == 10
    old[1].close(retired=True)
    assert files(temporary) == []


def test_labels_of_a_version_that_was_swapped_away_still_come_and_stay_where_they_are(temporary):
    clock = Clock()
    first = judged_of(1, clock)
    first.look()
    (path,) = temporary.glob("*.labels")
    first.close(retired=True)
    assert files(temporary) == []
    second = judged_of(2, clock)  # what is swept meanwhile is not those
    second.look()
    assert path.exists()
    first.labelled.close()
    assert not path.exists()
    second.close()


def test_in_a_folder_the_last_versions_stay_and_what_is_in_use(tmp_path):
    clock = Clock()
    serving = monitor_of(tmp_path, clock, digest="serving")
    serving.look()
    (in_use,) = tmp_path.iterdir()
    os.utime(in_use, (1.0, 1.0))
    other = tmp_path / f"{'0' * 36}.counts"  # of another model
    other.write_bytes(b"x" * 100)
    for version in range(12):
        monitor = judged_of(version, clock, tmp_path)
        serve(monitor, ROWS)
        monitor.look()
        monitor.close(retired=True)
        monitor.labelled.close()
        for path in {*tmp_path.iterdir()} - {in_use, other}:
            age = path.stat().st_mtime if path.stat().st_mtime < START else START - 1_000.0 + version
            os.utime(path, (age, age))
    assert in_use.exists()
    assert other.exists()
    mine = files(tmp_path)
    assert len(mine) == 2 + 8
    assert len(files(tmp_path, "labels")) == 8
    kept = [judged_of(version, clock, tmp_path) for version in range(4, 12)]
    assert [totals(each)[0] for each in kept] == [5] * 8, "not the last ones were kept"
    for each in (*kept, serving):
        each.close()


def test_so_many_columns_that_their_file_would_fill_the_disk_are_counted_by_each_process(tmp_path):
    bins = NumberBins(tuple(float(edge) for edge in range(64)))
    series = tuple(Series(f"n{k}", "input", BinCounts(bins, (0,) * bins.size)) for k in range(20_000))
    form = Form(Layout(series))
    with pytest.raises(OSError, match="counts of 20000 columns take"):
        Shared.open(form, folder=tmp_path, name="wide", digest="d", state=room_for(form))
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_others_in_the_folder_stops_nothing(temporary):
    temporary.mkdir(mode=0o700)
    for name in ("x.counts", "x-y.counts", "a-b-c-d-e.counts", "-.counts", "x.labels"):
        (temporary / name).write_bytes(b"x")
    monitor = monitor_of(None, Clock())
    assert totals(monitor)[2] == "host"
    assert len(files(temporary)) == 1
    monitor.close()


HOLDS = """
    import sys
    from pathlib import Path
    from inprocml.monitoring.counting import Slots

    sys.exit(0 if not Slots.found(Path(sys.argv[1])).alone() else 1)
"""


def test_a_sweep_takes_no_lock_from_who_joins_at_the_same_moment(temporary, monkeypatch):
    first = monitor_of(None, Clock())
    first.look()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (used,) = temporary.iterdir()
    left = used.with_name(f"{used.name.split('-')[0]}-1-{dead.pid}-0.counts")
    left.write_bytes(used.read_bytes())
    shape = {"digest": FORM.digest, "record": FORM.size, "state": room_for(FORM), "count": 64}
    joined, came = [], threading.Event()

    def join():
        joined.append(Shared._claimed(left, shape, passing=True))
        came.set()

    held, joins = Slots.held, threading.Thread(target=join)

    def slowly(descriptor):
        joins.start()
        came.wait(0.5)
        return held(descriptor)

    monkeypatch.setattr(Slots, "held", slowly)
    second = monitor_of(None, Clock(), digest="another")
    second.look()
    joins.join(PATIENCE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HOLDS), str(left)], env=environment, timeout=50, check=False
    )
    assert found.returncode == 0, "the sweep closed the file, and with it went the lock"
    joined[0].close()
    for monitor in (first, second):
        monitor.close()

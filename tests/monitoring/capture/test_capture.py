"""Captured rows: drawn, agreed, redacted, whole or not there, and for a while."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.monitoring.counting.kit import TRANSFORM, outputs_of, rows_of
from tests.monitoring.hooks.receiver import until
from tests.monitoring.watching.watched import columns_of

from inprocml import Model, Numeric, Transform
from inprocml.errors import BulkError
from inprocml.monitoring import Capture, Monitoring, captured
from inprocml.monitoring.capture import Recorder, files
from inprocml.monitoring.counting import Seen

ROWS = rows_of(np.random.default_rng(3), 400, new=0.2)
KEY = b"k" * 32


def recorder_of(capture, transform=TRANSFORM, version="1", outputs=columns_of):
    return Recorder(
        capture,
        version=version,
        digest="sha256:" + "d" * 64,
        fields=[field.name for field in transform.schema.fields],
        render=transform.render,
        outputs=outputs,
    )


def seen_of(rows, first=0):
    answered = outputs_of(rows)["probability"]
    return [
        Seen(row, {"probability": answered[place : place + 1]}, f"id-{first + place}")
        for place, row in enumerate(rows)
    ]


def kept(folder, **how):
    return captured(folder, **how).to_pylist()


def test_all_rows_come_back_as_they_were_checked(tmp_path):
    capture = Capture(tmp_path / "deep" / "rows", share=1.0)
    recorder_of(capture).saw(seen_of(ROWS), 123.5)
    capture.flush()
    found = kept(tmp_path / "deep" / "rows")
    wanted = TRANSFORM.render(ROWS, range(len(ROWS)))
    assert [{name: row[name] for name in wanted[0]} for row in found] == wanted
    assert [row["_id"] for row in found] == [f"id-{place}" for place in range(400)]
    assert {(row["_version"], row["_at"], row["_label"]) for row in found} == {("1", 123.5, None)}
    assert [row["_probability[1]"] for row in found] == outputs_of(ROWS)["probability"][:, 1].tolist()
    assert capture.counts["rows"] == 400
    # and training takes them as it took the first ones
    again = TRANSFORM.transform(captured(tmp_path / "deep" / "rows"))
    assert again.tobytes() == TRANSFORM.transform(ROWS).tobytes()


def test_what_is_written_is_its_owners_alone(tmp_path):
    capture = Capture(tmp_path / "rows", share=1.0)
    recorder_of(capture).saw(seen_of(ROWS[:3]), 1.0)
    capture.flush()
    assert stat.S_IMODE((tmp_path / "rows").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "rows").iterdir()] == [0o600]


def test_rows_without_consent_never_reach_the_disk(tmp_path):
    def consent(row):
        if row["zip"] == 10_003:
            raise KeyError("who knows")
        return "yes" if row["zip"] == 10_002 else row["zip"] == 10_001

    capture = Capture(tmp_path, share=1.0, consent=consent)
    recorder_of(capture).saw(seen_of(ROWS), 1.0)
    capture.flush()
    assert {row["zip"] for row in kept(tmp_path)} == {10_001}  # True alone is a yes
    assert capture.counts["rows"] + capture.counts["refused"] == 400


def test_redacted_fields_are_gone_and_hashed_ones_tell_same_from_other(tmp_path):
    capture = Capture(tmp_path, share=1.0, redact=["carrier"], hashed=("zip",), key=KEY)
    recorder_of(capture).saw(seen_of(ROWS), 1.0)
    capture.flush()
    found = kept(tmp_path)
    assert "carrier" not in found[0]
    pairs = {(row["zip"], told["zip"]) for row, told in zip(ROWS, found, strict=True)}
    assert len(pairs) == len({told for _, told in pairs}) == 5
    assert all(len(told) == 64 for _, told in pairs)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"new1" not in content
    assert KEY not in content
    assert "kkkk" not in repr(capture)


def test_a_slip_in_what_to_redact_keeps_nothing(tmp_path, caplog):
    capture = Capture(tmp_path, share=1.0, redact=("carier",))
    with caplog.at_level(logging.WARNING, "inprocml"):
        recorder_of(capture).saw(seen_of(ROWS), 1.0)
    capture.flush()
    assert "carier" in caplog.text
    assert not list(tmp_path.iterdir())


def test_the_sample_has_its_share_and_labels_find_their_rows(tmp_path):
    capture = Capture(tmp_path, share=0.25)
    recorder_of(capture).saw(seen_of(ROWS), 1.0)
    told = [capture.label(f"id-{place}", "late" if place % 2 else "ok") for place in range(400)]
    assert not capture.label("x" * 1000, "late")
    first = [place for place in range(400) if told[place]]
    assert capture.label(f"id-{first[0]}", "changed")
    capture.flush()
    found = kept(tmp_path)
    assert 60 < len(found) < 140
    assert [row["_id"] for row in found] == [f"id-{place}" for place in first]
    assert [row["_label"] for row in found] == ["late" if place % 2 else "ok" for place in first]
    assert (capture.counts["rows"], capture.counts["labels"]) == (len(found), len(found) + 1)


def test_labels_keep_their_types_and_rows_can_be_asked_for(tmp_path):
    capture = Capture(tmp_path, share=1.0)
    recorder_of(capture).saw(seen_of(ROWS[:2]), 100.0)
    capture.flush()
    recorder_of(capture, version="2").saw(seen_of(ROWS[2:4], 2), 200.0)
    assert capture.label("id-1", 7)
    assert not capture.label("id-2", {"no": "label"})
    capture.flush()
    assert [row["_label"] for row in kept(tmp_path)] == [None, 7, None, None]
    assert [row["_id"] for row in kept(tmp_path, version="2")] == ["id-2", "id-3"]
    assert [row["_id"] for row in kept(tmp_path, labelled=True)] == ["id-1"]
    assert [row["_id"] for row in kept(tmp_path, since=150.0)] == ["id-2", "id-3"]
    assert capture.counts["failed"] == 1


def test_an_empty_or_missing_folder_is_an_empty_table(tmp_path):
    assert captured(tmp_path / "none").num_rows == 0
    assert captured(tmp_path, version="1", since=1.0, labelled=True).num_rows == 0


def test_a_row_that_its_owner_broke_costs_no_other(tmp_path):
    capture = Capture(tmp_path, share=1.0)
    recorder_of(capture).saw([*seen_of(ROWS[:5]), Seen({}, {}, "broken"), *seen_of(ROWS[5:9], 5)], 1.0)
    capture.flush()
    assert len(kept(tmp_path)) == 9
    assert capture.counts["failed"] == 1


def test_memory_is_bounded_and_what_has_no_room_is_counted(tmp_path):
    capture = Capture(tmp_path, share=1.0, every=86_400)
    recorder = recorder_of(capture)
    large = Seen({**ROWS[0], "carrier": "x" * 6_000_000}, {"probability": np.zeros((1, 2))}, "a")
    recorder.saw([large] * 10, 1.0)
    assert capture.counts["dropped"] >= 8
    for _ in range(100):
        recorder.saw(seen_of(ROWS), 1.0)
    capture.flush()
    assert until(
        lambda: capture.counts["rows"] + capture.counts["dropped"] + capture.counts["failed"] == 40_010
    )


def test_a_full_disk_is_counted_said_once_and_leaves_no_file(tmp_path, monkeypatch, caplog):
    capture = Capture(tmp_path, share=1.0)
    recorder = recorder_of(capture)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with caplog.at_level(logging.WARNING, "inprocml"):
        for _ in range(3):
            recorder.saw(seen_of(ROWS[:5]), 1.0)
            capture.flush()
    assert capture.counts["failed"] == 15
    assert len(caplog.records) == 1
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    recorder.saw(seen_of(ROWS[:5]), 1.0)
    capture.flush()
    assert len(kept(tmp_path)) == 5


def test_a_line_is_written_in_time_without_being_asked(tmp_path):
    capture = Capture(tmp_path, share=1.0, every=0.05)
    recorder_of(capture).saw(seen_of(ROWS[:5]), 1.0)
    assert until(lambda: capture.counts["rows"] == 5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50)), max_size=12),
    st.integers(1, 60),
    st.integers(1, 300),
)
def test_what_is_too_old_or_too_much_goes_the_oldest_first(tmp_path_factory, made, days, largest):
    folder = tmp_path_factory.mktemp("rows")
    now = 200 * 86_400.0
    for age, size in made:
        files.add(folder, "rows", b"x" * size, now - age * 86_400.0)
    other = folder / "rows-mine.parquet"
    other.write_bytes(b"never touched")
    before = files.files_in(folder)
    deleted = files.tidy(folder, keep_days=days, largest=largest, now=now)
    left = files.files_in(folder)
    assert len(before) - len(left) == deleted
    assert left == before[deleted:]
    assert all(file.at >= now - days * 86_400.0 for file in left)
    assert sum(file.path.stat().st_size for file in left) <= largest
    assert other.exists()


def test_fields_of_other_versions_are_null_and_unlike_types_are_told(tmp_path):
    capture = Capture(tmp_path, share=1.0)
    other = Transform({"delay": Numeric(missing="median"), "wind": Numeric()})
    other.fit([{"delay": 1.0, "wind": 2.0}, {"delay": 2.0, "wind": 3.0}])
    recorder_of(capture).saw(seen_of([{**ROWS[0], "delay": 0.5}, ROWS[1]]), 1.0)
    wide = [Seen({"delay": 1.0, "wind": 9.0}, {"probability": np.zeros((1, 2))}, "w")]
    recorder_of(capture, other, "2").saw(wide, 1.0)
    capture.flush()
    assert sorted(row["wind"] or 0 for row in kept(tmp_path)) == [0, 0, 9.0]
    hidden = Capture(tmp_path, share=1.0, hashed=("delay",), key=KEY)
    recorder_of(hidden).saw(seen_of(ROWS[:50]), 1.0)
    hidden.flush()
    with pytest.raises(BulkError, match="version"):
        captured(tmp_path)


def test_a_file_that_is_damaged_is_named(tmp_path):
    files.add(tmp_path, "rows", b"PAR1 no", time.time())
    with pytest.raises(BulkError, match="rows-.*move it away"):
        captured(tmp_path)


WRITER = """
    import sys, numpy as np
    from tests.monitoring.capture.test_capture import ROWS, Capture, recorder_of, seen_of
    capture = Capture(sys.argv[1], share=1.0, every=0.01)
    recorder, first = recorder_of(capture), 0
    print("ready", flush=True)
    while True:
        recorder.saw(seen_of(ROWS[:50], first), 1.0)
        first += 50
        capture.flush()
"""


def test_a_writer_that_is_killed_leaves_whole_files(tmp_path):
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    for turn in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert process.stdout.readline() == b"ready\n"
        before = len(files.files_in(tmp_path))
        assert until(lambda least=before + 3 + turn: len(files.files_in(tmp_path)) > least)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    whole = captured(tmp_path)
    assert whole.num_rows % 50 == 0
    assert whole.num_rows >= 450
    half = tmp_path / ".tmp-0123456789abcdef"
    half.write_bytes(b"half")
    os.utime(half, (1, 1))
    Capture(tmp_path, share=1.0)._writer()._tidy()
    assert not half.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_writes_its_own_rows_and_none_of_its_parents(tmp_path):
    capture = Capture(tmp_path, share=1.0, every=86_400)
    recorder = recorder_of(capture)
    recorder.saw(seen_of(ROWS[:10]), 1.0)
    child = os.fork()
    if not child:
        recorder.saw(seen_of(ROWS[:3], 100), 1.0)
        capture.flush()
        os._exit(0 if capture.counts["rows"] == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
    capture.flush()
    assert len({row["_id"] for row in kept(tmp_path)}) == 13


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"share": True}, "share"),
        ({"keep_days": float("nan")}, "keep_days"),
        ({"redact": "tailnum"}, "redact"),
        ({"hashed": ("zip",)}, "key"),
        ({"hashed": ("zip",), "key": b"short"}, "key"),
        ({"consent": True}, "consent"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path, how, told):
    with pytest.raises((TypeError, ValueError), match=told):
        Capture(tmp_path, **how)
    with pytest.raises(TypeError, match="capture"):
        Monitoring(capture=how)


def test_nothing_is_imported_or_made_by_declaring_it(tmp_path):
    code = (
        "import sys, inprocml.monitoring as m; m.Capture(sys.argv[1] + '/x'); "
        "assert 'pyarrow' not in sys.modules; import json, os; print(json.dumps(os.listdir(sys.argv[1])))"
    )
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=True)
    assert json.loads(told.stdout) == []


SERVER = """
    import sys
    from inprocml import Model
    from inprocml.monitoring import Capture, Monitoring
    capture = Capture(sys.argv[2], share=1.0)
    model = Model(sys.argv[1], monitoring=Monitoring(capture=capture))
    for amount in range(20):
        prediction = model.predict({"amount": float(amount), "country": "de"})
    print(model.feedback(prediction.id, "fraud"), prediction.id)
"""


def test_a_process_that_ends_at_once_writes_what_it_has_answered_and_heard(store, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(SERVER), str(store), str(tmp_path / "rows")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    found = kept(tmp_path / "rows")
    assert [row["amount"] for row in found] == list(range(20))
    assert [(row["_id"], row["_label"]) for row in found if row["_label"]] == [(told[1], "fraud")]
    assert {row["_version"] for row in found} == {"1"}
    assert all(abs(row["_probability[0]"] + row["_probability[1]"] - 1) < 1e-5 for row in found)


def test_no_label_is_kept_as_of_a_time_before_its_row(store, tmp_path):
    """A label may come before the next look at what was answered; both times are of one clock."""
    capture = Capture(tmp_path / "rows", share=1.0)
    with Model(store, monitoring=Monitoring(capture=capture)) as model:
        began = time.time()
        for amount in range(30):
            prediction = model.predict({"amount": float(amount), "country": "de"})
            if amount % 3:
                model.feedback(prediction.id, "fraud")
        model.quality()
    capture.flush()
    found = kept(tmp_path / "rows")
    assert sum(row["_label"] is not None for row in found) == 20
    assert all(began <= row["_at"] <= time.time() for row in found)
    assert all(row["_at"] <= row["_labelled_at"] for row in found if row["_label"] is not None)

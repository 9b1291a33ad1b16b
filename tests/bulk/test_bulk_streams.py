"""``predict_many`` over iterators and files: the answers of ``predict``, in order, as they are taken."""

from __future__ import annotations

import gc
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Gate, make_rows, wait_for

import inprocml
from inprocml import InvalidRow, Model, Prediction, Refusal

ROWS, _ = make_rows(500, seed=11)


@pytest.fixture(scope="module")
def model(_packed):
    model = Model(_packed / "1", max_batch_size=16)
    yield model
    model.close()


@pytest.fixture(scope="module")
def alone(model):
    return [model.predict(row) for row in ROWS]


def same(answers, alone):
    answers = list(answers)
    assert [a.value for a in answers] == [a.value for a in alone]
    np.testing.assert_allclose([a.probability for a in answers], [a.probability for a in alone], atol=1e-6)
    assert len({a.id for a in answers}) == len(alone)


def frames(rows):
    yield pd.DataFrame(rows[:100])
    yield pl.DataFrame(rows[100:101])
    yield []
    yield pa.Table.from_pylist(rows[101:300])
    yield rows[300:]


class Own:
    """An iterable that is neither a table nor an iterator."""

    def __iter__(self):
        return iter(ROWS)


SOURCES = {
    "iterator of rows": lambda: iter(ROWS),
    "generator of tables": lambda: frames(ROWS),
    "rows and tables": lambda: iter([*ROWS[:7], pd.DataFrame(ROWS[7:90]), *ROWS[90:]]),
    "batches of arrow": lambda: pa.Table.from_pylist(ROWS).to_reader(max_chunksize=33),
    "an iterable of the host's": Own,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_iterators_answer_as_predict(model, alone, source):
    same(model.predict_many(source()), alone)


def written(folder, kind, rows=ROWS):
    table = pa.Table.from_pylist(rows)
    path = folder / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=70)
    elif kind == "csv":
        pyarrow.csv.write_csv(table, path)
    else:
        path.write_text("".join(json.dumps(row | {"label": 1}) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_files_answer_as_predict(model, alone, tmp_path, kind):
    path = written(tmp_path, kind)
    same(model.predict_many(path), alone)
    same(model.predict_many(str(path)), alone)
    same(model.predict_many([path, path]), alone + alone)


def test_a_folder_is_its_files_by_name(model, alone, tmp_path):
    for name, part in (("b", ROWS[200:]), ("a", ROWS[:200]), ("_c", ROWS), (".d", ROWS)):
        pq.write_table(pa.Table.from_pylist(part), tmp_path / f"{name}.parquet")
    (tmp_path / "README.md").write_text("no rows")
    answers = model.predict_many(tmp_path)
    assert answers.total == 500
    same(answers, alone)


def test_columns_that_the_model_does_not_know_are_not_read(model, alone, tmp_path):
    table = pa.Table.from_pylist(ROWS).append_column("huge", [[b"x" * 100] * 500])
    pq.write_table(table, tmp_path / "rows.parquet")
    same(model.predict_many(tmp_path / "rows.parquet"), alone)


def test_a_cell_that_is_no_number_is_told_as_in_a_row(model, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("country,amount,extra\nde,1.5,a\nNA,,b\nfr,much,c\nus,true,d\n")
    answers = list(model.predict_many(path, errors="keep"))
    assert [type(answer) for answer in answers] == [Prediction, Prediction, Refusal, Refusal]
    assert answers[2].issues.keys() == {"amount"}
    assert "much" not in str(answers[2])


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.parquet", b"PAR1 and then nothing", "cannot be read as Parquet"),
        ("rows.csv", b'a,b\n"1', "cannot be read as CSV"),
        ("rows.jsonl", b'{"amount": 1, "country": "de"}\n[1]\n', "line 2"),
        ("rows.xls", b"", "no file of rows known"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(model, tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(inprocml.BulkError, match=told):
        list(model.predict_many(tmp_path / name))


@pytest.mark.parametrize("errors", ["raise", "keep"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("amount;country\n80;us\n", "names none of the model's columns"),
        ("a,b\n1,2\n", "names none of the model's columns"),
        ("amount,country,amount\n80,us,90\n", "names 'amount' twice"),
    ],
)
def test_a_csv_file_with_another_header_loses_no_rows_in_silence(model, tmp_path, content, told, errors):
    path = tmp_path / "rows.csv"
    path.write_text(content)
    with pytest.raises(inprocml.BulkError, match=told):
        list(model.predict_many(path, errors=errors))


def test_a_folder_called_like_a_file_is_told(model, tmp_path):
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(inprocml.BulkError, match="cannot be read"):
        list(model.predict_many(tmp_path))


@pytest.mark.parametrize("extra", ["a note", 5, [1, 2, 3], None])
def test_what_is_no_column_of_the_model_changes_nothing(model, extra):
    table = {"amount": [80.0, "x"], "country": ["us", "us"], "extra": extra}
    good, bad = model.predict_many(table, errors="keep")
    assert good.value == "fraud"
    assert set(bad.issues) == {"amount"}


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "folder", "s3://bucket/rows.parquet"])
def test_a_file_that_is_not_there_is_told_at_the_call(model, tmp_path, name):
    (tmp_path / "folder").mkdir()
    path = name if "://" in name else tmp_path / name
    with pytest.raises(inprocml.BulkError):
        model.predict_many(path)


@pytest.mark.parametrize("source", [5, None, object()])
def test_what_holds_no_rows_is_a_type_error(model, source):
    with pytest.raises(TypeError, match="predict_many takes"):
        model.predict_many(source)


def test_arguments_that_cannot_be(model):
    with pytest.raises(ValueError, match="errors must be"):
        model.predict_many([], errors="ignore")
    with pytest.raises(ValueError, match="give to="):
        model.predict_many([], key="id")


# --- how much is read, and when ------------------------------------------------------------------------


class Counted:
    """A generator of rows that says how many were taken and whether it was closed."""

    def __init__(self, fails_at=None):
        self.taken, self.closed, self.fails_at = 0, False, fails_at

    def rows(self):
        try:
            while True:
                if self.taken == self.fails_at:
                    raise OSError("the database is gone")
                self.taken += 1
                yield ROWS[self.taken % 500]
        finally:
            self.closed = True


def test_it_reads_on_only_as_answers_are_taken(model):
    source = Counted()
    answers = model.predict_many(source.rows())
    assert source.taken == 0
    for taken in range(1, 20_000):
        next(answers)
        assert source.taken <= taken + 3 * 4096
    before = source.taken
    threading.Event().wait(0.05)
    assert source.taken == before
    answers.close()


@pytest.mark.parametrize("end", ["close", "drop", "with", "fail"])
def test_an_early_end_closes_the_generator_and_frees_the_version(model, end):
    source = Counted()
    answers = model.predict_many(source.rows())
    next(answers)
    if end == "close":
        answers.close()
        answers.close()
    elif end == "drop":
        del answers
        gc.collect()
    elif end == "with":
        with answers:
            next(answers)
    else:
        answers = model.predict_many(iter([*ROWS[:3], {"amount": "x"}]))
        with pytest.raises(InvalidRow):
            list(answers)
        source.closed = True
    assert source.closed
    servable = model._servable(model._process())
    assert servable.leases._streams == 0
    beside = [t for t in threading.enumerate() if t.name.startswith("inprocml-bulk")]
    if end == "drop":  # nobody waited for it
        wait_for(lambda: not any(t.is_alive() for t in beside))
    else:
        assert not beside
    if end == "close":
        with pytest.raises(StopIteration):
            next(answers)


@pytest.mark.parametrize("fails_at", [0, 1, 15, 16, 17, 100])
def test_what_a_generator_raises_comes_after_the_answers_before_it(model, alone, fails_at):
    source = Counted(fails_at)
    answers = model.predict_many(source.rows())
    for _ in range(fails_at):
        next(answers)
    with pytest.raises(OSError, match="the database is gone"):
        next(answers)
    assert source.closed


def test_rows_that_come_slowly_are_answered_as_they_come(model):
    asked = threading.Event()

    def slowly():
        yield ROWS[0]
        for row in ROWS[1:4]:
            threading.Event().wait(0.15)  # longer than a row waits for company
            yield row
        assert asked.wait(20), "the answers to the rows before were held back"
        yield ROWS[4]

    answers = model.predict_many(slowly())
    for _ in range(4):
        next(answers)
    asked.set()
    assert len(list(answers)) == 1


def test_a_stream_lasts_no_longer_than_its_timeout(model):
    endless = (row for _ in iter(int, 1) for row in ROWS)
    with pytest.raises(inprocml.DeadlineExceeded):
        for _ in model.predict_many(endless, timeout=0.2):
            pass


# --- rows that are refused -----------------------------------------------------------------------------


def spoilt(bad):
    return [row | {"amount": "x"} if place in bad else row for place, row in enumerate(ROWS[:300])]


@given(
    st.sets(st.integers(0, 299), min_size=1, max_size=300), st.sampled_from(["list", "iterator", "frames"])
)
def test_errors_keep_answers_every_good_row_and_tells_every_bad_one(model, alone, bad, kind):
    rows = spoilt(bad)
    source = {"list": rows, "iterator": iter(rows), "frames": iter([rows[:77], rows[77:]])}[kind]
    answers = list(model.predict_many(source, errors="keep"))
    assert len(answers) == 300
    for place, answer in enumerate(answers):
        if place in bad:
            assert isinstance(answer, Refusal)
            assert (answer.row, answer.value, answer.probabilities, answer.id) == (place, None, None, None)
            assert answer.issues == {"amount": "must be a number, not str"}
        else:
            assert answer.value == alone[place].value
    again = iter(spoilt(bad))
    with pytest.raises(InvalidRow) as caught:
        list(model.predict_many(again))
    assert caught.value.row == min(bad)
    assert caught.value.issues == {"amount": "must be a number, not str"}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.Table.from_pylist])
def test_frames_with_bad_rows(model, make):
    rows = [
        row | {"amount": float("inf") if place in {3, 200} else row["amount"]}
        for place, row in enumerate(ROWS)
    ]
    kept = list(model.predict_many(make(rows), errors="keep"))
    assert [place for place, answer in enumerate(kept) if isinstance(answer, Refusal)] == [3, 200]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert [type(a) for a in model.predict_many(columns, errors="keep")] == [type(a) for a in kept]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.Table.from_pylist])
def test_a_column_that_is_not_there_is_no_matter_of_single_rows(model, make):
    table = make([{"amount": 1.0}] * 5)
    with pytest.raises(InvalidRow, match="no column of this name"):
        list(model.predict_many(table, errors="keep"))


# --- versions and processes ----------------------------------------------------------------------------


def test_one_version_answers_a_whole_stream_and_is_freed_after_it(store, add_version):
    model = Model(store, poll_interval=0.02, max_batch_size=16)
    endless = (row for _ in iter(int, 1) for row in ROWS)
    answers = model.predict_many(endless)
    old = model._servable(model._process())
    assert next(answers).version == answers.version == "1"
    add_version()
    wait_for(lambda: model.version == "2")
    assert {next(answers).version for _ in range(5000)} == {"1"}
    assert not old.runner._core.queue.draining
    answers.close()
    assert old.runner._core.queue.draining, "nobody reads from it: it is freed"
    assert model.predict(ROWS[0]).version == "2"
    model.close()


def test_a_model_that_is_closed_ends_its_streams(store):
    model = Model(store, max_batch_size=16)
    answers = model.predict_many(row for _ in iter(int, 1) for row in ROWS)
    next(answers)
    model.close()  # at once, though the stream is nowhere near its end
    with pytest.raises(inprocml.NotReady, match="was closed"):
        for _ in answers:
            pass
    with pytest.raises(inprocml.NotReady):
        model.predict_many(iter(ROWS))


def test_requests_are_answered_while_a_stream_waits_for_the_device(store):
    gate = Gate()
    model = Model(store, backend=gate, max_batch_size=4)
    with ThreadPoolExecutor(2) as pool:
        many = pool.submit(lambda: len(list(model.predict_many(iter(ROWS)))))
        ones = [pool.submit(model.predict, row) for row in ROWS[:50]]
        assert many.result(timeout=50) == 500
        assert all(one.result(timeout=50) for one in ones)
    model.close()


def test_a_child_does_not_go_on_with_its_parents_stream(model):
    answers = model.predict_many(iter(ROWS))
    next(answers)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            next(answers)
        except inprocml.NotReady:
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(answers)) == 499

"""``predict_many(..., to=)``: every row once, in order, by one version; interrupted, it goes on."""

from __future__ import annotations

import errno
import json
import os
import shutil

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import make_rows, pack_small

import inprocml
from inprocml import BulkError, CannotResume, InvalidRow, Model
from inprocml.backends import open_backend
from inprocml.bulk import Parts
from inprocml.values import Written

ROWS, _ = make_rows(500, seed=12)


@pytest.fixture(scope="module")
def model(_packed):
    model = Model(_packed / "1", max_batch_size=16)
    yield model
    model.close()


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr("inprocml.bulk.parts.PART_ROWS", 64)
    monkeypatch.setattr("inprocml.bulk.parts.GROUP_ROWS", 150)


@pytest.fixture
def rows(tmp_path):
    """A Parquet file of the rows, with a key."""
    table = pa.Table.from_pylist([row | {"user": f"u{place}"} for place, row in enumerate(ROWS)])
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=90)
    return tmp_path / "rows.parquet"


def read(path, model, count=500):
    """The answers, after a look whether they are those of ``predict``."""
    frame = pd.read_parquet(path)
    assert len(frame) == count
    alone = [model.predict(row) for row in ROWS[:count]]
    assert frame["value"].tolist() == [answer.value for answer in alone]
    np.testing.assert_allclose(frame["probability"], [answer.probability for answer in alone], atol=1e-6)
    assert frame["prediction_id"].is_unique
    return frame


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_answers_beside_the_row_number(model, rows, tmp_path):
    done = model.predict_many(rows, to=tmp_path / "out.parquet")
    assert isinstance(done, Written)
    assert (done.rows, done.answered, done.refused, done.version) == (500, 500, 0, "1")
    assert done.rows_per_second > 0
    frame = read(done.path, model)
    assert frame.columns.tolist() == [
        "row",
        "value",
        "probability",
        "probabilities",
        "version",
        "prediction_id",
    ]
    assert frame["row"].tolist() == list(range(500))
    assert set(frame["version"]) == {"1"}
    shares = frame["probabilities"][0]
    assert shares[frame["value"][0]] == frame["probability"][0]
    assert sum(shares.values()) == pytest.approx(1)
    assert pq.ParquetFile(done.path).metadata.num_row_groups == 4
    assert left(tmp_path) == []


SOURCES = {
    "file": lambda rows: rows,
    "frame": pd.read_parquet,
    "polars": pl.read_parquet,
    "columns": lambda rows: pq.read_table(rows).to_pydict(),
    "rows": lambda rows: pq.read_table(rows).to_pylist(),
    "iterator": lambda rows: iter(pq.read_table(rows).to_pylist()),
    "iterator of frames": lambda rows: iter([pd.read_parquet(rows)[:300], pd.read_parquet(rows)[300:]]),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_answers_beside_a_key(model, rows, tmp_path, source):
    done = model.predict_many(source(rows), to=tmp_path / "out.parquet", key="user")
    assert read(done.path, model)["user"].tolist() == [f"u{place}" for place in range(500)]


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_key_that_is_not_there(model, rows, tmp_path, source):
    with pytest.raises(BulkError, match="key= names"):
        model.predict_many(source(rows), to=tmp_path / "out.parquet", key="nobody")


@pytest.mark.parametrize("errors", ["raise", "keep"])
def test_a_parquet_file_without_any_column_of_the_model_is_refused(model, tmp_path, errors):
    pd.DataFrame({"user": ["u1", "u2"]}).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(InvalidRow, match="no column of this name"):
        model.predict_many(tmp_path / "rows.parquet", to=tmp_path / "out.parquet", errors=errors)
    assert not (tmp_path / "out.parquet").exists()


def test_answers_are_not_written_under_the_name_of_another_kind_of_file(model, tmp_path):
    with pytest.raises(ValueError, match="name it .parquet"):
        model.predict_many(ROWS, to=tmp_path / "answers.csv")
    assert left(tmp_path) == []


def test_a_key_may_be_a_field(model, tmp_path):
    done = model.predict_many(iter(ROWS), to=tmp_path / "out.parquet", key="country")
    assert read(done.path, model)["country"].tolist() == [row["country"] for row in ROWS]


def test_a_key_called_like_an_answer_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="rename that column"):
        model.predict_many(ROWS, to=tmp_path / "out.parquet", key="value")


def test_a_key_of_several_types_is_refused(model, tmp_path):
    mixed = (row | {"user": place if place < 90 else "x"} for place, row in enumerate(ROWS))
    with pytest.raises(BulkError, match="'user'"):
        model.predict_many(mixed, to=tmp_path / "out.parquet", key="user")


@pytest.mark.parametrize("values", [["a", 1], [1, 10**400]], ids=["text, then a number", "too large"])
def test_a_key_that_no_column_holds_is_refused(model, tmp_path, values):
    mixed = [row | {"user": values[place >= 90]} for place, row in enumerate(ROWS)]
    with pytest.raises(BulkError, match="'user'"):
        model.predict_many(iter([mixed[:90], mixed[90:]]), to=tmp_path / "out.parquet", key="user")


def test_a_key_without_values_at_first_is_text(model, tmp_path):
    rows = (row | {"user": None if place < 90 else "x"} for place, row in enumerate(ROWS))
    done = model.predict_many(rows, to=tmp_path / "out.parquet", key="user")
    assert read(done.path, model)["user"].isna().tolist() == [True] * 90 + [False] * 410


@pytest.mark.parametrize("key", [[1], [1, 2, 3], iter([1, 2])])
def test_a_key_of_another_length_is_refused(model, tmp_path, key):
    table = {"amount": [80.0, 1.0], "country": ["us", "de"], "user": key}
    with pytest.raises(BulkError, match="2 rows"):
        model.predict_many(table, to=tmp_path / "out.parquet", key="user")


def test_refusals_are_kept_in_their_places(model, tmp_path):
    rows = [row | ({"amount": "x"} if place % 7 == 3 else {}) for place, row in enumerate(ROWS)]
    done = model.predict_many(iter(rows), to=tmp_path / "out.parquet", errors="keep")
    table = pq.read_table(done.path).to_pylist()
    assert [place for place, answer in enumerate(table) if answer["value"] is None] == list(range(3, 500, 7))
    assert done.refused == len(range(3, 500, 7))
    assert json.loads(table[3]["issues"]) == {"amount": "must be a number, not str"}
    assert (table[3]["probability"], table[3]["probabilities"], table[3]["prediction_id"]) == (None,) * 3
    assert table[4]["issues"] is None
    assert table[4]["value"] == model.predict(ROWS[4]).value
    again = model.predict_many(
        [{"amount": "x", "country": "de"}] * 3, to=tmp_path / "bad.parquet", errors="keep"
    )
    assert (again.rows, again.refused) == (3, 3)


def test_no_rows_are_a_file_without_rows(model, tmp_path):
    done = model.predict_many([], to=tmp_path / "out.parquet", errors="keep")
    assert (done.rows, done.rows_per_second) == (0, 0.0)
    assert pq.read_table(done.path).num_rows == 0


def test_a_regression(tmp_path):
    from sklearn.linear_model import LinearRegression

    from inprocml import Numeric, Regression, Transform

    rows = [{"x": float(x)} for x in range(100)]
    transform = Transform({"x": Numeric()})
    estimator = LinearRegression().fit(transform.fit_transform(rows), np.arange(100.0))
    inprocml.pack(tmp_path / "m", transform=transform, model=estimator, output=Regression(), baseline=rows)
    with Model(tmp_path / "m") as model:
        done = model.predict_many(rows, to=tmp_path / "out.parquet")
        frame = pd.read_parquet(done.path)
        assert frame.columns.tolist() == ["row", "value", "version", "prediction_id"]
        assert frame["value"].tolist() == [answer.value for answer in model.predict_many(rows)]


class Wrong:
    """The real model, which goes wrong at row 100 of those after ``begin``."""

    name, device = "wrong", "cpu"

    def __call__(self, bundle):
        self.real, self.rows, self.tensor = open_backend("onnx", bundle.model), None, bundle.output.tensor
        return self

    def run(self, inputs):
        outputs = {name: array.copy() for name, array in self.real.run(inputs).items()}
        count = len(outputs[self.tensor])
        if self.rows is not None and self.rows <= 100 < self.rows + count:
            outputs[self.tensor][100 - self.rows] = np.nan
        self.rows = None if self.rows is None else self.rows + count
        return outputs

    def close(self):
        self.real.close()


def test_an_answer_that_is_no_number_is_never_written(store, tmp_path):
    wrong = Wrong()
    with Model(store, backend=wrong, max_batch_size=16) as model:
        assert model.version == "1"
        wrong.rows = 0
        with pytest.raises(inprocml.BackendFailed, match="among the rows from"):
            model.predict_many(ROWS, to=tmp_path / "out.parquet")
        assert not (tmp_path / "out.parquet").exists()
        assert 0 < safe(tmp_path / "out.parquet") <= 100
        wrong.rows = None
        model.predict_many(ROWS, to=tmp_path / "out.parquet")
        read(tmp_path / "out.parquet", model)


# --- interrupted, and again ----------------------------------------------------------------------------


def broken_off(model, path, **options):
    """Answer some of 450 rows into ``path`` and be interrupted; the source is a generator."""

    def rows():
        yield from ROWS[:450]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.predict_many(rows(), to=path, **options)
    assert not path.exists()
    return safe(path)


def safe(path):
    parts = path.parent / f".{path.name}.parts"
    return sum(pq.read_metadata(part).num_rows for part in parts.glob("*.parquet"))


@given(st.integers(0, 499))
def test_an_error_in_the_middle_costs_no_answer(model, tmp_path_factory, fails_at):
    path = tmp_path_factory.mktemp("out") / "out.parquet"

    def rows():
        yield from ROWS[:fails_at]
        raise OSError("the database is gone")

    with pytest.raises(OSError, match="the database"):
        model.predict_many(rows(), to=path)
    assert safe(path) == fails_at
    done = model.predict_many(iter(ROWS), to=path)
    assert (done.rows, done.answered) == (500, 500 - fails_at)
    read(path, model)
    shutil.rmtree(path.parent)


def test_done_is_done(model, rows, tmp_path):
    first = model.predict_many(rows, to=tmp_path / "out.parquet")
    again = model.predict_many(rows, to=tmp_path / "out.parquet")
    assert (again.rows, again.answered, again.version) == (500, 0, "1")
    assert read(first.path, model)["row"].tolist() == list(range(500))


def test_nothing_is_written_over(model, rows, tmp_path):
    (tmp_path / "out.parquet").write_text("precious")
    with pytest.raises(BulkError, match="is there already"):
        model.predict_many(rows, to=tmp_path / "out.parquet")
    model.predict_many(rows, to=tmp_path / "other.parquet")
    with pytest.raises(BulkError, match="is there already"):  # nobody can tell what an iterator held
        model.predict_many(iter(ROWS), to=tmp_path / "other.parquet")
    with pytest.raises(CannotResume, match="other arguments"):
        model.predict_many(rows, to=tmp_path / "other.parquet", errors="keep")
    assert (tmp_path / "out.parquet").read_text() == "precious"


def half(model, rows, path, monkeypatch):
    """Answer a file until the disk is full."""
    real, calls = os.write, []

    def write(descriptor, content):
        calls.append(1)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(BulkError, match="No space left"):
            model.predict_many(rows, to=path)
    assert 0 < safe(path) < 500


def test_a_full_disk_keeps_what_is_answered(model, rows, tmp_path, monkeypatch):
    path = tmp_path / "out.parquet"
    half(model, rows, path, monkeypatch)
    before = safe(path)
    assert model.predict_many(rows, to=path).answered == 500 - before
    assert read(path, model)["row"].tolist() == list(range(500))
    assert left(tmp_path) == []


def touch(rows):
    os.utime(rows, ns=(1, 1))


def rewrite(rows):
    pq.write_table(pq.read_table(rows).slice(0, 499), rows)


@pytest.mark.parametrize("change", [touch, rewrite])
def test_another_input_is_not_gone_on_with(model, rows, tmp_path, monkeypatch, change):
    half(model, rows, tmp_path / "out.parquet", monkeypatch)
    change(rows)
    with pytest.raises(CannotResume, match="another input"):
        model.predict_many(rows, to=tmp_path / "out.parquet")


def test_an_iterator_with_another_first_row_is_not_gone_on_with(model, tmp_path):
    path = tmp_path / "out.parquet"
    assert broken_off(model, path) > 0
    with pytest.raises(CannotResume, match="another input"):
        model.predict_many(iter(ROWS[1:]), to=path)
    with pytest.raises(CannotResume, match="other arguments"):
        model.predict_many(iter(ROWS), to=path, errors="keep")
    assert model.predict_many(iter(ROWS), to=path).answered < 500
    read(path, model)


def test_an_input_that_changes_while_it_is_read_makes_no_file(model, rows, tmp_path, monkeypatch):
    real = pq.ParquetFile.iter_batches

    def batches(file, *arguments, **more):
        yield from real(file, *arguments, **more)
        touch(rows)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", batches)
    with pytest.raises(BulkError, match="while it was read"):
        model.predict_many(rows, to=tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_the_version_that_began_goes_on(store, add_version, tmp_path):
    path = tmp_path / "out.parquet"
    with Model(store, max_batch_size=16) as model:
        broken_off(model, path)
        add_version()
        model.reload()
        assert model.predict_many(iter(ROWS), to=path).version == "1"
        assert model.version == "2"
    with Model(store / "1") as first:
        assert set(read(path, first)["version"]) == {"1"}


@pytest.mark.parametrize("fate", ["gone", "another"])
def test_a_version_that_is_gone_cannot_go_on(store, add_version, tmp_path, fate):
    path = tmp_path / "out.parquet"
    with Model(store, max_batch_size=16) as model:
        broken_off(model, path)
        add_version()
        model.reload()
        shutil.rmtree(store / "1")
        if fate == "another":
            pack_small(tmp_path / "elsewhere", seed=5)
            (tmp_path / "elsewhere" / "1").rename(store / "1")
        with pytest.raises(CannotResume, match="begun with version 1"):
            model.predict_many(iter(ROWS), to=path)


@pytest.mark.parametrize("version", ["../../etc", "", 5, None, "x" * 500])
def test_a_note_that_was_tampered_with_opens_nothing(model, tmp_path, version):
    path = tmp_path / "out.parquet"
    broken_off(model, path)
    note = tmp_path / ".out.parquet.parts" / "run.json"
    document = json.loads(note.read_text())
    document["model"] = {"version": version, "digest": document["model"]["digest"]}
    note.write_text(json.dumps(document))
    with pytest.raises(CannotResume):
        model.predict_many(iter(ROWS), to=path)


@pytest.mark.parametrize("harm", ["note", "first", "torn"])
def test_parts_that_were_harmed_are_told(model, tmp_path, harm):
    path = tmp_path / "out.parquet"
    broken_off(model, path)
    parts = sorted((tmp_path / ".out.parquet.parts").glob("*.parquet"))
    if harm == "note":
        (tmp_path / ".out.parquet.parts" / "run.json").write_text("[]")
    elif harm == "first":
        parts[0].unlink()
    else:
        parts[-1].write_bytes(parts[-1].read_bytes()[:-7])
    with pytest.raises(CannotResume, match="Delete this folder"):
        model.predict_many(iter(ROWS), to=path)


def test_two_writers_at_once_are_told(model, tmp_path):
    path = tmp_path / "out.parquet"

    def rows():
        for place, row in enumerate(ROWS):
            if place == 200:
                model.predict_many(iter(ROWS[:300]), to=path)  # somebody else, who comes to an end first
            yield row

    with pytest.raises(BulkError):
        model.predict_many(rows(), to=path)
    read(path, model, 300)


@pytest.mark.parametrize("change", [{"model": None}, {"model": {}}, {"refused": None}, {"refused": "many"}])
def test_a_file_whose_note_was_tampered_with_is_told(model, rows, tmp_path, change):
    path = model.predict_many(rows, to=tmp_path / "out.parquet").path
    table = pq.read_table(path)
    note = json.loads(table.schema.metadata[b"inprocml"]) | change
    pq.write_table(table.replace_schema_metadata({"inprocml": json.dumps(note)}), path)
    with pytest.raises(BulkError, match="is there already"):
        model.predict_many(rows, to=path)


def test_large_answers_make_small_parts_and_groups(model, tmp_path, monkeypatch):
    monkeypatch.setattr("inprocml.bulk.parts.PART_ROWS", 10**6)
    monkeypatch.setattr("inprocml.bulk.parts.PART_BYTES", 4000)
    sizes = []
    flush = Parts.flush

    def flushed(parts):
        sizes.append(sum(table.nbytes for table in parts._waiting))
        flush(parts)

    monkeypatch.setattr(Parts, "flush", flushed)
    done = model.predict_many(
        iter([ROWS[at : at + 20] for at in range(0, 500, 20)]), to=tmp_path / "out.parquet"
    )
    frame = read(done.path, model)
    assert frame["row"].tolist() == list(range(500))
    assert len(sizes) > 5
    assert max(sizes) < 8000
    metadata = pq.ParquetFile(done.path).metadata
    rows = [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]
    assert sum(rows) == 500
    assert max(rows) < 200


def test_of_two_that_begin_at_once_one_is_told(model, tmp_path, monkeypatch):
    path = tmp_path / "out.parquet"
    begin = Parts.begin

    def second(parts, note):
        monkeypatch.setattr(Parts, "begin", begin)
        with pytest.raises(OSError, match="killed"):
            model.predict_many(killed(), to=path)  # somebody else, who has begun since this one looked
        begin(parts, note)

    def killed():
        yield from ROWS[100:300]
        raise OSError("killed")

    monkeypatch.setattr(Parts, "begin", second)
    with pytest.raises(BulkError, match="made by somebody else"):
        model.predict_many(iter(ROWS), to=path)
    monkeypatch.undo()
    done = model.predict_many(iter(ROWS[100:300]), to=path)
    assert (done.rows, left(tmp_path)) == (200, [])
    assert done.answered < 200  # it went on


def test_nothing_is_written_over_where_there_are_no_links(model, tmp_path, monkeypatch):
    path = tmp_path / "out.parquet"

    def no_links(*_):
        raise OSError(errno.EPERM, "no links here")

    def rows():
        yield from ROWS
        path.write_bytes(b"of somebody else")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(BulkError, match="made by somebody else"):
        model.predict_many(rows(), to=path)
    assert path.read_bytes() == b"of somebody else"


def test_a_folder_that_may_not_be_written_to(model, tmp_path):
    with pytest.raises(BulkError, match="cannot be written"):
        model.predict_many(ROWS, to=tmp_path / "nowhere" / "out.parquet")

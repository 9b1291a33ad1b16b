"""``inprocml predict``: files of rows in, a file of answers out."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from tests.conftest import make_rows

from inprocml import Model, Store
from inprocml.cli import main


@pytest.fixture
def rows(tmp_path):
    frame = pd.DataFrame(make_rows(50, seed=4)[0]).assign(user=[f"u{place}" for place in range(50)])
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.parquet"


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = main(["predict", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_a_file_is_answered_and_an_answered_one_left_alone(run, store, rows, tmp_path):
    out = tmp_path / "out.parquet"
    code, printed, err = run(store, rows, "--to", out, "--key-column", "user")
    assert (code, err) == (0, "")
    assert f"{out}: 50 rows, by version 1 at " in printed
    frame = pd.read_parquet(out)
    assert frame["user"].tolist() == [f"u{place}" for place in range(50)]
    with Model(store) as model:
        alone = [answer.value for answer in model.predict_many(make_rows(50, seed=4)[0])]
    assert frame["value"].tolist() == alone
    _, printed, _ = run(store, rows, "--to", out, "--key-column", "user")
    assert printed == f"{out}: 50 rows, 50 of them earlier, by version 1\n"


def test_several_files_and_a_version_by_alias(run, store, rows, add_version, tmp_path):
    add_version()
    Store(store).promote("1")
    arguments = (f"{store}@production", rows, rows, "--to", tmp_path / "out.parquet", "--json")
    code, printed, _ = run(*arguments)
    assert code == 0
    told = json.loads(printed)
    assert (told["rows"], told["version"], told["refused"]) == (100, "1", 0)


def test_a_refused_row_is_an_error_or_kept(run, store, tmp_path):
    (tmp_path / "rows.csv").write_text("amount,country\n1,de\nmuch,de\n")
    code, out, err = run(store, tmp_path / "rows.csv", "--to", tmp_path / "a.parquet")
    assert (code, out) == (1, "")
    assert "row 1 refused: amount" in err
    code, out, _ = run(store, tmp_path / "rows.csv", "--to", tmp_path / "b.parquet", "--keep-refused")
    assert code == 0
    assert "2 rows, 1 refused, by version 1" in out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["{store}", "nowhere.parquet", "--to", "{out}"], 1, "no such file"),
        (["{store}@9", "{rows}", "--to", "{out}"], 1, "no version"),
        (["{store}", "{rows}", "--to", "{rows}"], 1, "is there already"),
        (["{store}", "{rows}", "--to", "{out}", "--key-column", "who"], 1, "no column 'who'"),
        (["{store}", "{rows}", "--to", "{out}", "--batch-size", "0"], 2, "max_batch_size"),
    ],
)
def test_what_cannot_be_is_one_line(run, store, rows, tmp_path, arguments, code, told):
    names = {"store": store, "rows": rows, "out": tmp_path / "out.parquet"}
    got, out, err = run(*[argument.format(**names) for argument in arguments])
    assert (got, out) == (code, "")
    assert told in err
    assert err.count("\n") == 1

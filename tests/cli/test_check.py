"""``inprocml check`` as a pipeline runs it: a table out, 0 or 1."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from tests.conftest import make_rows, pack_small

from inprocml import Store
from inprocml.cli import main


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = main([str(argument) for argument in ("check", *arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def two(store, tmp_path):
    """A store with a sound version 1 and a worse version 2, and a file of labelled rows."""
    pack_small(store, seed=200)
    rows, labels = make_rows(300, seed=9)
    frame = pd.DataFrame(rows).assign(truth=[("ok", "fraud")[label] for label in labels])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    Store(store).promote("1")
    return store, tmp_path / "rows.csv"


def test_a_worse_version_is_1_and_the_table_says_why(run, two):
    store, rows = two
    code, out, err = run(store / "2", "--against", f"{store}@production", "--data", rows, "--label", "truth")
    assert (code, err) == (1, "")
    assert "accuracy" in out
    assert "FAILED" in out.splitlines()[-1]


def test_the_other_way_round_is_0(run, two):
    store, rows = two
    code, out, _ = run(
        f"{store}@1", "--against", store / "2", "--data", rows, "--label", "truth", "--latency", 9
    )
    assert code == 0
    assert out.splitlines()[-1] == "passed"


def test_limits_decide(run, two):
    store, rows = two
    limits = [f"--limit={name}=1" for name in ("accuracy", "auc", "f1", "log_loss")]
    arguments = (store / "2", "--against", store / "1", "--data", rows, "--label", "truth", "--latency", 9)
    assert run(*arguments, *limits)[0] == 0
    assert run(*arguments, *limits, "--disagreement", "0.0")[0] == 1


def test_machines_get_json(run, two):
    store, _ = two
    code, out, _ = run(store / "2", "--against", store / "1", "--json", "--size", "0.1")
    report = json.loads(out)
    assert code == 1
    assert report["passed"] is False
    assert [check["what"] for check in report["checks"] if check["passed"] is False] == ["size"]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--limit", "auc"], 2, "METRIC=AMOUNT"),
        (["--limit", "auc=-1"], 2, "no number of 0 or more"),
        (["--limit", "auc=x"], 2, "give METRIC=AMOUNT, such as auc=0.005"),
        (["--label", "truth"], 2, "give both"),
        (["--data", "nowhere.csv"], 1, "nowhere.csv"),
        (["--require-signature"], 2, "trusted_keys"),
    ],
)
def test_what_cannot_be_understood_or_read_says_so(run, two, arguments, code, complaint):
    store, _ = two
    found, _, err = run(store / "2", "--against", store / "1", *arguments)
    assert found == code
    assert complaint in err
    assert len(err.splitlines()) == 1


def test_a_damaged_version_is_1_in_one_sentence(run, two):
    store, _ = two
    model = store / "2" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    code, _, err = run(store / "2", "--against", store / "1")
    assert code == 1
    assert "model.onnx" in err
    assert "Traceback" not in err


def test_a_version_that_is_not_there_is_1(run, two):
    store, _ = two
    code, _, err = run(f"{store}@17", "--against", store / "1")
    assert code == 1
    assert "17" in err


def test_a_file_without_rows_is_1(run, two):
    store, rows = two
    rows.write_text(rows.read_text().splitlines()[0] + "\n")
    code, out, err = run(store / "2", "--against", store / "1", "--data", rows, "--label", "truth")
    assert (code, out) == (1, "")
    assert "rows.csv holds no rows" in err


def test_a_misspelt_label_names_its_column(run, two):
    store, rows = two
    rows.write_text(rows.read_text().replace("fraud", "Fraud"))
    code, _, err = run(store / "2", "--against", store / "1", "--data", rows, "--label", "truth")
    assert code == 1
    assert "the label 'Fraud' of row" in err
    assert "in column 'truth'" in err

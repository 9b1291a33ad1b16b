"""``inprocml bench`` and ``inprocml doctor`` on a real bundle."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET

import pytest

from inprocml import Store
from inprocml.cli import main


def test_bench_reports_and_draws(run, store, tmp_path):
    drawing = tmp_path / "load.svg"
    code, out, err = run(
        "bench", store / "1", "--slo-ms", 10_000, "--rate", 20, "--seconds", 1, "--svg", drawing
    )
    assert (code, err) == (0, "")
    for told in ("best batch:", "closed loop", "latency against load", "use: max_batch_size=", "holds up to"):
        assert told in out
    assert ET.fromstring(drawing.read_text("utf-8")).tag.endswith("svg")


def test_bench_for_machines(run, store):
    code, out, _ = run("bench", store, "--version", "1", "--seconds", 1, "--max-batch-size", 4, "--json")
    report = json.loads(out)
    assert code == (0 if report["met"] else 1)
    assert [size["rows"] for size in report["measured"]["sizes"]] == [1, 2, 4]
    assert [point["load"] for point in report["points"]] == ["closed loop", "10%", "50%", "90%"]


def test_bench_of_a_store_takes_its_newest_version(run, store, add_version):
    add_version()
    Store(store).promote("1")
    _, out, _ = run("bench", store, "--seconds", 0.5, "--json")
    newest = Store(store).versions(order_by="created")[0].name
    assert json.loads(out)["measured"]["name"] == f"fraud {newest}"
    _, out, _ = run("bench", f"{store}@production", "--seconds", 0.5, "--json")
    assert json.loads(out)["measured"]["name"] == "fraud 1"


def test_an_objective_out_of_reach_is_1_and_says_what_is_needed(run, store):
    code, out, _ = run("bench", store / "1", "--slo-ms", 0.001, "--rate", 10, "--seconds", 0.5)
    assert code == 1
    assert "NOT MET" in out


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--percentile", "100"], 2, "percentile is 100.0"),
        (["--device", "abacus"], 2, "abacus"),
        (["--svg", "nowhere/x.svg"], 2, "give a file in a folder that is there"),
        (["--version", "7"], 1, "'7'"),
        (["--require-signature"], 2, "trusted_keys"),
    ],
)
def test_what_cannot_be_done_says_so_in_a_line(run, store, arguments, code, complaint):
    found, out, err = run("bench", store, *arguments)
    assert (found, out) == (code, "")
    assert complaint in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["--rate", "0"], ["--rate", "1", "--callers", "1"], ["--threads", "x"]]
)
def test_arguments_that_are_none_are_2(store, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["bench", str(store), *arguments])
    assert ended.value.code == 2
    assert "error: argument" in capsys.readouterr().err


def test_doctor_measures_and_leaves_the_switch_interval(run, store):
    was = sys.getswitchinterval()
    code, out, err = run("doctor", store / "1", "--seconds", 0.4)
    assert (code, err) == (0, "")
    assert "round trips of fraud 1" in out
    code, out, _ = run("doctor", "--seconds", 0.4, "--json")
    report = json.loads(out)
    assert code == 0
    assert {one["interval"] for one in report["busy_threads"]} == {was, 0.0005}
    assert [one["busy"] for one in report["busy_threads"]] == [0, 1, 2, 4] * 2
    assert sys.getswitchinterval() == was

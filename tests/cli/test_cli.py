"""The command line: what it prints, its exit codes, and that it is quick to help."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest
from tests.store.kit import put

import inprocml
from inprocml import Store
from inprocml.cli import main


@pytest.fixture
def path(tmp_path, _packed):
    folder = tmp_path / "late"
    for auc in (0.8, 0.9):
        put(folder, _packed / "1", metrics={"auc": auc})
    return folder


def test_versions(run, path):
    Store(path).promote("2")
    code, out, err = run("versions", path)
    head, *lines = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["version", "digest", "created", "size", "auc", "aliases"]
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert lines[0].split()[-2:] == ["0.9", "production"]
    assert run("versions", path, "--order-by", "auc", "--ascending")[1].splitlines()[1].startswith("1 ")


def test_versions_as_json(run, path):
    (path / "1" / "manifest.json").write_bytes(b"{}")
    _, out, _ = run("versions", path, "--order-by", "auc", "--json")
    sound, broken = json.loads(out)
    assert (sound["version"], sound["metrics"], sound["broken"]) == ("2", {"auc": 0.9}, None)
    assert sound["digest"] == Store(path).open("2").digest
    assert (broken["version"], broken["digest"]) == ("1", None)
    assert "manifest.json" in broken["broken"]


def test_a_broken_version_is_listed_with_its_reason(run, path):
    (path / "1" / "manifest.json").write_bytes(b"{}")
    code, out, _ = run("versions", path)
    assert code == 0
    assert "1 is broken: " in out


def test_moves_and_their_history(run, path):
    assert run("promote", path, "1", "--why", "first", "--who", "ann@ci") == (
        0,
        f"production means version 1 ({Store(path).open('1').digest[:19]}) now (entry 1)\n",
        "",
    )
    assert run("promote", path, "1")[:2] == (0, "production means 1 already\n")
    assert run("promote", path, "2", "--alias", "staging")[0] == 0
    assert run("promote", path, "staging")[0] == 0
    assert "means version 1" in run("rollback", path)[1]
    assert run("remove", path, "staging")[1] == "staging means nothing now (entry 5)\n"
    code, out, _ = run("history", path)
    rows = [line.split() for line in out.splitlines()[1:]]
    assert code == 0
    assert [(row[0], row[3], row[4], row[5]) for row in rows] == [
        ("1", "move", "production", "1"),
        ("2", "move", "staging", "2"),
        ("3", "move", "production", "2"),
        ("4", "rollback", "production", "1"),
        ("5", "remove", "staging", "-"),
    ]
    assert rows[0][2] == "ann@ci"
    found = json.loads(run("history", path, "--alias", "staging", "--json")[1])
    assert [(entry["action"], entry["version"]) for entry in found] == [("move", "2"), ("remove", None)]
    assert found[0]["digest"] == Store(path).open("2").digest
    assert json.loads(run("promote", path, "1", "--json")[1]) is None


def test_a_trial_in_the_history(run, path):
    Store(path).promote("1")
    Store(path).trial("2", 0.1)
    assert "2 at 10%" in run("history", path)[1]
    assert json.loads(run("history", path, "--json")[1])[1]["share"] == 0.1


def test_diff(run, path):
    code, out, _ = run("diff", path, "1", "2")
    assert code == 0
    assert out == repr(Store(path).diff("1", "2")) + "\n"
    found = json.loads(run("diff", path, "1", "2", "--json")[1])
    assert found["metrics"] == {"auc": [0.8, 0.9]}
    assert (found["rows"], found["same_features"]) == ("same", True)


def test_show_prints_the_card(run, path):
    code, out, _ = run("show", path / "1")
    assert (code, out.strip()) == (0, Store(path).open("1").card.strip())


def test_keys_signatures_and_what_they_are_good_for(run, path, tmp_path):
    key, bundle = tmp_path / "key.pem", path / "1"
    code, public, err = run("keygen", key)
    assert (code, err) == (0, "")
    public = public.strip()
    assert key.stat().st_mode & 0o777 == 0o600
    assert run("verify", bundle)[1].splitlines()[1] == "not signed"
    refused = run("verify", bundle, "--key", public, "--require-signature")
    assert (refused[0], refused[1]) == (1, "")
    assert run("sign", bundle, "--key", key) == (0, f"signed by {public}\n", "")
    code, out, _ = run("verify", bundle, "--key", public, "--require-signature")
    assert code == 0
    assert out.splitlines() == [
        f"late 1 is sound: {Store(path).open('1').digest}".replace("late", Store(path).open("1").name),
        f"signed by {public}, a trusted key",
    ]
    assert "a key that nobody said to trust" in run("verify", bundle)[1]
    found = json.loads(run("verify", bundle, "--json")[1])
    assert (found["signed_by"], found["trusted"]) == ([public], False)
    assert json.loads(run("verify", bundle, "--key", public, "--json")[1])["trusted"] is True
    assert run("promote", path, "2", "--key", public, "--require-signature")[0] == 1
    assert run("promote", path, "1", "--key", public, "--require-signature")[0] == 0
    model = bundle / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    assert run("verify", bundle)[0] == 1


def test_a_key_with_a_password(run, path, tmp_path):
    key, password = tmp_path / "key.pem", tmp_path / "password"
    password.write_text("secret\nnot this\n")
    assert run("keygen", key, "--password-file", password)[0] == 0
    assert b"ENCRYPTED" in key.read_bytes()
    assert run("sign", path / "1", "--key", key)[0] == 1
    assert run("sign", path / "1", "--key", key, "--password-file", password)[0] == 0
    assert run("keygen", key)[0] == 1  # never over another key
    password.write_text("\n")
    assert run("sign", path / "1", "--key", key, "--password-file", password)[0] == 2
    assert run("sign", path / "1", "--key", tmp_path / "none")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("promote", "STORE", "7"), 1),
        (("rollback", "STORE"), 1),
        (("remove", "STORE", "production"), 1),
        (("diff", "STORE", "1", "x"), 1),
        (("versions", "STORE", "--order-by", "acu"), 1),
        (("versions", "STORE/missing"), 1),
        (("show", "STORE"), 1),
        (("verify", "STORE/missing"), 1),
        (("verify", "STORE/1", "--key", "nonsense"), 2),
        (("promote", "STORE", "1", "--alias", "a b"), 2),
        (("promote", "STORE", "1", "--why", "\udcff"), 2),
        (("sign", "STORE/1", "--key", "STORE/nokey"), 1),
        (("sign", "STORE/1", "--key", "STORE"), 1),
        (("history", "STORE", "--alias", "nope"), 1),
        (("show", "STORE@nope"), 1),
    ],
)
def test_what_is_refused_is_told_in_one_line(run, path, arguments, code):
    found, out, err = run(*(argument.replace("STORE", str(path)) for argument in arguments))
    assert (found, out) == (code, "")
    assert err.startswith("inprocml: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("promote",), ("versions", "x", "--nonsense")])
def test_what_is_not_understood_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: inprocml" in capsys.readouterr().err


def test_a_terminal_is_told_nothing_that_it_would_obey(run, path):
    Store(path).promote("1", why="\x1b[2J\x07 and\nmore", who="ann\x1b]0;x")
    _, out, _ = run("history", path)
    assert not set(out) & {"\x1b", "\x07"}
    assert len(out.splitlines()) == 2
    _, out, _ = run("history", path, "--json")
    assert "\x1b" not in out


def shell(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "inprocml", *arguments], capture_output=True, text=True, check=False, **more
    )


def test_as_a_module():
    assert shell("--help").returncode == 0
    assert shell("nonsense").returncode == 2


def test_a_reader_that_has_seen_enough_is_no_fault(path):
    first = subprocess.Popen(
        [sys.executable, "-m", "inprocml", "versions", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    first.stdout.close()
    assert first.stderr.read() == b""
    first.stderr.close()
    assert first.wait() in {0, 1}


@pytest.mark.parametrize("arguments", [["--help"], ["promote", "--help"], ["nonsense"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom inprocml.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'pydantic', 'onnxruntime', 'cryptography') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_has_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    for command in ("versions", "history", "diff", "promote", "rollback", "remove", "show", "verify", "sign"):
        assert f"    {command} " in listed


def test_the_script_is_declared():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    module, name = project["scripts"]["inprocml"].split(":")
    assert getattr(importlib.import_module(module), name) is main


def test_a_candidates_share_is_set_for_all_and_taken_back(run, path):
    Store(path).promote("1")
    code, out, _ = run("trial", path, "2", "0.25", "--why", "try it")
    assert (code, out.split()[:4]) == (0, ["version", "2", "is", "to"])
    assert out == "version 2 is to answer 0.25 of production, in processes that try it (entry 2)\n"
    assert Store(path).history()[-1].trials["production"].share == 0.25
    assert json.loads(run("trial", path, "2", "0", "--json")[1])["action"] == "trial"
    assert Store(path).history()[-1].trials["production"].share == 0.0
    assert run("trial", path, "2", "1.5")[0] == 2
    assert run("trial", path, "7", "0.5")[0] == 1


def test_a_missing_file_is_told_with_what_to_do(run, path):
    _, _, err = run("sign", path / "1", "--key", "nokey")
    assert err == "inprocml: nokey: No such file or directory. Give the path of a file that is there.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("versions", "URL"),
        ("promote", "URL", "1"),
        ("show", "URL"),
        ("show", "URL@2"),
        ("verify", "URL"),
        ("sign", "URL", "--key", "KEY"),
        ("check", "URL@2", "--against", "URL"),
        ("predict", "URL", "rows.csv", "--to", "out.parquet"),
        ("predict", "URL@2", "rows.csv", "--to", "out.parquet"),
    ],
)
def test_the_password_of_a_url_is_not_printed(run, tmp_path, arguments):
    assert run("keygen", tmp_path / "key.pem")[0] == 0
    url, key = "http://bob:hunter2@x/late?token=s3", str(tmp_path / "key.pem")
    code, out, err = run(*(part.replace("URL", url).replace("KEY", key) for part in arguments))
    assert code in {1, 2}
    assert "inprocml.Model(url)" in err
    assert not any(secret in out + err for secret in ("bob", "hunter2", "s3"))


def test_show_and_verify_take_a_version_of_a_store(run, path):
    Store(path).promote("2")
    assert run("show", f"{path}@production") == run("show", path / "2")
    assert run("verify", f"{path}@production", "--json") == run("verify", path / "2", "--json")


def test_its_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"inprocml {inprocml.__version__}\n"


def test_a_closed_stdout_is_one_line_and_nothing_is_moved(path):
    told = ["sh", "-c", 'exec "$0" -m inprocml promote "$1" 1 >&-', sys.executable, str(path)]
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "inprocml: stdout: it is closed. Mend it and try again.\n"
    assert Store(path).history() == ()


def test_what_stdout_cannot_spell_has_backslashes(path):
    Store(path).promote("1", why="f\u00fcr M\u00fcnchen", who="ann")
    done = shell("history", str(path), env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "f\\xfcr M\\xfcnchen" in done.stdout

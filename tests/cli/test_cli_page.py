"""The page of commands is run: what it shows is what is printed."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
from tests.store.kit import put

from inprocml.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)


def steps(text):
    """Split a block into commands and what each shows."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield shlex.split(command), shown


@pytest.mark.parametrize("block", BLOCK.findall(PAGE.read_text("utf-8")))
def test_the_page_shows_what_is_printed(block, tmp_path, monkeypatch, capsys, _packed):
    for auc in (0.8, 0.9):
        put(tmp_path / "models" / "late", _packed / "1", metrics={"auc": auc})
    monkeypatch.chdir(tmp_path)
    code = None
    for command, shown in steps(block):
        if command == ["echo", "$?"]:
            printed = f"{code}\n"
        else:
            assert command[0] == "inprocml"
            code = main(command[1:])
            captured = capsys.readouterr()
            printed = captured.out + captured.err
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.OutputChecker().check_output(shown, printed, flags), f"{command}\n{printed}\n{shown}"
    assert code is not None


def test_every_command_is_on_the_page(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    ([a-z]+) ", capsys.readouterr().out, re.MULTILINE)
    assert len(commands) >= 10
    assert set(commands) == set(re.findall(r"^\| `([a-z]+) ", PAGE.read_text("utf-8"), re.MULTILINE))

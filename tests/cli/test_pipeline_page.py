"""The page about a pipeline is run from its first block to its last, shell and all."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "check-before-promoting.md"
BLOCK = re.compile(
    r"^```(?P<kind>python|console)\n(?P<shown>.*?)^```"
    r"|^<!--- invisible-code-block: python\n(?P<hidden>.*?)^-->",
    re.DOTALL | re.MULTILINE,
)
SHELL = 'inprocml() { "$PYTHON" -m inprocml "$@"; }; '


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_pipeline_does_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names, last, steps = {}, 0, 0
    for found in BLOCK.finditer(PAGE.read_text("utf-8")):
        if found["kind"] != "console":
            exec(found["shown"] or found["hidden"], names)
            continue
        for part in re.split(r"^\$ ", found["shown"], flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            done = subprocess.run(
                ["bash", "-c", f"{SHELL}(exit {last}); {command}"],
                env=os.environ | {"PYTHON": sys.executable},
                capture_output=True,
                text=True,
                check=False,
            )
            last, steps = done.returncode, steps + 1
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            printed = done.stdout + done.stderr
            assert doctest.OutputChecker().check_output(shown, printed, flags), (
                f"{command}\n{printed}\n{shown}"
            )
    assert last == 0
    assert steps >= 6

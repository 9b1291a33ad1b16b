"""What tests of commands share."""

from __future__ import annotations

import pytest

from inprocml.cli import main


@pytest.fixture
def run(capfd):
    """Run a command; return its exit status, and what it printed to either stream."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return run

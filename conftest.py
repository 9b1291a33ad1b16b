"""Runs every fenced Python block of the docs and README: a namespace and a folder a page."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser


def _enter(namespace: dict[str, Any]) -> None:
    namespace["__name__"] = "__main__"  # what a page pasted into a file would see
    namespace["_home"] = Path.cwd()
    # a model that a page leaves open may write while the folder goes
    namespace["_folder"] = tempfile.TemporaryDirectory(prefix="inprocml-docs-", ignore_cleanup_errors=True)
    os.chdir(namespace["_folder"].name)


def _leave(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["_home"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["docs/**/*.md", "docs/*.md", "README.md"],
    setup=_enter,
    teardown=_leave,
).pytest()

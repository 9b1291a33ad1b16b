"""A fork at any moment, also while another thread builds a transform, leaves the child able to build one."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import inprocml
from inprocml.schema.once import once

SOURCES = sorted(Path(inprocml.__file__).parent.rglob("*.py"))

FORKING = """
    import os, signal, threading, time
    from inprocml import Category, Hashed, Numeric, Timestamp, Transform
    from inprocml.monitoring.baseline import build_baseline

    table = {
        "n": [1.0, 2.0], "c": ["a", "b"], "h": ["x", "y"], "t": ["2020-01-01T00:00", "2020-01-02T00:00"],
    }
    fields = {"n": Numeric(scale="standard"), "c": Category(), "h": Hashed(buckets=4), "t": Timestamp()}
    small = Transform(fields).fit(table).to_json()
    # a wide one spends most of its time in what the classes compute once
    wide = Transform({"c": Category()}).fit({"c": [str(i) for i in range(60_000)]}).to_json()
    expected = Transform.from_json(small).transform(table).tobytes()

    def use():
        built = Transform.from_json(small)
        assert built.transform(table).tobytes() == expected
        build_baseline(built.schema, built.columns(table))

    def build(text):
        while True:
            Transform.from_json(text)

    for text in (wide, wide, small):
        threading.Thread(target=build, args=(text,), daemon=True).start()
    time.sleep(0.3)
    for _ in range(30):
        time.sleep(0.02)
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # a child that hangs is killed, and says so by its status
            use()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, "a child hung or failed"
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_children_forked_while_threads_build_can_build():
    subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(FORKING)],
        check=True,
        timeout=50,
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_cached_under_a_lock_that_a_fork_could_inherit(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert "cached_property" not in names


def test_a_value_is_computed_once_and_kept():
    class Point:
        def __init__(self):
            self.asked = 0

        @once
        def far(self):
            """Say how far."""
            self.asked += 1
            return object()

    point, other = Point(), Point()
    assert point.far is point.far
    assert point.far is not other.far
    assert point.asked == 1
    assert Point.far.__doc__ == "Say how far."

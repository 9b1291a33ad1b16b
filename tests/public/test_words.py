"""Words that name nothing in this house (docs/reference/glossary.md has those that do)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("src", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
BANNED = {"manager", "engine", "handler", "helper", "utils", "processor", "context", "data", "info"}


def named(tree: ast.AST) -> set[str]:
    """Every name that this module gives to something; what others call their own is not ours to choose."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_called_by_a_word_that_says_nothing(path):
    assert path.stem not in BANNED
    assert not BANNED & named(ast.parse(path.read_text(encoding="utf-8")))

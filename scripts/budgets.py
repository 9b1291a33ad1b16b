"""Holds the code to its budgets: modules <= 400 lines, functions <= 40, nesting <= 3. Exit 1 where broken."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES, FUNCTION_LINES, NESTING = 400, 40, 3
NESTED = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of the body less its docstring."""
    statements = function.body
    if ast.get_docstring(function) is not None:
        statements = statements[1:]
    if not statements:
        return 0
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Return the deepest control flow below ``node``; an ``elif`` is no deeper than its ``if``."""
    deepest = depth
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if isinstance(child, ast.AST):
                elif_branch = isinstance(node, ast.If) and field == "orelse" and isinstance(child, ast.If)
                step = 1 if isinstance(child, NESTED) and not elif_branch else 0
                deepest = max(deepest, nesting(child, depth + step))
    return deepest


def complaints(path: Path) -> Iterator[str]:
    source = path.read_text(encoding="utf-8")
    lines = source.count("\n")
    if lines > MODULE_LINES:
        yield f"{path}: {lines} lines, {MODULE_LINES} allowed; split it by job"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if body_lines(node) > FUNCTION_LINES:
            yield f"{path}:{node.lineno}: {node.name} has {body_lines(node)} lines, {FUNCTION_LINES} allowed"
        if nesting(node) > NESTING:
            yield f"{path}:{node.lineno}: {node.name} nests {nesting(node)} deep, {NESTING} allowed"


def main() -> int:
    found = [line for path in sorted(Path("src").rglob("*.py")) for line in complaints(path)]
    print("\n".join(found) or "budgets kept: modules, functions, nesting")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

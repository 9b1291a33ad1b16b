"""What commands print: tables for people, JSON for machines, and nothing that a terminal would obey."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from inprocml.drawing import aligned

__all__ = ["Commands", "plain", "show_json", "show_table", "show_text", "with_json"]


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  (argparse has no other name)
"""Where a group adds its commands."""


def plain(text: str) -> str:
    """Return the text with all that is not printable replaced: names and reasons are other people's."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def show_text(text: str) -> None:
    """Print lines as they are, less what a terminal would obey; what it cannot spell, with backslashes."""
    lines = "".join(plain(line) + "\n" for line in text.splitlines())
    spelling = sys.stdout.encoding or "utf-8"
    sys.stdout.write(lines.encode(spelling, "backslashreplace").decode(spelling))


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of plain text; one without rows is its head alone."""
    show_text(aligned([head, *([plain(" ".join(cell.split())) or "-" for cell in row] for row in rows)]))


def show_json(document: object) -> None:
    """Print one JSON document in ASCII, ready for a file or a pipe."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def with_json(command: argparse.ArgumentParser) -> None:
    """Give a command ``--json``."""
    command.add_argument("--json", action="store_true", help="print JSON, for machines")

"""JSON as a bundle holds it: one canonical spelling out, nothing ambiguous or oversized in."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from inprocml.errors import Corrupt

__all__ = ["DEEPEST", "LARGEST_TEXT", "corrupt", "crowded", "dump", "parse"]

LARGEST_TEXT = 16 * 2**20
"""Bytes a document may have."""

DEEPEST = 32
"""Levels of arrays and objects within one another."""

_MOST_PARTS = 1_000_000  # arrays and objects: three bytes of text may make seventy of memory


def dump(document: object) -> str:
    """Return canonical JSON: keys sorted, no spaces, shortest exact numbers, no NaN."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse(text: str | bytes, *, what: str) -> object:
    """Return what the JSON says; ``Corrupt``, naming ``what``, for anything two readers could read apart.

    Refused: not UTF-8, over 16 MiB, nested over 32 levels, a million opening brackets, repeated keys, NaN and
    infinities however spelt.
    """
    if len(text) > LARGEST_TEXT:
        raise corrupt(what, f"it is larger than {LARGEST_TEXT} bytes")
    try:
        text = text.decode() if isinstance(text, bytes) else text
        document = _loaded(text)
    except RecursionError:
        raise corrupt(what, f"it is nested deeper than {DEEPEST} levels") from None
    except _Ambiguous as found:
        raise corrupt(what, str(found)) from None
    except ValueError:  # its message quotes the document
        raise corrupt(what, "it is not JSON in UTF-8") from None
    if not _shallow(document):
        raise corrupt(what, f"it is nested deeper than {DEEPEST} levels")
    return document


def _loaded(text: str) -> object:
    if crowded(text):
        raise _Ambiguous("it holds a million arrays and objects")
    document: object = json.loads(
        text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite
    )
    return document


class _Ambiguous(ValueError):
    """Two readers could differ on this document, or one of them would not bear it."""


def crowded(text: str) -> bool:
    """Say whether there are more opening brackets, those in strings included, than a document may have."""
    return text.count("[") + text.count("{") > _MOST_PARTS


def corrupt(what: str, why: str, *, now: str = "Take the file from where it was packed again") -> Corrupt:
    """Return the error for the document ``what``; ``now`` says what to do."""
    return Corrupt(f"{what} cannot be read: {why}. {now}.")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise _Ambiguous("a key appears twice in one object")
    return document


def _no_constant(_name: str) -> float:
    raise _Ambiguous("it holds NaN or an infinity")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _Ambiguous("it holds a number beyond float64")
    return number


def _shallow(document: object) -> bool:
    level: list[Any] = [document] if isinstance(document, (dict, list)) else []
    for _ in range(DEEPEST):  # level by level: a call for each of five million arrays would take seconds
        parts = (whole.values() if type(whole) is dict else whole for whole in level)
        level = [part for inside in parts for part in inside if type(part) in {dict, list}]
    return not level

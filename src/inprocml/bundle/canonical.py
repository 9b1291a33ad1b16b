"""JSON with one spelling: strict when read, canonical when written.

Python's ``json`` lets the last of two equal keys win, reads ``NaN`` and ``1e999`` and recurses as deep as it is
told; each is a way for two readers to see two documents in the same bytes. Here all of them are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from inprocml.errors import Corrupt

__all__ = ["AGAIN", "canonical", "parse", "sha256"]

MAX_DEPTH = 64
AGAIN = "Copy the bundle again from where it was packed, or pack it anew."


def canonical(document: object) -> bytes:
    """Write ``document`` in its only spelling: sorted keys, two-space indent, UTF-8, a final newline.

    Raises ``ValueError`` for NaN, infinities and lone surrogates, ``TypeError`` for what JSON lacks.
    """
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def sha256(data: bytes) -> str:
    """Digest in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def parse(data: bytes, where: str) -> Any:
    """Read JSON strictly; raises ``Corrupt`` that names ``where`` and what is wrong.

    Refused: other encodings than UTF-8, a byte order mark, duplicate keys, NaN, infinities (also by
    overflow), and nesting deeper than ``MAX_DEPTH``.
    """
    try:
        document = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except RecursionError as error:
        raise Corrupt(f"{where}: nested deeper than {MAX_DEPTH} levels. {AGAIN}") from error
    except ValueError as error:
        raise Corrupt(f"{where}: not strict JSON ({_reason(error)}). {AGAIN}") from error
    _check_depth(document, where)
    return document


def _check_depth(document: object, where: str) -> None:
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise Corrupt(f"{where}: nested deeper than {MAX_DEPTH} levels. {AGAIN}")


def _children(node: object) -> list[object]:
    members = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [child for child in members if isinstance(child, dict | list)]


def _reason(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return str(error)[:120]  # json's own messages give a position and quote nothing


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("the same key twice in one object")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number too large for float64")
    return number

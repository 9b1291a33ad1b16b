"""The row path as one generated function: what an engineer would write by hand for just this transform.

The source is put together from the fixed phrases of this package and from numbers; names of fields,
categories and all else that a file could choose are bound as constants and never become source text. The
function is optimistic: what it does not recognise at once (an unusual type, a missing key, a refusal) it
hands to the reference, which is slow, plain, and decides. So it may be quick without being clever. Only what
no row can be blamed for (``TransformError``) passes: a host's function that fails is not called twice.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.values import Row

__all__ = ["MOST_BLOCKS", "Lookup", "RowCode", "block_of", "blocks_of"]

T = TypeVar("T")

MOST_BLOCKS = 128
"""Features of one entry up to which the bytes of every choice are kept: 64 KiB."""

_Row = Callable[[Row], Any]


class RowCode:
    """Collects lines and features, in feature order, and compiles them."""

    def __init__(self) -> None:
        self._bound: dict[str, object] = {}
        self._lines: list[str] = []
        self._scalars: list[str] = []
        self._pieces: list[str] = []
        self._marks: list[str] = []
        self._tensors: list[str] = []
        self._width = 0

    def bind(self, value: object) -> str:
        """Return the name under which the generated code finds ``value``."""
        name = f"c{len(self._bound)}"
        self._bound[name] = value
        return name

    def variable(self) -> str:
        """Return the name of a fresh local variable."""
        return self.bind(None).replace("c", "v")

    def line(self, text: str) -> None:
        """Add one statement; the caller indents what it nests."""
        self._lines.append(text)

    def scalar(self, expression: str) -> None:
        """Add one feature, a float64 that is rounded to float32."""
        self._scalars.append(expression)
        self._width += 1

    def block(self, expression: str, width: int) -> None:
        """Add ``width`` features: an expression of their native float32 bytes."""
        self._end_scalars()
        self._pieces.append(expression)
        self._width += width

    def mark(self, expression: str, width: int) -> None:
        """Add ``width`` features of which one is 1, the rest 0: an expression of its place."""
        self.block(self.bind(bytes(4 * width)), width)
        self._marks.append(f"out[{self._width - width} + {expression}] = 1.0")

    def tensor(self, expression: str) -> None:
        """Add named tensors: an expression of a dict of arrays."""
        self._tensors.append(expression)

    def compile(
        self, names: Sequence[str], absent: Mapping[str, None], careful: _Row, as_row: _Row
    ) -> Callable[[Row], Any]:
        """Return the function of a row; ``names`` are read into ``r0``, ``r1``, ... beforehand.

        ``absent`` holds ``None`` for each optional field; ``careful`` is the reference.
        """
        self._end_scalars()
        source = self._source([self.bind(name) for name in names])
        scope = self._bound | {
            "TransformError": TransformError,
            "absent": dict(absent),
            "as_row": as_row,
            "careful": careful,
            "float32": np.dtype(np.float32),
            "frombuffer": np.frombuffer,
            "join": bytearray().join,
        }
        exec(compile(source, "<inprocml: row path>", "exec"), scope)  # noqa: S102 - see the module's docstring
        function: Callable[[Row], NDArray[np.float32]] = scope["encode"]  # type: ignore[assignment]
        return function

    def _end_scalars(self) -> None:
        if self._scalars:
            pack = self.bind(struct.Struct(f"={len(self._scalars)}f").pack)
            self._pieces.append(f"{pack}({', '.join(self._scalars)})")
            self._scalars = []

    def _source(self, names: Sequence[str]) -> str:
        body = [f"r{i} = row[{name}]" for i, name in enumerate(names)]
        body += [f"if len(row) != {len(names)}:", "    return careful(row)", *self._lines]
        features = f"frombuffer(join(({', '.join(self._pieces)},)), float32)" if self._pieces else ""
        if self._marks:
            body += [f"out = {features}", *self._marks]
            features = "out"
        if self._tensors:
            merged = [f'"features": {features}'] if features else []
            merged += [f"**{expression}" for expression in self._tensors]
            features = "{" + ", ".join(merged) + "}"
        body.append(f"return {features}")
        return _HEAD + "\n".join(f"        {line}" for line in body) + _TAIL


# asked for some fifty times in a row, these three are quicker as variables of the function's own
_HEAD = """\
def encode(row, type=type, float=float, int=int):
    if type(row) is not dict:
        row = as_row(row)
    try:
"""
_TAIL = """
    except TransformError:
        raise
    except KeyError:
        shorter = True
    except Exception:
        shorter = False
    if shorter:
        filled = {**absent, **row}
        if len(filled) > len(row):
            return encode(filled)
    return careful(row)
"""
# careful is called when the exception is over: it would be the context of the refusal, and may quote a value


class Lookup(dict[Any, T]):
    """Raw values to what they become; a value that is not there is judged by ``otherwise``.

    At most ``most`` short strings among those are kept: a memory of everything ever sent would be a leak.
    """

    def __init__(self, known: Mapping[Any, T], otherwise: Callable[[object], T], most: int = 0) -> None:
        super().__init__(known)
        self._known = dict(known) if most else {}  # nothing is kept beside them, so nothing is cleared
        self._otherwise = otherwise
        self._most = most

    def __missing__(self, value: object) -> T:
        found = self._otherwise(value)
        if self._most and type(value) is str and len(value) <= _SHORT:
            if len(self) >= self._most:
                self.clear()
                self.update(self._known)
            self[value] = found
        return found


_SHORT = 64


def block_of(place: int, width: int) -> bytes:
    """Return the bytes of ``width`` features of which that at ``place`` is 1."""
    return bytes(4 * place) + _ONE + bytes(4 * (width - place - 1))


@lru_cache(maxsize=MOST_BLOCKS)
def blocks_of(width: int) -> tuple[bytes, ...]:
    """Return ``block_of`` every place, made once for all entries of that width (for all widths: 3 MB).

    ``width`` is at most ``MOST_BLOCKS``.
    """
    return tuple(block_of(place, width) for place in range(width))


_ONE = struct.pack("=f", 1.0)

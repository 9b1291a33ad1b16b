"""Features from a function of the host's own: no code comes out of a file, only the digest of its source."""

from __future__ import annotations

import inspect
import math
import struct
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError, Untrusted
from inprocml.schema import Canonical, Field, Refused
from inprocml.schema.once import once
from inprocml.transform.limits import OVERFLOW
from inprocml.transform.rowcode import RowCode
from inprocml.transform.specs_derived import Custom
from inprocml.transform.step import emit_block

__all__ = ["CustomStep", "fit_custom", "register"]

Function: TypeAlias = Callable[..., Any]

_functions: dict[str, tuple[Function, str]] = {}


def register(name: str, function: Function) -> None:
    """Let transforms that say ``Custom(name, ...)`` call ``function``, in training and in serving.

    It must be deterministic, and do the same for one row at whatever time it is called. The digest of its
    source (as ``inspect.getsource`` gives it, without common indentation), and of its arguments' defaults, is
    what a transform remembers; what the function calls is not part of it. Registering again replaces. Raises
    ``TypeError`` for what is not callable, and ``ValueError`` where there is no source to be found, or where
    the function uses more than that: variables of a function around it, or defaults that are no plain values.
    """
    if not callable(function):
        raise TypeError(f"{name}: a custom function must be callable, not {type(function).__name__}")
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        raise ValueError(
            f"{name}: the function has no source to be read. Define it with def, in a module or a notebook."
        ) from None
    _functions[name] = (function, sha256((source + _captured(name, function)).encode()).hexdigest())


def _captured(name: str, function: Function) -> str:
    """What a function computes with besides its source: its defaults, which must be plain values."""
    if getattr(function, "__closure__", None):
        raise ValueError(
            f"{name}: the function uses variables of a function around it, which no digest would cover. "
            "Define it at the top of a module, with such values as defaults of its arguments."
        )
    defaults = [
        *(getattr(function, "__defaults__", None) or ()),
        *(getattr(function, "__kwdefaults__", None) or {}).items(),
    ]
    if not all(_plain(value) for value in defaults):
        raise ValueError(
            f"{name}: the defaults of the function's arguments must be numbers, strings, None, or tuples of "
            "these, so that its digest can cover them."
        )
    return repr(defaults) if defaults else ""


def _plain(value: object) -> bool:
    if type(value) is tuple:
        return all(map(_plain, value))
    return value is None or type(value) in {bool, int, float, str}


def _registered(name: str) -> tuple[Function, str]:
    if name not in _functions:
        known = ", ".join(sorted(_functions)) or "none"
        raise Untrusted(
            f"the transform calls a function {name!r} that this process has not registered (registered: "
            f"{known}). Call inprocml.transform.register({name!r}, function) at start-up, before loading."
        )
    return _functions[name]


@dataclass(frozen=True)
class CustomStep:
    """What the registered function returns, as float32; ``source`` is the digest of the fitted one."""

    name: str
    spec: Custom
    source: str
    unseen = None

    def __post_init__(self) -> None:
        found = _registered(self.spec.function)[1]
        if found != self.source:
            raise Untrusted(
                f"{self.name}: the function {self.spec.function!r} has changed since it was fitted "
                f"(its source was sha256 {self.source}, is {found}). Bring the old function back, or fit "
                "and pack again with the new one."
            )

    @once
    def function(self) -> Function:
        """The function as it was registered when this entry was made."""
        return _registered(self.spec.function)[0]

    @once
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        required = not self.spec.optional
        return tuple(Field(name, kind, required=required) for name, kind in self.spec.reads.items())  # type: ignore[arg-type]

    @property
    def width(self) -> int:
        """The number of features."""
        return self.spec.width

    def names(self) -> list[str]:
        """Return the name of each feature."""
        return [self.name] if self.width == 1 else [f"{self.name}#{number}" for number in range(self.width)]

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32; may raise ``Refused``."""
        try:
            found = self.function(*values)
        except ValueError:
            raise Refused(f"is refused by the custom function {self.spec.function!r}") from None
        except Exception as error:
            raise TransformError(
                f"{self.name}: the custom function {self.spec.function!r} raised {type(error).__name__}. See "
                "the cause; a function that cannot encode a row raises ValueError."
            ) from error
        return struct.pack(f"={self.width}f", *self._numbers(found))

    def _numbers(self, found: Any) -> list[float]:
        listed = [found] if self.width == 1 and np.ndim(found) == 0 else _listed(found)
        if len(listed) != self.width or not all(isinstance(number, _NUMBER) for number in listed):
            raise TransformError(
                f"{self.name}: the custom function {self.spec.function!r} must return {self.width} numbers "
                "for a row. Mend it, or declare its width."
            )
        numbers = [_float(number) for number in listed]
        if not all(abs(number) < OVERFLOW for number in numbers):  # false for NaN as well
            raise Refused(f"makes the custom function {self.spec.function!r} give what float32 cannot hold")
        return numbers

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns, row by row, since the function was written for one."""
        listed = [_values(field, column) for field, column in zip(self.fields, columns, strict=True)]
        for row, values in enumerate(zip(*listed, strict=True)):
            try:
                out[row] = np.frombuffer(self.block(values), dtype=np.float32)
            except Refused as refused:
                refused.row = row
                raise

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        emit_block(code, raws, self, [field.judge for field in self.fields])

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "custom@1",
            "name": self.name,
            "function": spec.function,
            "reads": [list(pair) for pair in spec.reads.items()],
            "width": spec.width,
            "optional": spec.optional,
            "source": self.source,
        }


def _listed(found: Any) -> list[Any]:
    try:
        return list(found)
    except TypeError:  # None, say
        return []


def _float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:  # Python's integers have no end
        return math.inf


_NUMBER = (int, float, np.integer, np.floating)


def fit_custom(name: str, spec: Custom) -> CustomStep:
    """Return the entry with the digest of the function that is registered now."""
    return CustomStep(name, spec, _registered(spec.function)[1])


def _values(field: Field, column: NDArray[Any]) -> list[Any]:
    """A canonical column as the values that ``check`` gives: what the function meets in a single row."""
    values: list[Any] = column.tolist()
    if field.kind in {"text", "wallclock"}:
        return values
    absent = [None if value != value else value for value in values]  # noqa: PLR0124 - NaN is missing
    return absent if field.kind == "number" else [None if v is None else v == 1.0 for v in absent]

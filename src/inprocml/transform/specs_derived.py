"""What the user declares of several fields at once: a closed vocabulary, or a function of the host's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from inprocml.transform.arguments import a_count, one_of
from inprocml.transform.specs import FrozenParts, Numeric, known_zone

__all__ = ["Custom", "Derived"]

OPERATIONS = ("ratio", "difference", "product", "days_between", "is_missing")
READABLE = ("number", "text", "flag", "wallclock")


@dataclass(frozen=True, slots=True)
class Derived:
    """A number made from other fields, then encoded as ``then`` says.

    ``operation``: "ratio" (first / second), "difference" (first - second) and "product" of two numbers;
    "days_between", from the first to the second of two points in time, read with ``timezone`` as a
    ``Timestamp`` is; "is_missing", 1 where the number ``first`` is missing, else 0. Where either field is
    missing, and where a ratio's divisor is 0, the number is missing: ``then.missing`` says what happens, and
    with ``None`` such rows are refused. Raises ``TypeError`` or ``ValueError`` for arguments that make no
    sense.
    """

    operation: Literal["ratio", "difference", "product", "days_between", "is_missing"]
    first: str
    second: str | None = None
    then: Numeric = field(default_factory=Numeric, kw_only=True)
    timezone: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        one_of("operation", self.operation, OPERATIONS)
        for what, name in (("first", self.first), ("second", self.second)):
            if type(name) is not str and not (what == "second" and name is None):
                raise TypeError(f"{what} must be the name of a field, not {type(name).__name__}")
        if self.second is None and self.operation != "is_missing":
            raise ValueError(f"{self.operation} is made of two fields: name the second")
        if self.second is not None and self.operation == "is_missing":
            raise ValueError("is_missing is asked of one field: leave the second out")
        if type(self.then) is not Numeric or self.then.field is not None:
            raise TypeError("then must be Numeric(...) without a field: it encodes what was derived")
        if self.timezone is not None:
            if self.operation != "days_between":
                raise ValueError("timezone goes with days_between only")
            known_zone(self.timezone)
        if self.operation == "is_missing" and self.then != Numeric():
            raise ValueError("is_missing is 0 or 1 as it is: leave then out")


@dataclass(frozen=True, slots=True)
class Custom:
    """Features from a function that the host registered by name: ``inprocml.transform.register``.

    ``reads`` maps the fields it reads, in the order of its arguments, to "number" (it gets a float), "text"
    (str), "flag" (bool) or "wallclock" (a ``datetime`` without an offset). It returns a float, or a sequence
    of ``width`` of them. With ``optional``, missing fields reach it as ``None``; else they are refused. The
    digest of its source travels with the transform: where the registered function is another, the transform
    is refused. Raises ``TypeError`` or ``ValueError`` for arguments that make no sense.
    """

    function: str
    reads: Mapping[str, str]
    width: int = field(default=1, kw_only=True)
    optional: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if type(self.function) is not str or not self.function:
            raise TypeError("function must be the name under which it is registered")
        if not self.reads or type(self.reads) not in {dict, FrozenParts}:
            raise TypeError("reads must map the names of fields to what they hold: number, text, flag")
        for kind in self.reads.values():
            one_of("reads", kind, READABLE)
        if not isinstance(self.optional, bool):
            raise TypeError("optional must be True or False")
        a_count("width", self.width)
        object.__setattr__(self, "reads", FrozenParts(self.reads))

"""What was declared and what was learnt, entry by entry: for those who look at a transform.

Everything is read from what any kind has (the arguments of its spec, its document), so a kind that is added
later is shown and compared without a word here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inprocml.transform.core import Transform

__all__ = ["Entry", "arguments", "declared", "fitted_entries"]


@dataclass(frozen=True)
class Entry:
    """One entry of the declaration, fitted: the fields it reads, its features, and its document."""

    name: str
    spec: Any
    reads: tuple[str, ...]
    features: tuple[str, ...]
    document: Mapping[str, Any]
    usual: Mapping[str, Any]
    """What the step holds where nothing was learnt."""

    @property
    def learnt(self) -> dict[str, Any]:
        """The part of the document that was not declared."""
        given = {"kind", "name", "field", *(argument.name for argument in fields(self.spec))}
        if hasattr(self.spec, "then"):
            given |= {f"then.{argument.name}" for argument in fields(self.spec.then)} | {"then.kind"}
        return {key: value for key, value in self.document.items() if key not in given}


def fitted_entries(transform: Transform) -> list[Entry]:
    """Return the entries in feature order; ``TransformError`` before ``fit``."""
    plan = transform._fitted()  # noqa: SLF001 - the views of one class, in files of their own
    return [_entry(step) for step in plan.entries]


def declared(spec: Any) -> str:
    """Return the spec as it would be typed, without the arguments that were left at their defaults."""
    if not is_dataclass(spec):
        return repr(spec)
    given = (f"{name}={value!r}" for name, value, default in arguments(spec) if value != default)
    return f"{type(spec).__name__}({', '.join(given)})"


def arguments(spec: Any) -> list[tuple[str, Any, Any]]:
    """Return each argument of a spec: its name, its value, its default (``MISSING`` where there is none)."""
    return [(given.name, getattr(spec, given.name), given.default) for given in fields(spec)]


def _entry(step: Any) -> Entry:
    document = step.document()
    if isinstance(document.get("then"), dict):  # what encodes a derived number, argument by argument
        then = {f"then.{key}": value for key, value in document["then"].items() if key != "name"}
        document = {key: value for key, value in document.items() if key != "then"} | then
    usual = {f.name: f.default for f in fields(step) if f.default is not MISSING}
    return Entry(
        document["name"],
        step.spec,
        tuple(field.name for field in step.fields),
        tuple(step.names() if hasattr(step, "names") else (spec.name for spec in step.tensors)),
        document,
        usual,
    )

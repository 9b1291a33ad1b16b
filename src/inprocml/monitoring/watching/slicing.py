"""Which rows get figures of their own: declared values, read as the fields of the schema read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inprocml.errors import BundleError
from inprocml.schema import Schema
from inprocml.schema.field import Field
from inprocml.schema.refusal import Refused
from inprocml.values import Row

__all__ = ["Slices"]

_KINDS = {"category", "text", "number", "flag"}


class Slices:
    """The slices of ``Monitoring(slices=)`` on the fields of one version.

    Raises ``BundleError`` for a field that the version does not have, or that cannot be told apart by values,
    and for a value that the field would not take, or takes for another that is declared.
    """

    def __init__(self, declared: Mapping[str, Sequence[Any]], schema: Schema, *, of: str) -> None:
        fields = {field.name: field for field in schema.fields}
        self._fields: list[Field] = []
        self.values: dict[str, tuple[Any, ...]] = {}
        """The values of each slice, as the schema reads them."""
        for name, values in declared.items():
            field = fields.get(name)
            if field is None:
                raise BundleError(
                    f"Monitoring(slices=...) names the field {str(name)[:60]!r}, which {of} does not have: "
                    f"its fields are {', '.join(sorted(fields))[:400]}. Name one of these, or leave it out."
                )
            self._fields.append(field)
            self.values[name] = tuple(_read(field, value, place, of) for place, value in enumerate(values))
            if len(set(self.values[name])) != len(values):
                raise BundleError(
                    f"Monitoring(slices=...): of the values of {name!r} {of} reads two alike. Leave one out."
                )

    def of(self, rows: Iterable[Row]) -> dict[str, list[object]]:
        """Return what the rows have in these fields, as the schema reads it; None for what it refuses."""
        rows = list(rows)
        return {field.name: [_value(field, row.get(field.name)) for row in rows] for field in self._fields}


def _read(field: Field, value: object, place: int, of: str) -> Any:
    if field.kind not in _KINDS:
        raise BundleError(
            f"Monitoring(slices=...): the field {field.name!r} of {of} is of kind {field.kind}, of which "
            "hardly a value comes twice. Slice by a category, a flag or a number."
        )
    found, reason = None, "is missing"
    try:
        found = field.check(value)
    except Refused as refused:
        reason = str(refused)
    if found is None:
        raise BundleError(
            f"Monitoring(slices=...): value {place} of {field.name!r} {reason}, as {of} reads that field: "
            "no row would ever be in it. Write it as requests bring it, or leave it out."
        )
    return found


def _value(field: Field, value: object) -> object:
    try:
        return field.check(value)
    except Refused:
        return None

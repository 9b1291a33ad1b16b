"""The row as a pydantic model: for signatures, and for the JSON Schema that OpenAPI shows.

The judges of the schema do all the checking, so the model accepts what ``Schema.check`` accepts, and nothing
else.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from weakref import WeakKeyDictionary

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic import Field as Described
from pydantic_core import PydanticCustomError

from inprocml.schema import Field, Refused, Schema
from inprocml.schema.text import LONGEST
from inprocml.transform.difference import REACH
from inprocml.transform.entries import Entry, fitted_entries

if TYPE_CHECKING:
    from inprocml.transform.core import Transform

__all__ = ["RowModel", "row_model"]

_JSON: TypeAlias = dict[str, Any]

_EXAMPLES = 3

# kind of a field -> what it is in Python and in JSON; a kind that is not listed says nothing about its values
_TEXT = {"type": "string", "maxLength": LONGEST}
_WHOLE = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
_TYPES: dict[str, tuple[Any, _JSON]] = {
    "number": (float, {"type": "number"}),
    "category": (str, _TEXT),
    "text": (str, _TEXT),
    "instant": (datetime, {"type": "string", "format": "date-time"}),
    # OpenAPI's registry has this name for a time without an offset; "date-time" must have one
    "wallclock": (datetime, {"type": "string", "format": "date-time-local"}),
    "flag": (bool, {"type": "boolean"}),
    "content": (bytes, {"type": "string", "contentEncoding": "base64"}),
    "signal": (Any, {"type": ["string", "array"], "contentEncoding": "base64", "items": {"type": "number"}}),
}
_MEANING = {
    "number": "A number.",
    "category": "A category; values that training has not seen are accepted.",
    "text": "A string.",
    "instant": "A point in time with its UTC offset, read in the time zone {timezone}.",
    "wallclock": "A date and time without a UTC offset.",
    "flag": "True or false.",
    "vector": "A list of {size} numbers.",
    "content": "A file of at most {longest} bytes, in base64.",
    "signal": "A file of at most {longest} bytes, in base64, or a list of samples.",
}

_made: WeakKeyDictionary[Transform, tuple[Schema, type[RowModel]]] = WeakKeyDictionary()


class RowModel(BaseModel):
    """A row that passed: canonical values, under the names that the row's fields have.

    ``model_dump()`` is a row again, and ``transform_one`` gives it the features of the row it came from. A
    field whose name Python or pydantic keeps for itself has another attribute, and its own name in every row.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        hide_input_in_errors=True,  # no value of a row is repeated
        serialize_by_alias=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, row: object) -> object:
        # any mapping is a row, and a name may be a string of any make
        return {_plain_name(name): row[name] for name in row} if isinstance(row, Mapping) else row

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """Return the row as a dictionary under the fields' own names; options as in pydantic."""
        return super().model_dump(**{"by_alias": True, **options})

    def model_dump_json(self, **options: Any) -> str:
        """Return the row as JSON under the fields' own names; options as in pydantic."""
        return super().model_dump_json(**{"by_alias": True, **options})


def row_model(transform: Transform) -> type[RowModel]:
    """Return the model of the rows that a fitted transform accepts, the same class until it is fitted anew.

    ``TransformError`` before ``fit``.
    """
    schema = transform.schema
    known = _made.get(transform)
    if known is None or known[0] is not schema:
        known = _made[transform] = (schema, _model(schema, fitted_entries(transform)))
    return known[1]


def _model(schema: Schema, entries: list[Entry]) -> type[RowModel]:
    names = [field.name for field in schema.fields]
    # a name that can stay as it is goes first: no other field may take it
    attributes = {name: name for name in names if _usable(name)}
    for name in names:
        if name not in attributes:
            attributes[name] = _attribute(name, {*names, *attributes.values()})
    definitions: dict[str, Any] = {
        attributes[field.name]: (
            _annotation(field, [entry for entry in entries if field.name in entry.reads]),
            Described(... if field.required else None, alias=field.name),
        )
        for field in schema.fields
    }
    model: type[RowModel] = create_model(
        "Row", __base__=RowModel, __module__=__name__, __doc__=_DESCRIPTION, **definitions
    )
    return model


_DESCRIPTION = "One row, as the transform accepts it: types are exact, and no other fields are allowed."


def _annotation(field: Field, entries: list[Entry]) -> Any:
    python, json = _types(field)
    limits = _limits(field) if field.kind == "number" else {}
    document = {**json, **limits, "title": field.name, "description": _described(field, entries)}
    examples = [value for entry in entries for value in entry.document.get("categories", [])][:_EXAMPLES]
    if examples:
        document["examples"] = examples
    if not field.required:
        kinds = json.get("type", [])
        document |= {"type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]} if kinds else {}
        document["default"] = None
    return Annotated[
        python if field.required else python | None,
        PlainValidator(_validator(field)),
        PlainSerializer(field.render, when_used="json"),
        WithJsonSchema(document),
    ]


def _validator(field: Field) -> Callable[[object], Any]:
    judge = field.judge

    def validate(value: object) -> Any:
        try:
            return judge(value)
        except Refused as refused:
            raise PydanticCustomError("refused", "{reason}", {"reason": refused.reason}) from None

    return validate


def _types(field: Field) -> tuple[Any, _JSON]:
    if field.kind == "category" and field.dtype == "int":
        return int, _WHOLE
    if field.kind == "vector":
        size = {"minItems": field.size, "maxItems": field.size}
        return list[float], {"type": "array", "items": {"type": "number"}, **size}
    python, json = _TYPES.get(field.kind, (Any, {}))
    if field.kind == "text" and field.longest != LONGEST:
        json = json | {"maxLength": field.longest}
    return python, json


def _limits(field: Field) -> _JSON:
    """Limits that tell a sender something; those where float32 ends do not."""
    low, high = field.limits
    limits: _JSON = {}
    if low > -REACH:
        # the first number above -1 is how "greater than -1" is spelt in limits
        limits |= {"exclusiveMinimum": -1} if -1 < low < -1 + 1e-15 else {"minimum": low}
    if high < REACH:
        limits["maximum"] = high
    return limits


def _described(field: Field, entries: list[Entry]) -> str:
    meaning = _MEANING.get(field.kind, f"Kind: {field.kind}.").format(
        timezone=field.timezone, size=field.size, longest=field.longest
    )
    if any(entry.document.get("unseen", ()) is None for entry in entries):
        meaning = "One of the values that training has seen."
    if field.required:
        return f"{meaning} Required."
    said = dict.fromkeys(_missing(entry) for entry in entries)
    return f"{meaning} May be left out or null: {', '.join(said)}."


def _missing(entry: Entry) -> str:
    missing = getattr(entry.spec, "missing", None)
    if missing in {"slot", "flag"}:
        return "that it is missing is a feature of its own"
    if missing == "empty":
        return "it is read as empty"
    if missing in {"median", "mean"}:
        return f"the {missing} of the training rows stands in for it"
    if isinstance(missing, (int, float)):
        return f"{missing:.6g} stands in for it"
    return "that is accepted"


def _plain_name(name: object) -> object:
    return str.__str__(name) if isinstance(name, str) else name


def _usable(name: str) -> bool:
    kept = keyword.iskeyword(name) or name.startswith("_") or hasattr(BaseModel, name) or name == "Config"
    return name.isidentifier() and not kept


def _attribute(name: str, taken: set[str]) -> str:
    attribute = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "field"
    attribute = attribute if attribute.isidentifier() else f"field_{attribute}"
    while attribute in taken or not _usable(attribute):
        attribute += "_"
    return attribute

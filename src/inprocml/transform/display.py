"""A transform for the eye: a table in a terminal, a table with pictures in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inprocml.drawing import Markup, aligned, bars, paragraph, short, table
from inprocml.transform.entries import Entry, declared, fitted_entries
from inprocml.transform.seen import Sample

if TYPE_CHECKING:
    from inprocml.transform.core import Transform

__all__ = ["drawn", "html", "text"]

_HEAD = ("entry", "declared", "row", "features", "learnt")
_SHOWN = 3
_LONGEST = 400


def text(transform: Transform) -> str:
    """Return the transform as a table of plain text."""
    return f"{_title(transform)}\n{aligned([_HEAD, *_rows(transform)])}"


def html(transform: Transform, pictures: Mapping[str, Markup] | None = None) -> str:
    """Return the transform as an HTML table; ``pictures`` of a fitted one are by field of the row."""
    rows = _rows(transform)
    if pictures:
        for row, entry in zip(rows, fitted_entries(transform), strict=True):
            found = [pictures[name] for name in entry.reads if name in pictures]
            row.append(Markup("".join(found)))
    return paragraph(_title(transform)) + table([*_HEAD, *(["training rows"] if pictures else [])], rows)


def drawn(sample: Sample) -> dict[str, Markup]:
    """Draw what training values looked like, by field."""
    return {name: bars(seen.counts, seen.caption) for name, seen in sample.seen.items()}


def _title(transform: Transform) -> str:
    count = len(transform.fields)
    title = f"Transform: {count} {'entry' if count == 1 else 'entries'}"
    return f"{title}, {transform.width} features" if transform.fitted else f"{title}, not fitted"


def _rows(transform: Transform) -> list[list[str]]:
    if not transform.fitted:
        return [[name, declared(spec), _required(spec), "", ""] for name, spec in transform.fields.items()]
    required = {field.name: field.required for field in transform.schema.fields}
    rows = []
    for entry in fitted_entries(transform):
        needed = any(required[name] for name in entry.reads)
        learnt = [
            f"{key} {_value(key, value)}" for key, value in entry.learnt.items() if _tells(entry, key, value)
        ]
        row = "required" if needed else "optional"
        spec = short(declared(entry.spec), _LONGEST)  # a tokenizer from a file is megabytes
        rows.append([entry.name, spec, row, str(len(entry.features)), ", ".join(learnt)])
    return rows


def _required(spec: Any) -> str:
    return "required" if getattr(spec, "missing", None) is None else "optional"


def _tells(entry: Entry, key: str, value: object) -> bool:
    return value is not None and not (key in entry.usual and entry.usual[key] == value)


def _value(key: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):  # arrays, as base64
        return ", ".join(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        listed = ", ".join(short(_value(key, item), 24) for item in value[:_SHOWN])
        return f"({len(value)}): {listed}" + (", ..." if len(value) > _SHOWN else "")
    return short(str(value), _LONGEST)

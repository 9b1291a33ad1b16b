"""What a field may be called, so that every feature's name belongs to one field only."""

from __future__ import annotations

from collections.abc import Mapping

from inprocml.transform.specs import Category, Timestamp
from inprocml.transform.specs_media import Audio, Image, Text
from inprocml.values import FEATURES

__all__ = ["LONGEST_NAME", "check_distinct", "valid_name"]

LONGEST_NAME = 256

_SHOWN = 40

_MARKS = "=#"  # what follows a field's name (or a calendar part's) in the names of its features


def valid_name(name: object) -> str:
    """Return the field name; ``TypeError`` or ``ValueError`` if it cannot be one."""
    if not isinstance(name, str):
        raise TypeError(f"a field name is a string, not {type(name).__name__}")
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        shown = ascii(name) if len(name) <= _SHOWN else f"{name[:_SHOWN]!a}..."
        raise ValueError(f"a field name has 1 to {LONGEST_NAME} printable characters, not {shown}")
    return str.__str__(name)


def check_distinct(fields: Mapping[str, object]) -> None:
    """Raise ``ValueError`` for two fields whose features, or whose tensors, could have one name.

    A feature is called by a *head*, the field's name or ``field.part``, and what follows it begins with one
    of ``=#``. So two names can be equal only where one field's head, up to such a mark, is another's.
    """
    _check_tensors(fields)
    heads = {name: name for name in fields}
    for name, spec in fields.items():
        if not isinstance(spec, Timestamp):
            continue
        for head in (f"{name}.{part}" for part in (*spec.parts, "since")):
            if head in fields:
                raise ValueError(_fault(head, name))
            heads[head] = name
    for name in fields:
        for place, character in enumerate(name):
            if character in _MARKS and name[:place] in heads:
                raise ValueError(_fault(name, heads[name[:place]]))


def _check_tensors(fields: Mapping[str, object]) -> None:
    made: dict[str, str] = {}
    for name, spec in fields.items():
        for tensor in _tensors(name, spec) or (FEATURES,):
            if tensor in made and tensor != FEATURES:
                raise ValueError(
                    f"entries {made[tensor]!r} and {name!r} would both make the tensor {tensor!r}: "
                    "rename one of them"
                )
            made[tensor] = name
    tabular = any(not _tensors(name, spec) for name, spec in fields.items())
    if tabular and any(FEATURES in _tensors(name, spec) for name, spec in fields.items()):
        raise ValueError(
            f"an entry would make the tensor {FEATURES!r}, which the tabular ones share: rename it"
        )


def _tensors(name: str, spec: object) -> tuple[str, ...]:
    """Return the names of the tensors that an entry makes for itself."""
    if isinstance(spec, (Text, Image, Audio)):
        return spec.tensors(name)
    return (name,) if isinstance(spec, Category) and spec.encoding == "index" else ()


def _fault(one: str, other: str) -> str:
    return f"fields {one!r} and {other!r} could give features of one name: rename one of them"

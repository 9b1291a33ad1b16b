"""What changes for senders of rows, and for a model, when one fitted transform takes the place of another."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from inprocml.drawing import aligned, paragraph, short, table
from inprocml.schema import Field
from inprocml.transform.entries import Entry, fitted_entries

if TYPE_CHECKING:
    from inprocml.transform.core import Transform

__all__ = ["REACH", "Change", "Difference", "FieldDifference", "Verdict", "difference"]

Verdict: TypeAlias = Literal["same", "compatible", "needs default", "breaking"]

REACH = 1e30
"""Limits beyond are where float32 ends, not a rule about values: they shift a little with every fit."""

_WORST: tuple[Verdict, ...] = ("same", "compatible", "needs default", "breaking")
_SHOWN = 3
_DECODED = frozenset(
    {"formats", "max_pixels", "background", "size", "fit", "sample_rate", "seconds", "channels", "longer"}
)
"""Arguments that decide which files can be decoded, whatever the field accepts."""


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """What becomes of one field of the row, and why.

    "same"; "compatible": values that were accepted still are; "needs default": a sender who leaves the field
    out must give a value; "breaking": values that were accepted may be refused.
    """

    verdict: Verdict
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One value of one entry's document: ``before`` and ``after`` are as JSON holds them."""

    entry: str
    what: str
    before: Any
    after: Any

    @property
    def by(self) -> float | None:
        """How far a number moved; ``None`` for what is no number."""
        return self.after - self.before if _number(self.before) and _number(self.after) else None

    @property
    def gained(self) -> tuple[Any, ...]:
        """What a list holds now and did not before, such as categories."""
        return _beyond(self.after, self.before)

    @property
    def lost(self) -> tuple[Any, ...]:
        """What a list held before and does not hold now."""
        return _beyond(self.before, self.after)

    def __str__(self) -> str:
        if self.by is not None:
            return f"{self.before:.6g} -> {self.after:.6g} ({self.by:+.6g})"
        if self.gained or self.lost:
            return ", ".join(
                f"{len(items)} {word} ({_listed(items)})"
                for items, word in ((self.gained, "more"), (self.lost, "fewer"))
                if items
            )
        return f"{short(repr(self.before), 30)} -> {short(repr(self.after), 30)}"


@dataclass(frozen=True, repr=False)
class Difference:
    """From one fitted transform to another: ``fields`` for who sends rows, the rest for who trains models.

    ``added``, ``removed`` and ``moved`` are names of features; ``moved`` ones are at another column.
    ``declared`` are changed arguments, ``fitted`` changed values that were learnt.
    """

    fields: Mapping[str, FieldDifference]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    moved: tuple[str, ...]
    declared: tuple[Change, ...]
    fitted: tuple[Change, ...]

    @property
    def rows(self) -> Verdict:
        """The worst verdict of any field."""
        return max((field.verdict for field in self.fields.values()), key=_WORST.index)

    @property
    def same_layout(self) -> bool:
        """Whether every feature is at the same column: without it no model can be fed by both."""
        return not (self.added or self.removed or self.moved)

    @property
    def same_features(self) -> bool:
        """Whether a row that both accept has the same features in both."""
        return self.same_layout and not self.declared and not self.fitted

    def __repr__(self) -> str:
        parts = [self._verdict(), aligned(self._fields()), f"features: {self._layout()}"]
        return "\n".join(part for part in [*parts, aligned(self._changes())] if part)

    def _repr_html_(self) -> str:
        parts = [paragraph(self._verdict())]
        if fields := self._fields():
            parts.append(table(("field", "rows", "why"), fields))
        parts.append(paragraph(f"features: {self._layout()}"))
        if changes := self._changes():
            parts.append(table(("entry", "value", "change"), changes))
        return "".join(parts)

    def _verdict(self) -> str:
        same = sum(field.verdict == "same" for field in self.fields.values())
        return f"rows: {self.rows} ({same} of {len(self.fields)} fields are the same)"

    def _fields(self) -> list[tuple[str, str, str]]:
        return [
            (name, field.verdict, "; ".join(field.reasons))
            for name, field in self.fields.items()
            if field.verdict != "same"
        ]

    def _layout(self) -> str:
        if self.same_layout:
            return "same" if self.same_features else "same layout, other values"
        lists = (("added", self.added), ("removed", self.removed), ("at another column", self.moved))
        said = [f"{len(names)} {word} ({_listed(names)})" for word, names in lists if names]
        return "layout changed, train anew: " + ", ".join(said)

    def _changes(self) -> list[tuple[str, str, str]]:
        return [(change.entry, change.what, str(change)) for change in (*self.declared, *self.fitted)]


def difference(before: Transform, after: Transform) -> Difference:
    """Compare two fitted transforms; ``TransformError`` if one is not fitted."""
    old, new = fitted_entries(before), fitted_entries(after)
    changes = _changes(old, new)
    declared = tuple(change for change, given in changes if given)
    learnt = tuple(change for change, given in changes if not given)
    layout = _places(old), _places(new)
    return Difference(
        MappingProxyType(_compared_fields(before, after, _touched(old, new), _refusing(old, new, declared))),
        added=tuple(name for name in layout[1] if name not in layout[0]),
        removed=tuple(name for name in layout[0] if name not in layout[1]),
        moved=tuple(name for name, place in layout[0].items() if layout[1].get(name, place) != place),
        declared=declared,
        fitted=learnt,
    )


def _compared_fields(
    before: Transform, after: Transform, touched: set[str], decoding: Mapping[str, list[str]]
) -> dict[str, FieldDifference]:
    old = {field.name: field for field in before.schema.fields}
    new = {field.name: field for field in after.schema.fields}
    return {
        name: _field(old.get(name), new.get(name), decoding.get(name, []), touched=name in touched)
        for name in [*old, *(name for name in new if name not in old)]
    }


def _decoding(old: list[Entry], declared: tuple[Change, ...]) -> dict[str, list[str]]:
    """By field of a file, what may refuse files that were accepted."""
    reads = {entry.name: entry.reads for entry in old if entry.document["kind"] in {"image@1", "audio@1"}}
    found: dict[str, list[str]] = {}
    for change in declared:
        for field in reads.get(change.entry, ()) if change.what in _DECODED else ():
            found.setdefault(field, []).append(f"{change.what} changed: other files are refused")
    return found


def _refusing(old: list[Entry], new: list[Entry], declared: tuple[Change, ...]) -> dict[str, list[str]]:
    """By field, what may refuse values that were accepted, though the field itself says nothing of it."""
    found = _decoding(old, declared)
    before, after = _closed(old), _closed(new)
    for field, known in after.items():
        if field not in before:
            found.setdefault(field, []).append("values that training has not seen are refused now")
        elif lost := before[field] - known:
            found.setdefault(field, []).append(f"{len(lost)} values that were known are refused now")
    return found


def _closed(entries: list[Entry]) -> dict[str, set[object]]:
    """By field, the values that are known to all entries that refuse every other."""
    found: dict[str, set[object]] = {}
    for entry in entries:
        if entry.document["kind"] == "coded@1" and entry.document["unseen"] is None:
            known = set(entry.document["categories"])
            for field in entry.reads:
                found[field] = found.get(field, known) & known
    return found


def _field(
    before: Field | None, after: Field | None, decoding: list[str], *, touched: bool
) -> FieldDifference:
    if after is None:
        return FieldDifference("breaking", ("is no field any more: rows that hold it are refused",))
    if before is None:
        return (
            FieldDifference("needs default", ("is new and required",))
            if after.required
            else FieldDifference("compatible", ("is new and may be left out",))
        )
    breaking = [*_other_kind(before, after), *_narrower(before.limits, after.limits), *decoding]
    if after.required and not before.required:
        became = "is required now"
        return FieldDifference("breaking" if breaking else "needs default", (*breaking, became))
    if breaking:
        return FieldDifference("breaking", tuple(breaking))
    eased = ("may be left out now",) if before.required and not after.required else ()
    if touched or before != after:
        return FieldDifference("compatible", eased or ("its features changed, its values did not",))
    return FieldDifference("same")


def _other_kind(before: Field, after: Field) -> list[str]:
    """Whatever else a field says of itself makes it another field."""
    if before.kind != after.kind:
        return [f"kind changed from {before.kind} to {after.kind}"]
    rest = [field.name for field in fields(Field) if field.name not in {"name", "kind", "required", "limits"}]
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in rest]
    return [f"{name} changed from {old} to {new}" for name, old, new in pairs if old != new]


def _narrower(before: tuple[float, float], after: tuple[float, float]) -> list[str]:
    found = []
    if after[0] > before[0] and after[0] > -REACH:
        found.append(f"the lower limit rose to {after[0]:.6g}")
    if after[1] < before[1] and after[1] < REACH:
        found.append(f"the upper limit fell to {after[1]:.6g}")
    return found


def _places(entries: list[Entry]) -> dict[str, int]:
    names = (name for entry in entries for name in entry.features)
    return {name: place for place, name in enumerate(names)}


def _touched(old: list[Entry], new: list[Entry]) -> set[str]:
    """Name the fields that an entry reads which is not the same in both."""
    before, after = ({entry.name: entry for entry in entries} for entries in (old, new))
    changed = [
        entry
        for mine, theirs in ((before, after), (after, before))
        for name, entry in mine.items()
        if name not in theirs or theirs[name].document != entry.document
    ]
    return {field for entry in changed for field in entry.reads}


def _changes(old: list[Entry], new: list[Entry]) -> list[tuple[Change, bool]]:
    """Return the changed values of the entries that both have, each with whether it was declared."""
    after = {entry.name: entry for entry in new}
    found: list[tuple[Change, bool]] = []
    for mine in old:
        theirs = after.get(mine.name)
        if theirs is None:
            continue
        if theirs.document["kind"] != mine.document["kind"]:  # nothing else in the two can be compared
            found.append((Change(mine.name, "kind", mine.document["kind"], theirs.document["kind"]), True))
            continue
        learnt = mine.learnt.keys() & theirs.learnt.keys()
        for key in [*mine.document, *(key for key in theirs.document if key not in mine.document)]:
            was, now = mine.document.get(key), theirs.document.get(key)
            if was != now:
                found.append((Change(mine.name, key, was, now), key not in learnt))
    return found


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _beyond(one: object, other: object) -> tuple[Any, ...]:
    if not isinstance(one, list) or not isinstance(other, list):
        return ()
    if not all(isinstance(item, Hashable) for item in (*one, *other)):
        return ()
    known = {(type(item), item) for item in other}
    return tuple(item for item in one if (type(item), item) not in known)


def _listed(items: tuple[Any, ...]) -> str:
    shown = ", ".join(short(repr(item), 24) for item in items[:_SHOWN])
    return shown if len(items) <= _SHOWN else f"{shown}, ..."

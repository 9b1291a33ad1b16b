"""Findings and events as JSON: every number as it was, nothing unknown accepted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from inprocml.errors import Unsupported
from inprocml.monitoring.series import Role
from inprocml.monitoring.verdict import Action, DriftEvent, Finding, Measures, Reference, State, Test
from inprocml.schema.sound import Strict as Finite
from inprocml.schema.sound import sound

__all__ = [
    "FROM_DICT",
    "MOST_COLUMNS",
    "CountDocument",
    "EventDocument",
    "FindingDocument",
    "NumberDocument",
    "ReferenceDocument",
    "StateDocument",
    "Strict",
    "known_kind",
    "plain",
    "read_event",
    "write_event",
]

_KIND = "drift_event@1"
_WHAT = "the drift event"
FROM_DICT = "Give from_dict what to_dict returned, unchanged"
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
MOST_COLUMNS = 20_000
"""The inputs and the outputs that a baseline may have."""
_MOST_BINS = 1_000
_MOST_NAME = 1_024


def write_event(event: DriftEvent) -> dict[str, Any]:
    """Return the event as ``DriftEvent.to_dict`` says."""
    return {"kind": _KIND} | {part.name: plain(getattr(event, part.name)) for part in fields(event)}


def read_event(document: Mapping[str, Any]) -> DriftEvent:
    """Return the event as ``DriftEvent.from_dict`` says."""
    known_kind(document, _KIND, _WHAT)
    return sound(_WHAT, lambda: EventDocument.model_validate(document).event(), now=FROM_DICT)


def known_kind(document: object, kind: str, what: str) -> None:
    """Raise ``Unsupported`` for a document of another kind than this release knows."""
    told = document.get("kind") if isinstance(document, dict) else None
    if isinstance(told, str) and told != kind:
        raise Unsupported(
            f"{what} is of kind {told[:64]!a}; this release knows {kind}. "
            "Read it with the release that wrote it, or a later one."
        )


def plain(value: object) -> Any:
    """Return what JSON can hold, exactly: numbers that are not finite as words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, str) else value


def _number(given: object) -> object:
    return _SPECIAL.get(given, given) if isinstance(given, str) else given


NumberDocument = Annotated[float, BeforeValidator(_number)]
CountDocument = Annotated[int, Field(ge=0, lt=2**63)]
_Counts = Annotated[list[CountDocument], Field(max_length=_MOST_BINS), Field(fail_fast=True)]
_Labels = Annotated[list[str], Field(max_length=_MOST_BINS), Field(fail_fast=True)]
StateDocument = Annotated[State, Field(strict=False)]
ReferenceDocument = Annotated[Reference, Field(strict=False)]
_Test = Annotated[Test, Field(strict=False)]


class Strict(Finite):
    """An object of known members, each of its type; its numbers may be infinite, as text."""

    model_config = ConfigDict(allow_inf_nan=True)


class _Measures(Strict):
    psi: NumberDocument | None
    psi_low: NumberDocument | None
    psi_high: NumberDocument | None
    jensen_shannon: NumberDocument | None
    hellinger: NumberDocument | None
    total_variation: NumberDocument | None
    l_infinity: NumberDocument | None
    binned_ks: NumberDocument | None
    wasserstein: NumberDocument | None
    location: NumberDocument | None
    scale: NumberDocument | None
    missing: NumberDocument | None
    unseen: NumberDocument | None
    out_of_range: NumberDocument | None


class FindingDocument(Strict):
    """A finding."""

    name: str
    role: Role
    state: StateDocument
    value: NumberDocument
    threshold: NumberDocument
    test: _Test | None
    effect: NumberDocument
    since: NumberDocument | None
    rows: CountDocument
    labels: _Labels
    reference: _Counts
    current: _Counts
    measures: _Measures
    new_values: Annotated[dict[str, CountDocument], Field(max_length=_MOST_BINS)]
    why: str
    begins: NumberDocument | None = None
    ends: NumberDocument | None = None
    folded: _Counts = Field(default_factory=list)  # documents of earlier releases have none
    new_values_exact: bool = False  # nor this

    def finding(self) -> Finding:
        """Return it; ``ValueError`` where bins and counts do not belong together."""
        if not len(self.labels) == len(self.reference) == len(self.current):
            raise ValueError("there must be one label and two counts per bin")
        if self.folded and {*self.folded} != {*range(len(self.labels))}:
            raise ValueError("every label must be of some bins")
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        parts |= {name: tuple(parts[name]) for name in ("labels", "reference", "current", "folded")}
        parts["measures"] = Measures(**self.measures.model_dump())
        parts["new_values"] = MappingProxyType(self.new_values)
        return Finding(**parts)


class EventDocument(Strict):
    """An event."""

    kind: Literal["drift_event@1"]
    id: Annotated[str, Field(max_length=_MOST_NAME)]
    action: Annotated[Action, Field(strict=False)]
    model: str
    version: str
    reference: ReferenceDocument
    at: NumberDocument
    since: NumberDocument
    findings: Annotated[list[FindingDocument], Field(max_length=MOST_COLUMNS), Field(fail_fast=True)]
    why: str = ""

    def event(self) -> DriftEvent:
        """Return it."""
        parts = {part.name: getattr(self, part.name) for part in fields(DriftEvent)}
        return DriftEvent(**parts | {"findings": tuple(found.finding() for found in self.findings)})

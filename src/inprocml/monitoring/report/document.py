"""The report as JSON: every number as it was, nothing unknown accepted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from inprocml.errors import Unsupported
from inprocml.monitoring.report.core import DriftReport, Health, Scope
from inprocml.monitoring.series import Role
from inprocml.monitoring.verdict import Finding, Measures, Moment, Reference, State, Test
from inprocml.schema.sound import no_crowd, sound

__all__ = ["read", "write"]

_KIND = "drift_report@1"
_WHAT = "the drift report"
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_MOST = 20_000  # columns: the inputs and the outputs that a baseline may have
_MOST_BINS = 1_000
_MOST_MOMENTS = 10_000


def write(report: DriftReport) -> dict[str, Any]:
    """Return the report as ``DriftReport.to_dict`` says."""
    document: dict[str, Any] = {"kind": _KIND}
    for part in fields(report):
        document[part.name] = _plain(getattr(report, part.name))
    return document


def read(document: Mapping[str, Any]) -> DriftReport:
    """Return the report as ``DriftReport.from_dict`` says."""
    given: object = document
    kind = given.get("kind") if isinstance(given, dict) else None
    if isinstance(kind, str) and kind != _KIND:
        raise Unsupported(
            f"the drift report is of kind {kind[:64]!a}; this release knows {_KIND}. "
            "Read it with the release that wrote it, or a later one."
        )
    return sound(_WHAT, lambda: _Document.model_validate(document).report())


def _plain(value: object) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Finding | Measures | Moment | Health):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, str) else value


def _number(given: object) -> object:
    return _SPECIAL.get(given, given) if isinstance(given, str) else given


_Number = Annotated[float, BeforeValidator(_number)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Counts = Annotated[list[_Count], Field(max_length=_MOST_BINS), Field(fail_fast=True)]
_Labels = Annotated[list[str], Field(max_length=_MOST_BINS), Field(fail_fast=True)]
_State = Annotated[State, Field(strict=False)]
_Reference = Annotated[Reference, Field(strict=False)]
_Test = Annotated[Test, Field(strict=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _no_crowd(cls, document: object) -> object:
        return no_crowd(document, len(cls.model_fields))


class _Measures(_Strict):
    psi: _Number | None
    psi_low: _Number | None
    psi_high: _Number | None
    jensen_shannon: _Number | None
    hellinger: _Number | None
    total_variation: _Number | None
    l_infinity: _Number | None
    binned_ks: _Number | None
    wasserstein: _Number | None
    location: _Number | None
    scale: _Number | None
    missing: _Number | None
    unseen: _Number | None
    out_of_range: _Number | None


class _Finding(_Strict):
    name: str
    role: Role
    state: _State
    value: _Number
    threshold: _Number
    test: _Test | None
    effect: _Number
    since: _Number | None
    rows: _Count
    labels: _Labels
    reference: _Counts
    current: _Counts
    measures: _Measures
    new_values: Annotated[dict[str, _Count], Field(max_length=_MOST_BINS)]
    why: str

    def finding(self) -> Finding:
        if not len(self.labels) == len(self.reference) == len(self.current):
            raise ValueError("there must be one label and two counts per bin")
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        parts |= {name: tuple(parts[name]) for name in ("labels", "reference", "current")}
        parts["measures"] = Measures(**self.measures.model_dump())
        parts["new_values"] = MappingProxyType(self.new_values)
        return Finding(**parts)


class _Moment(_Strict):
    until: _Number
    rows: _Count
    psi: Annotated[dict[str, _Number], Field(max_length=_MOST)]

    def moment(self) -> Moment:
        return Moment(self.until, self.rows, MappingProxyType(self.psi))


class _Health(_Strict):
    seen: _Count
    sampled: _Count
    dropped: _Count
    lag_seconds: _Number
    cpu_seconds: _Number
    workers: _Count
    hosts: _Count
    scope: Scope

    def health(self) -> Health:
        return Health(**self.model_dump())


class _Document(_Strict):
    kind: Literal["drift_report@1"]
    model: str
    version: str
    reference: _Reference
    state: _State
    at: _Number
    since: _Number | None
    rows: _Count
    findings: Annotated[list[_Finding], Field(max_length=_MOST), Field(fail_fast=True)]
    timeline: Annotated[list[_Moment], Field(max_length=_MOST_MOMENTS), Field(fail_fast=True)]
    health: _Health

    def report(self) -> DriftReport:
        return DriftReport(
            model=self.model,
            version=self.version,
            reference=self.reference,
            state=self.state,
            at=self.at,
            since=self.since,
            rows=self.rows,
            findings=tuple(found.finding() for found in self.findings),
            timeline=tuple(moment.moment() for moment in self.timeline),
            health=self.health.health(),
        )

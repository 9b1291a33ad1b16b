"""The report as JSON: every number as it was, nothing unknown accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from inprocml.monitoring.documents import (
    FROM_DICT,
    MOST_COLUMNS,
    CountDocument,
    EventDocument,
    FindingDocument,
    NumberDocument,
    ReferenceDocument,
    StateDocument,
    Strict,
    known_kind,
    plain,
    write_event,
)
from inprocml.monitoring.report.core import DriftReport, Health, Scope
from inprocml.monitoring.verdict import Joint, Moment, Progress
from inprocml.schema.sound import sound

__all__ = ["read", "write"]

_KIND = "drift_report@1"
_WHAT = "the drift report"
_MOST_MOMENTS = 10_000
_MOST_ENDED = 1_000
_MOST_HOSTS = 100_000


def write(report: DriftReport) -> dict[str, Any]:
    """Return the report as ``DriftReport.to_dict`` says."""
    told = {"kind": _KIND} | {part.name: plain(getattr(report, part.name)) for part in fields(report)}
    return told | {"ended": [write_event(event) for event in report.ended]}


def read(document: Mapping[str, Any]) -> DriftReport:
    """Return the report as ``DriftReport.from_dict`` says."""
    known_kind(document, _KIND, _WHAT)
    return sound(_WHAT, lambda: _Document.model_validate(document).report(), now=FROM_DICT)


class _Moment(Strict):
    until: NumberDocument
    rows: CountDocument
    psi: Annotated[dict[str, NumberDocument], Field(max_length=MOST_COLUMNS)]
    z: Annotated[dict[str, NumberDocument], Field(max_length=MOST_COLUMNS)] = {}  # noqa: RUF012 - pydantic copies it

    def moment(self) -> Moment:
        return Moment(self.until, self.rows, MappingProxyType(self.psi), MappingProxyType(self.z))


class _Progress(Strict):
    done: CountDocument
    wanted: CountDocument
    block_rows: CountDocument
    block_seconds: NumberDocument
    left: NumberDocument | None

    def progress(self) -> Progress:
        return Progress(**self.model_dump())


class _Health(Strict):
    seen: CountDocument
    sampled: CountDocument
    dropped: CountDocument
    lag_seconds: NumberDocument
    cpu_seconds: NumberDocument
    workers: CountDocument
    hosts: CountDocument
    scope: Scope
    sampled_out: CountDocument = 0  # documents of earlier releases have none

    def health(self) -> Health:
        return Health(**self.model_dump())


_Told = Annotated[tuple[str, NumberDocument], Field(strict=False)]


class _Joint(Strict):
    auc: NumberDocument
    p_value: NumberDocument
    rows: CountDocument
    compared: CountDocument
    hours: CountDocument
    at: NumberDocument
    columns: Annotated[list[_Told], Field(max_length=MOST_COLUMNS), Field(fail_fast=True)]
    hosts: Annotated[int, Field(ge=1, le=_MOST_HOSTS)] = 1
    watching: Annotated[int, Field(ge=0, le=_MOST_HOSTS)] = 0
    reach: NumberDocument | None = None  # documents of earlier releases have none

    def joint(self) -> Joint:
        return Joint(**{**dict(self), "columns": tuple(self.columns)})


class _Document(Strict):
    kind: Literal["drift_report@1"]
    model: str
    version: str
    reference: ReferenceDocument
    state: StateDocument
    at: NumberDocument
    since: NumberDocument | None
    rows: CountDocument
    findings: Annotated[list[FindingDocument], Field(max_length=MOST_COLUMNS), Field(fail_fast=True)]
    timeline: Annotated[list[_Moment], Field(max_length=_MOST_MOMENTS), Field(fail_fast=True)]
    health: _Health
    joint: _Joint | None = None  # documents of earlier releases have none
    progress: _Progress | None = None
    ended: Annotated[list[EventDocument], Field(max_length=_MOST_ENDED), Field(fail_fast=True)] = []  # noqa: RUF012

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
            joint=None if self.joint is None else self.joint.joint(),
            progress=None if self.progress is None else self.progress.progress(),
            ended=tuple(event.event() for event in self.ended),
        )

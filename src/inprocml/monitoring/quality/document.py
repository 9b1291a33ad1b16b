"""The report of quality as JSON: what it says, for whoever reads it, and what it was computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from inprocml.errors import Unsupported
from inprocml.monitoring.documents import FROM_DICT
from inprocml.monitoring.quality.counters import Counters
from inprocml.monitoring.quality.report import QualityReport, report_of
from inprocml.monitoring.quality.settings import Settings
from inprocml.schema.strict_json import corrupt

__all__ = ["read", "write"]

_KIND = "quality_report@1"
_WHAT = "the report of quality"
_MOST_NAME = 1_024
_LATEST = 1e11  # seconds since 1970: the year 5138


def write(report: QualityReport) -> dict[str, Any]:
    """Return the report as ``QualityReport.to_dict`` says."""
    return {
        "kind": _KIND,
        "model": report.model,
        "version": report.version,
        "state": str(report.state),
        "why": report.why,
        "at": report.at,
        "since": report.since,
        "rows": report.rows,
        "coverage": report.coverage,
        "metrics": {name: asdict(each) for name, each in report.metrics.items()},
        "upcoming": dict(report.upcoming),
        "slices": [
            {"field": name, "value": value, "metrics": {one: asdict(each) for one, each in found.items()}}
            for name, values in report.slices.items()
            for value, found in values.items()
        ],
        "cohorts": [asdict(each) for each in report.cohorts],
        "residual": None if report.residual is None else asdict(report.residual),
        "scope": report.scope,
        "workers": report.workers,
        "hosts": report.hosts,
        "settings": report.settings.document(),
        "counters": report.counters.document(),
    }


def read(document: Mapping[str, Any]) -> QualityReport:
    """Return the report as ``QualityReport.from_dict`` says."""
    if not isinstance(document, Mapping):
        raise corrupt(_WHAT, "it is no object", now=FROM_DICT)
    kind = document.get("kind")
    if isinstance(kind, str) and kind != _KIND:
        raise Unsupported(
            f"{_WHAT} is of kind {kind[:64]!a}; this release knows {_KIND}. "
            "Read it with the release that wrote it, or a later one."
        )
    try:
        settings = Settings.from_document(document["settings"])
        counters = Counters.from_document(document["counters"], len(settings.classes), settings.slice_names)
        _check_times(counters, settings.length)
        told = _said(document)
        return replace(report_of(settings, counters, told.pop("at"), told.pop("since")), **told)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise corrupt(_WHAT, f"it holds what cannot be ({type(error).__name__})", now=FROM_DICT) from error


def _check_times(counters: Counters, length: float) -> None:
    if any((number + 1) * length > _LATEST for number in counters.cohorts):
        raise ValueError("a cohort is of a time that no calendar has")


def _said(document: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: document[name] for name in ("at", "since", "model", "version", "scope", "workers", "hosts")}
    sound = (
        type(told["at"]) in {int, float}
        and 0 <= told["at"] <= _LATEST
        and (told["since"] is None or (type(told["since"]) in {int, float} and 0 <= told["since"] <= _LATEST))
        and all(type(told[name]) is str and len(told[name]) <= _MOST_NAME for name in ("model", "version"))
        and told["scope"] in {"worker", "host", "hosts"}
        and all(type(told[name]) is int and 1 <= told[name] < 2**31 for name in ("workers", "hosts"))
    )
    if document.get("kind") != _KIND or not sound:
        raise ValueError("a member is of another type, or out of range")
    return told

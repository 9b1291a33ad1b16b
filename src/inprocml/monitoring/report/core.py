"""The report: one state, the columns ranked, the last day, and how well monitoring itself is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inprocml.monitoring.verdict import DriftEvent, Finding, Joint, Moment, Progress, Reference, State

__all__ = ["DriftReport", "Health", "ranked"]

Scope = Literal["worker", "host", "hosts", "table"]

_WEIGHT = {
    State.DRIFT: 0,
    State.WATCH: 1,
    State.OK: 2,
    State.WARMING: 3,
    State.INSUFFICIENT: 4,
    State.STALE: 5,
}


@dataclass(frozen=True, slots=True)
class Health:
    """How monitoring itself is: ``seen`` rows were served, ``sampled`` of them counted, ``dropped`` lost.

    ``sampled_out`` were left out on purpose: more came than ``most_rows`` lets through, be it that there was
    no room for them either. ``dropped`` are those alone that it would have let through.
    ``lag_seconds`` is how far counting is behind serving, ``cpu_seconds`` what it has cost so far; both as of
    the report. ``scope`` says whose rows these are: one worker's, because those of the others could not be
    added, one host's, several hosts', or those of a table that was given.
    """

    seen: int = 0
    sampled: int = 0
    dropped: int = 0
    lag_seconds: float = 0.0
    cpu_seconds: float = 0.0
    workers: int = 1
    hosts: int = 1
    scope: Scope = "worker"
    sampled_out: int = 0


@dataclass(frozen=True, repr=False)
class DriftReport:
    """What the rows served show against one reference, as of ``at``; times are seconds since 1970, UTC.

    ``since`` is when the state began, ``rows`` how many rows it rests on. ``findings`` are ranked, the most
    telling first; ``timeline`` has the last day, oldest first; ``joint`` is what all columns show together,
    None before the first hour's look. ``progress`` is how far learning is that a verdict waits for, None if
    for none; ``ended`` the last episodes that are over, without findings. Shown as text in a terminal, and as
    tables and charts in a notebook.
    """

    model: str
    version: str
    reference: Reference
    state: State
    at: float
    since: float | None
    rows: int
    findings: tuple[Finding, ...] = ()
    timeline: tuple[Moment, ...] = ()
    health: Health = Health()
    joint: Joint | None = None
    progress: Progress | None = None
    ended: tuple[DriftEvent, ...] = ()

    @property
    def drifted(self) -> tuple[Finding, ...]:
        """The findings of columns that drifted, in their order."""
        return tuple(found for found in self.findings if found.state is State.DRIFT)

    @property
    def moved(self) -> tuple[Finding, ...]:
        """The findings of columns that drifted, and of those to watch."""
        return tuple(found for found in self.findings if found.state in {State.DRIFT, State.WATCH})

    def __getitem__(self, name: str) -> Finding:
        """Return the finding of one column: an input's before an output's of the same name."""
        named = sorted((found for found in self.findings if found.name == name), key=lambda one: one.role)
        if not named:
            raise KeyError(f"no column {name!r} is in this report; .findings has those that are")
        return named[0]

    def merge(self, *others: DriftReport) -> DriftReport:
        """Return one report of several hosts: counts add up, measures are computed again on the sums.

        Nothing is averaged. ``value``, ``threshold``, ``test`` and ``why`` of a column are those of
        the host that is most certain of it: windows, and how rows depend on one another, differ by host.
        ``ValueError`` where model, version or reference differ.
        """
        from inprocml.monitoring.report.merge import merged

        return merged((self, *others))

    def text(self, width: int = 100, *, ascii_only: bool = False) -> str:
        """Return the report as plain text of lines no longer than ``width`` cells, 40 at least.

        ``ascii_only``: for terminals without block letters; what ASCII cannot spell comes with backslashes.
        """
        from inprocml.monitoring.report.text import text

        return text(self, width, ascii_only=ascii_only)

    def body(self) -> str:
        """Return the report as a fragment of HTML, for a page of your own: no script, no ``<html>``."""
        from inprocml.monitoring.report.page import body

        return body(self)

    def html(self) -> str:
        """Return the report as one HTML file of at most 300 KB that loads nothing."""
        from inprocml.monitoring.report.page import page

        return page(self)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, exactly; numbers that are not finite as "inf", "-inf" and "nan"."""
        from inprocml.monitoring.report.document import write

        return write(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DriftReport:
        """Return the report that ``to_dict`` wrote.

        ``Unsupported`` for a kind that this release does not know, ``Corrupt`` for all else.
        """
        from inprocml.monitoring.report.document import read

        return read(document)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.body()


def ranked(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return the findings, the most telling first: by state, by how far beyond the threshold, by name."""
    return tuple(sorted(findings, key=_rank))


def graver(state: State) -> int:
    """Return the place of a state, 0 for the one that counts most when states of hosts are put together."""
    return _WEIGHT[state]


def beyond(found: Finding) -> float:
    """Return how many times its threshold a finding is, 0 where there is none."""
    return found.value / found.threshold if found.threshold > 0 else 0.0


def _rank(found: Finding) -> tuple[int, float, float, str, str]:
    return (graver(found.state), -beyond(found), -abs(found.effect), found.role, found.name)

"""Reports of several hosts as one: counts add up, and whatever can be is computed again from the sums.

What cannot be is never averaged. Mean scores of hosts rise with their number while nothing drifts
(16 hosts of 60 rows each show a PSI of 0.13 where all rows together show 0.01), so a column keeps the verdict
of the host that is most certain of it: its rows are evidence whatever the others saw. Hours of the
timeline hold scores and no counts: of one hour, the largest stays.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from inprocml.monitoring.report.coarser import Grid, onto, put
from inprocml.monitoring.report.core import DriftReport, Health, beyond, graver, ranked
from inprocml.monitoring.report.measures import measures
from inprocml.monitoring.report.shares import rates
from inprocml.monitoring.stretches import CALM
from inprocml.monitoring.verdict import (
    NEW_VALUES,
    DriftEvent,
    Finding,
    Joint,
    Measures,
    Moment,
    Progress,
    Reference,
    State,
    Test,
)

__all__ = ["merged"]

_HOUR = 3600.0


def merged(reports: Sequence[DriftReport]) -> DriftReport:
    """Return the reports as one, as ``DriftReport.merge`` says; one alone comes back as it is."""
    first = reports[0]
    if len(reports) == 1:
        return first
    for what in ("model", "version", "reference"):
        told = sorted({str(getattr(report, what)) for report in reports})
        if len(told) > 1:
            raise ValueError(
                f"reports of different {what}s do not merge: {', '.join(map(repr, told))}. "
                "Merge those of one model, version and reference."
            )
    state = min((report.state for report in reports), key=graver)
    began = [report.since for report in reports if report.state is state and report.since is not None]
    return replace(
        first,
        state=state,
        at=max(report.at for report in reports),
        since=min(began, default=None),
        rows=sum(report.rows for report in reports),
        findings=_findings(reports, first.reference),
        timeline=_timeline(moment for report in reports for moment in report.timeline),
        health=_health([report.health for report in reports]),
        joint=_joint([report.joint for report in reports if report.joint is not None]),
        progress=min((report.progress for report in reports if report.progress), key=_behind, default=None),
        ended=_ended([event for report in reports for event in report.ended]),
    )


def _joint(looks: Sequence[Joint]) -> Joint | None:
    """The look that tells most, of those that have a whole day if there are any; and how many hosts watch."""
    judged = [look for look in looks if look.state is not State.WARMING] or looks
    if not judged:
        return None
    hosts = sum(look.hosts for look in judged)
    watching = sum(look.watching if look.hosts > 1 else look.state is State.WATCH for look in judged)
    return replace(min(judged, key=_telling), hosts=hosts, watching=watching if hosts > 1 else 0)


def _telling(look: Joint) -> tuple[Any, ...]:
    """What is at watch comes first, then what is most certain; of looks alike the same one in any order."""
    reach = CALM if look.reach is None else look.reach
    sizes = (-look.rows, -look.compared, -look.hours)
    silent = not (look.apart and look.beyond)
    told = (silent, look.p_value, reach - look.auc, -look.auc, reach, look.reach is None)
    return (*told, *sizes, -look.at, look.columns)


def _behind(progress: Progress) -> tuple[float, ...]:
    """The host that has most to learn yet comes first."""
    left = -1.0 if progress.left is None else -progress.left
    return (progress.done - progress.wanted, left, progress.block_rows, progress.block_seconds)


def _ended(events: Sequence[DriftEvent]) -> tuple[DriftEvent, ...]:
    """Each host has episodes of its own."""
    return tuple(sorted(events, key=lambda event: (event.at, event.to_json())))


def _findings(reports: Sequence[DriftReport], reference: Reference) -> tuple[Finding, ...]:
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for report in reports:
        for found in report.findings:
            groups[found.role, found.name].append(found)
    return ranked(tuple(_finding(group, reference) for group in groups.values()))


def _finding(group: Sequence[Finding], reference: Reference) -> Finding:
    """One column of several hosts, on the finest bins that all counts can be put on.

    Counts that no bins of the most rows are made of (of another baseline) cannot be added: left out.
    """
    if len(group) == 1:
        return group[0]
    certain = min(group, key=_certainty)
    target = _most_rows(group)
    labels = target.labels
    alike = [fits for found in group if (fits := _coarser(found, target)) is not None]
    current = _summed([found.current for found in alike])
    counted = [found.reference for found in alike]
    # Training rows are the same on every host; each has healthy rows of its own.
    compared = max(counted, key=lambda counts: (sum(counts), counts))
    if reference is Reference.LIVE:
        compared = _summed(counted)
    values, exact = _new_values(group)
    again = measures(compared, current, labels, expected=reference is Reference.TRAIN)
    began = [found.since for found in group if found.state is certain.state and found.since is not None]
    return replace(
        certain,
        since=min(began, default=None),
        rows=sum(found.rows for found in group),
        labels=labels,
        folded=target.folded,
        reference=compared,
        current=current,
        measures=again,
        effect=_effect(certain, again, rates(labels, compared)),
        new_values=values,
        new_values_exact=exact,
        begins=min((found.begins for found in alike if found.begins is not None), default=None),
        ends=max((found.ends for found in alike if found.ends is not None), default=None),
    )


def _coarser(found: Finding, target: Grid) -> Finding | None:
    """Return a finding with its counts on these bins; ``None`` where they cannot be put there."""
    places = onto(_grid(found), target)
    if places is None:
        return None
    then, now = (put(counts, places, len(target.labels)) for counts in (found.reference, found.current))
    return replace(found, labels=target.labels, folded=target.folded, reference=then, current=now)


def _grid(found: Finding) -> Grid:
    return Grid(found.labels, found.folded)


def _certainty(found: Finding) -> tuple[int, float, float, str, str, float, float]:
    by = found.test or ""
    return (
        graver(found.state),
        -beyond(found),
        -found.value,
        by,
        found.why,
        -abs(found.effect),
        found.effect,
    )


def _most_rows(group: Sequence[Finding]) -> Grid:
    """Return the bins on which most rows can be put; of several the most bins."""
    fitting = {
        grid: [found for found in group if onto(_grid(found), grid) is not None]
        for grid in {_grid(found) for found in group}
    }
    rows = {grid: sum(sum(found.current) for found in found_on) for grid, found_on in fitting.items()}
    return max(rows, key=lambda grid: (rows[grid], len(fitting[grid]), len(grid.labels), grid))


def _summed(counts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*counts, strict=True)))


def _effect(found: Finding, again: Measures, before: Sequence[float | None]) -> float:
    """How far all rows together moved, where that is what the test looks at and it is defined."""
    missing, unseen, outside = before
    changes: dict[Test, tuple[float | None, float | None]] = {
        Test.LOCATION: (again.location, 0.0),
        Test.SCALE: (again.scale, 0.0),
        Test.SHAPE: (again.psi, 0.0),
        Test.MISSING: (again.missing, missing),
        Test.UNSEEN: (again.unseen, unseen),
        Test.OUT_OF_RANGE: (again.out_of_range, outside),
    }
    now, was = (None, None) if found.test is None else changes[found.test]
    return found.effect if now is None or was is None else now - was


def _new_values(group: Sequence[Finding]) -> tuple[MappingProxyType[str, int], bool]:
    """Return the sums of what hosts name; exact only where no host can have left a name out."""
    total: dict[str, int] = defaultdict(int)
    for found in group:
        for value, times in found.new_values.items():
            total[value] += times
    kept = sorted(total.items(), key=lambda one: (-one[1], one[0]))[:NEW_VALUES]
    exact = len(total) < NEW_VALUES and all(found.new_values_exact for found in group)
    return MappingProxyType(dict(kept)), exact


def _timeline(moments: Iterable[Moment]) -> tuple[Moment, ...]:
    hours: dict[int, list[Moment]] = defaultdict(list)
    for moment in moments:
        hours[math.ceil(moment.until / _HOUR)].append(moment)
    return tuple(_moment(hours[hour]) for hour in sorted(hours))


def _moment(slots: Sequence[Moment]) -> Moment:
    psi, z = (_most([getattr(slot, name) for slot in slots]) for name in ("psi", "z"))
    return Moment(max(slot.until for slot in slots), sum(slot.rows for slot in slots), psi, z)


def _most(scores: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    most: dict[str, float] = {}
    for each in scores:
        for name, score in each.items():
            most[name] = max(score, most.get(name, score))
    return MappingProxyType(most)


def _health(parts: Sequence[Health]) -> Health:
    return Health(
        seen=sum(part.seen for part in parts),
        sampled=sum(part.sampled for part in parts),
        dropped=sum(part.dropped for part in parts),
        lag_seconds=max(part.lag_seconds for part in parts),
        cpu_seconds=sum(part.cpu_seconds for part in parts),
        workers=sum(part.workers for part in parts),
        hosts=sum(part.hosts for part in parts),
        scope="hosts",
        sampled_out=sum(part.sampled_out for part in parts),
    )

"""What the processes of a host have heard of labels, seen from outside: by a command, not by a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inprocml.monitoring.quality import QualityReport, Tally, report_of
from inprocml.monitoring.quality.record import Record
from inprocml.monitoring.verdict import DriftEvent, State
from inprocml.monitoring.watching.episode import Episode, event_of
from inprocml.monitoring.watching.sharing import counts_file, labels_beside, labels_in
from inprocml.monitoring.watching.tallies import ALIVE_SECONDS

__all__ = ["overheard", "worse"]


def overheard(
    folder: Path, *, model: str, version: str, digest: str, reference: Tally | None, now: float
) -> QualityReport | None:
    """Return the report of one version from ``folder`` of ``Monitoring(folder=...)``; None without counts.

    ``reference`` is that of its bundle. Where processes count under different settings, as when a server is
    being replaced, the report is of those that looked last. Raises ``OSError`` for want of rights, and
    ``ValueError`` for a record that is damaged.
    """
    files = [labels_in(path) for path in labels_beside(counts_file(folder, model, digest))]
    shown = [
        (Record.from_bytes(found[0]), Episode.load(found[1]))
        for found in files
        if found is not None and found[0] is not None
    ]
    if not shown:
        return None
    newest = max((record for record, _ in shown), key=lambda record: record.beat).settings
    same = [each for each in shown if each[0].settings.digest == newest.digest]
    alike = [record for record, _ in same]
    last = max((episode for _, episode in same), key=lambda episode: episode.number)
    total = alike[0].counters
    for record in alike[1:]:
        total += record.counters
    living = sum(now - record.beat < ALIVE_SECONDS for record in alike)
    report = report_of(replace(newest, reference=reference), total, now, last.known_since)
    return replace(report, model=model, version=version, scope="host", workers=max(1, living))


def worse(report: QualityReport, folder: Path, digest: str) -> DriftEvent | None:
    """Return the event of the episode that is open, as the servers told it; None where none is.

    ``report`` is what was ``overheard`` of the version ``digest``; episodes of other settings are not its.
    Where labels are not worse, or say nothing any more, there is nothing to tell: who would end the episode
    may be gone.
    """
    if report.state not in {State.DRIFT, State.WATCH}:
        return None
    settings = report.settings.digest.hex()[:16]
    beside = labels_beside(counts_file(folder, report.model, digest))
    files = [labels_in(path) for path in beside if path.name.split(".")[1] == settings]
    episodes = [Episode.load(found[1]) for found in files if found is not None]
    last = max(episodes, key=lambda episode: episode.number, default=Episode())
    return None if last.opened is None else event_of(report, last)

"""What a report says, in words: the same ones in a terminal, in a notebook and on a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from inprocml.drawing import clean
from inprocml.monitoring.alarm import words as alarm
from inprocml.monitoring.alarm.words import lasting
from inprocml.monitoring.report.core import DriftReport
from inprocml.monitoring.report.shares import is_numeric, rates
from inprocml.monitoring.report.timeline import Strip
from inprocml.monitoring.verdict import NEW_VALUES, Finding, Reference, State, Test

__all__ = [
    "against",
    "alone",
    "amount",
    "began",
    "changed",
    "clock",
    "counted",
    "ended",
    "health",
    "joint",
    "lasting",
    "learning",
    "missing",
    "new_values",
    "of_rows",
    "outside",
    "over_time",
    "percent",
    "psi",
    "standing",
    "strength",
    "title",
    "unheard",
    "unjudged",
    "window",
]

_TITLES = {
    State.WARMING: "Warming up: no verdict yet",
    State.INSUFFICIENT: "Too few rows for a verdict",
    State.OK: "No drift",
    State.WATCH: "Watch: something moved",
    State.DRIFT: "Drift",
    State.STALE: "Stale: no rows have come lately",
}  # none but ``ok`` says that all is well

_DAY = 86_400.0
_STRENGTHS = ((0.02, "slight"), (0.1, "minor"), (0.25, "moderate"))
_UNJUDGED = {
    State.INSUFFICIENT: "too few rows for a verdict",
    State.WARMING: "how far rows depend on one another is still being learnt",
    State.STALE: "no rows lately",
}
_WANTING = {State.INSUFFICIENT, State.WARMING}
_LEAST = 50  # rows of a reference
_VALUES = 5


def against(reference: Reference) -> tuple[str, str]:
    """Return what now is compared with, and a short name for it."""
    if reference is Reference.TRAIN:
        return ("the training rows", "training")
    return ("an earlier healthy period", "before")


def began(found: Finding, now: float) -> str:
    """Return since when a column has moved; of one that has not, no time."""
    return clock(found.since if found.state in {State.DRIFT, State.WATCH} else None, now)


def clock(when: float | None, now: float) -> str:
    """Return a time of day, with the date where it is a day away from ``now`` or more; UTC."""
    return "-" if when is None else alarm.clock(when, now, dated=True)


def window(found: Finding, now: float) -> str:
    """Return of which time the numbers of a finding are."""
    begins, ends = found.begins, found.ends
    if begins is None or ends is None:
        return "-"
    if now - ends <= max((ends - begins) / 10, 120):
        return f"last {lasting(ends - begins)}"
    if now - begins < _DAY:
        return f"{clock(begins, now)} to {clock(ends, now)}"
    return f"{clock(begins, begins + 2 * _DAY)} to {clock(ends, ends + 2 * _DAY)}"  # each with its date


def of_rows(found: Finding, now: float) -> str:
    """Return how many rows the numbers of a finding rest on, and of which time these are."""
    of = window(found, now)
    return f"{found.rows:,} rows" if of == "-" else f"{found.rows:,} rows, {of}"


def over_time(report: DriftReport, told: Strip) -> str:
    """Return what the timeline shows: of which time it is, how much there was at most, and its scale."""
    slots = report.timeline
    over, until = lasting(slots[-1].until - slots[0].until), clock(slots[-1].until, report.at)
    said = f"{over} until {until} UTC, {len(slots)} slots; at most {max(slot.rows for slot in slots):,} rows"
    if not told.most:
        return f"{said}. No slot shows more than chance does, or has rows enough to tell."
    merged = f" Of one slot, the largest {told.what} of any host." if report.health.hosts > 1 else ""
    return f"{said}, {told.what} {told.most:.2g}; {told.scale}.{merged}"


def new_values(report: DriftReport, found: Finding, spell: Callable[[str], str] = clean) -> str:
    """Return the most frequent values never seen before, with how often they came; nothing without any.

    "At least", where counts or the number of names may be lower bounds.
    """
    if not found.new_values:
        return ""
    most = sorted(found.new_values.items(), key=lambda one: (-one[1], one[0]))[:_VALUES]
    shown = ", ".join(f"{spell(value)} ({times:,})" for value, times in most)
    left = len(found.new_values) - len(most)
    whole = found.new_values_exact and len(found.new_values) < NEW_VALUES
    more = f" and {'' if whole else 'at least '}{left} more" if left else ""
    return f"Unseen values{so_far(report, found)}: {shown}{more}"


def percent(part: float | None) -> str:
    """Return a share as percent, ``-`` where there is none."""
    return "-" if part is None else alarm.percent(part)


def title(report: DriftReport) -> str:
    """Return the state, and of what drifted the names that come first."""
    names = [found.name for found in report.drifted]
    said = _TITLES[report.state]
    return f"{said}: {_named(names, 3)}" if report.state is State.DRIFT and names else said


def standing(report: DriftReport) -> str:
    """Return since when, of which model, against what, and as of when."""
    began = ""
    if report.since is not None:
        began = f"since {clock(report.since, report.at)} UTC ({lasting(report.at - report.since)}), "
    rival, _ = against(report.reference)
    as_of = clock(report.at, report.at + 2 * _DAY)
    return f"{began}{clean(report.model)} {clean(report.version)} against {rival}, as of {as_of} UTC"


def counted(report: DriftReport) -> str:
    """Return how many columns are in which state, and how many rows that rests on."""
    states = Counter(found.state for found in report.findings)
    parts = [
        f"{states[state]} {what}"
        for state, what in (
            (State.DRIFT, "drifted"),
            (State.WATCH, "to watch"),
            (State.OK, "ok"),
        )
        if states[state] or state is State.DRIFT
    ]
    if waiting := sum(states[state] for state in _UNJUDGED):
        parts.append(f"{waiting} not judged")
    hosts = f" of {report.health.hosts} hosts" if report.health.hosts > 1 else ""
    return f"Of {len(report.findings)} columns {', '.join(parts)}. {report.rows:,} rows{hosts} compared."


def alone(report: DriftReport) -> str:
    """Say so where other processes of the host could not be added."""
    if report.health.scope != "worker":
        return ""
    return (
        "Of this process alone: what other processes of this host count could not be added; "
        "its log says why, if there are any."
    )


def learning(report: DriftReport) -> str:
    """Return how far learning is that a verdict waits for, and what is judged already."""
    told = report.progress
    if told is None:
        return ""
    block = f"a block is {told.block_rows:,} rows and {lasting(told.block_seconds)}, at least"
    pace = "" if told.left is None else f"; about {_about(told.left)} more at this pace"
    if report.reference is Reference.LIVE:
        so_far = f"{told.done:,} so far ({block}){pace}"
        return f"The time before is compared with from block {told.wanted:,} on: {so_far}."
    return (
        f"Learning how far rows depend on one another: {told.done:,} of {told.wanted:,} blocks so far "
        f"({block}){pace}. Judged meanwhile: values that training never saw (unseen, out of range), and "
        "enormous changes (five points of a share, half a sigma, a PSI of 0.5)."
    )


def ended(report: DriftReport) -> list[str]:
    """Return the last episodes that are over, the newest first."""
    return [clean(event.why or f"{event.id}: over", 300) for event in reversed(report.ended)]


def strength(score: float | None) -> str:
    """Return a debiased PSI in a word: slight below 0.02, minor below 0.1, moderate below 0.25, major."""
    if score is None:
        return "-"
    return next((word for limit, word in _STRENGTHS if score < limit), "major")


def psi(found: Finding) -> str:
    """Return the debiased PSI with its 95 % interval."""
    score, low, high = found.measures.psi, found.measures.psi_low, found.measures.psi_high
    if score is None:
        return "-"
    said = [f"{round(part, 2) + 0.0:.2f}" for part in (score, low, high) if part is not None]  # no -0.00
    return f"{said[0]} [{said[1]}, {said[2]}]" if len(said) == 3 else said[0]


def amount(found: Finding) -> str:
    """Return by how much a column moved, as its strongest test sees it; ``-`` for one that was not judged."""
    by, test = found.effect, found.test
    if test is None or found.state in _UNJUDGED:
        return "-"
    if test in {Test.LOCATION, Test.SCALE} and not is_numeric(found.labels):
        return f"shares moved, {strength(found.measures.psi)}"
    if test is Test.SHAPE and found.measures.psi is not None:
        by = found.measures.psi  # on all bins, as the table has it; the test saw fewer, larger ones
    if test is Test.SHAPE and found.state is State.OK and by >= _STRENGTHS[0][0]:
        # nothing shorter is a verdict: the hour, or the day of the week, explains it
        return "judged by whole days"
    return {
        Test.LOCATION: f"{'up' if by >= 0 else 'down'} {abs(by):.2f} sigma",
        Test.SCALE: f"spread {abs(by) * 100:.0f} % {'wider' if by >= 0 else 'narrower'}",
        Test.SHAPE: f"shape, {strength(by)} (PSI {by:.2f})",
    }.get(test, f"{test.replace('_', ' ')} {by * 100:+.1f} points")


def changed(found: Finding, reference: Reference, now: float) -> str:
    """Return what changed: what the decision said of it, else the rate or the move that it rests on."""
    if found.state in _WANTING:
        return ""
    if found.why:
        return clean(found.why, 200)
    if found.state not in {State.DRIFT, State.WATCH} or found.test is None:
        return ""
    _, rival = against(reference)
    since = f", since {clock(found.since, now)}" if found.since is not None else ""
    place = {Test.MISSING: 0, Test.UNSEEN: 1, Test.OUT_OF_RANGE: 2}.get(found.test)
    if place is None:
        return f"{clean(found.name)}: {amount(found)} against {rival}{since}"
    is_, was = (percent(rates(found.labels, counts)[place]) for counts in (found.current, found.reference))
    against_it = unheard(found, reference) if found.test is Test.UNSEEN else rival
    return f"{clean(found.name)}: {is_} {found.test.replace('_', ' ')}, {was} {against_it}{since}"


def unheard(found: Finding, reference: Reference) -> str:
    """Return what the share of values unknown to the reference is compared with, in a word."""
    known = rates(found.labels, found.reference)[1]
    return "expected" if known and reference is Reference.TRAIN else against(reference)[1]


def outside(found: Finding) -> tuple[str, str]:
    """Return the share of values unknown to the reference (unseen, or out of range), now and in it."""
    _, new, beyond = rates(found.labels, found.current)
    _, old, before = rates(found.labels, found.reference)
    return percent(beyond if new is None else new), percent(before if old is None else old)


def missing(found: Finding) -> tuple[str, str]:
    """Return the share of missing values, now and in the reference."""
    return percent(rates(found.labels, found.current)[0]), percent(rates(found.labels, found.reference)[0])


def so_far(report: DriftReport, found: Finding) -> str:
    """Return of which rows the names of unseen values are, for they are of no window; and lower bounds so."""
    table = report.health.scope == "table"
    if found.new_values_exact:
        return "" if table else " of all rows counted so far"
    return ", at least" if table else " of all rows so far, at least"


def unjudged(report: DriftReport) -> list[str]:
    """Return what could not be judged and why, one sentence a reason."""
    said = []
    few = [found for found in report.findings if found.state in _WANTING and _unknown(found)]
    if few:
        what = "training" if report.reference is Reference.TRAIN else "the time before"
        said.append(f"Too little is known of {what}: {_named([one.name for one in few])}.")
    for state, why in _UNJUDGED.items():
        names = [found for found in report.findings if found.state is state and found not in few]
        if names:
            rows = [found.rows for found in names]
            said.append(
                f"{why[0].upper()}{why[1:]} ({_span(rows)}): {_named([_reason(one) for one in names])}."
            )
    return said


def _reason(found: Finding) -> str:
    """Return the name of a column and, in brackets, what is wanting for a verdict."""
    if not found.why.startswith(f"{found.name}: "):
        return clean(found.name, 40)
    return f"{clean(found.name, 40)} ({clean(found.why.removeprefix(f'{found.name}: '), 80)})"


def _unknown(found: Finding) -> bool:
    """Whether it is the reference that has too few rows: no rows of now will help."""
    return sum(found.reference) < _LEAST


def joint(report: DriftReport) -> str:
    """Return what all columns show together; nothing before the first look."""
    found = report.joint
    if found is None:
        return ""
    rival = "training rows" if report.reference is Reference.TRAIN else "rows of the day before"
    chance = f"AUC {found.auc:.2f}, p {found.p_value:.2g}; {found.rows:,} rows against {found.compared:,}"
    if found.reach is not None:
        chance += f"; stretches of training reach {found.reach:.2f}"
    if found.state is State.WARMING:
        return (
            f"All columns together: {found.hours} of the 24 hours that a verdict needs ({chance}, where the "
            "time of day may tell)."
        )
    if found.hosts > 1:
        chance = f"{found.watching} of {found.hosts} hosts can, of the clearest {chance}"
        if found.state is not State.WATCH and found.watching:
            return (
                f"All columns together: chance alone may tell rows of the last day from {rival} ({chance})."
            )
    if found.state is not State.WATCH and found.apart and not found.beyond:
        return (
            f"All columns together: rows of the last day differ from {rival} no more than training rows do "
            f"among themselves ({chance})."
        )
    if found.state is not State.WATCH:
        return f"All columns together: rows of the last day cannot be told from {rival} ({chance})."
    told = f" {_named([name for name, _ in found.columns])} tell most." if found.columns else ""
    return (
        f"Watch, all columns together: rows of the last day can be told from {rival} ({chance}).{told} "
        "No column alone need have moved."
    )


def health(report: DriftReport) -> str:
    """Return how monitoring itself is; what it lost comes first."""
    of = report.health
    lost = f"{of.dropped:,} rows were dropped before they were counted. " if of.dropped else ""
    who = f"{of.workers} worker{'' if of.workers == 1 else 's'}"
    if of.hosts > 1:
        who += f" on {of.hosts} hosts"
    left = f" ({of.sampled_out:,} left out by most_rows)" if of.sampled_out else ""
    return (
        f"{lost}{of.seen:,} rows seen, {of.sampled:,} counted{left}, by {who}; "
        f"{max(of.lag_seconds, 0):.1f} s behind, {of.cpu_seconds:.1f} s of CPU in all."
    )


def _named(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(clean(name, 130) for name in names[:most]) + more


def _about(seconds: float) -> str:
    """Return a span in one round number."""
    for unit, size in (("days", _DAY), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return "a minute"


def _span(rows: Sequence[int]) -> str:
    low, high = min(rows), max(rows)
    return f"{low:,} rows" if low == high else f"{low:,} to {high:,} rows"

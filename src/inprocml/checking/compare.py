"""Compares a new version with an old one, point by point."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inprocml.bundle import Bundle
from inprocml.checking.metrics import HIGHER_IS_BETTER, measure
from inprocml.checking.report import Check, Report
from inprocml.checking.scored import Answers, Scored
from inprocml.errors import InvalidRow, PackError
from inprocml.values import Row, Table

__all__ = ["Limits", "check"]

_ROUNDS = 5
_TIMED_ROWS = 200
_SOUND = {"same", "compatible"}
_FIELDS = 3  # told of a row that is refused


@dataclass(frozen=True, slots=True)
class Limits:
    """What a new version may cost.

    ``metrics``: by how much each figure may be worse; one that is not named, by 1 % of the old one.
    ``latency`` and ``size``: how many times the old one's (median of one row; bytes). ``disagreement``: share
    of the rows that it may answer otherwise, ``None`` for any. ``breaking`` allows a schema that refuses rows
    the old one took. Raises ``ValueError`` for what is no limit.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    latency: float = 1.5
    size: float = 2.0
    disagreement: float | None = None
    breaking: bool = False

    def __post_init__(self) -> None:
        told = {**self.metrics, "latency": self.latency, "size": self.size}
        told |= {} if self.disagreement is None else {"disagreement": self.disagreement}
        for name, value in told.items():
            if math.isnan(value) or value < 0:
                raise ValueError(f"the limit of {name} must be a number, 0 or more")


def check(
    new: Bundle | str | os.PathLike[str],
    *,
    against: Bundle | str | os.PathLike[str],
    table: Table | None = None,
    labels: Sequence[Any] | None = None,
    column: str | None = None,
    limits: Limits | None = None,
    allow_loops: bool = False,
) -> Report:
    """Compare ``new`` with the version ``against``, on ``table`` if given, and on its ``labels``.

    Either may be a path, which is opened; of a store, give ``store.open(version)``. Both run their golden
    rows first; ``allow_loops`` as in ``Policy``. Without labels, the metrics that both were packed with are
    compared; ``column`` is what the labels are called, for errors. Raises as ``Bundle.open`` and the runtimes
    do, and ``PackError`` for a table without rows or labels that the model does not know; what merely is
    worse is a failed ``Check``.
    """
    limits = limits or Limits()
    new, against = _opened(new), _opened(against)
    before = Scored(against, allow_loops=allow_loops)
    try:
        after = Scored(new, allow_loops=allow_loops)
    except BaseException:
        before.close()
        raise
    try:
        checks = [_schema(against, new, limits), _output(against, new), _parity(new)]
        checks.append(_ratio("size", _size(against), _size(new), limits.size, "{:,.0f} bytes"))
        if table is not None:
            checks += _on_rows(before, after, table, (labels, column), limits)
        if labels is None:
            checks += _figures(against.manifest.metrics, new.manifest.metrics, limits.metrics, "as packed: ")
        rows = list(against.golden.rows) if table is None else _some_rows(against, table)
        checks += _latency(before, after, rows, limits)
    finally:
        before.close()
        after.close()
    return Report(new=f"new {new.version}", old=f"old {against.version}", checks=tuple(checks))


def _opened(place: Bundle | str | os.PathLike[str]) -> Bundle:
    return place if isinstance(place, Bundle) else Bundle.open(place)


def _schema(old: Bundle, new: Bundle, limits: Limits) -> Check:
    difference = old.transform.diff(new.transform)
    verdict = difference.rows
    sound = verdict in _SOUND
    broken = [name for name, field in difference.fields.items() if field.verdict not in _SOUND]
    told = verdict if sound else f"{verdict}: {_short(', '.join(broken))}"
    return Check("rows", "", told, "any" if limits.breaking else "compatible", sound or limits.breaking)


def _output(old: Bundle, new: Bundle) -> Check:
    told = [
        ", ".join(map(str, output.labels or (output.kind,)))
        for output in (old.manifest.output, new.manifest.output)
    ]
    same = old.manifest.output.labels == new.manifest.output.labels
    return Check("output", _short(told[0]), _short(told[1]), "same", same)


def _parity(new: Bundle) -> Check:
    parity = new.parity
    if parity.distance is None:
        return Check("parity with the trained model", "", "not measured", "", None)
    allowed = f"<= {parity.limit:.3g}"
    sound = parity.distance <= parity.limit
    return Check("parity with the trained model", "", f"{parity.distance:.3g}", allowed, sound)


def _on_rows(
    before: Scored,
    after: Scored,
    table: Table,
    truth: tuple[Sequence[Any] | None, str | None],
    limits: Limits,
) -> Iterator[Check]:
    old, new = _answered(before, table), _answered(after, table)
    if isinstance(old, InvalidRow) or isinstance(new, InvalidRow):
        cells = _taken(old, "old"), _taken(new, "new")
        yield Check("rows of the file", *cells, "accepted", passed=False)
        return
    if not old.values:
        raise PackError("table holds no rows. Give rows that training has not seen, or leave it out.")
    yield Check("rows of the file", _taken(old, "old"), _taken(new, "new"), "accepted", passed=True)
    known = before.bundle.manifest.output.labels
    if known != after.bundle.manifest.output.labels:  # a failed check already
        yield Check("answers and metrics", "", "other labels: not compared", "", None)
        return
    yield _disagreement(old, new, limits.disagreement)
    labels, column = truth
    if labels is not None:
        was, now = (measure(answers, labels, known, column=column) for answers in (old, new))
        yield from _figures(was, now, limits.metrics, "")


def _answered(scored: Scored, table: Table) -> Answers | InvalidRow:
    try:
        return scored.answers(table)
    except InvalidRow as error:
        return error


def _taken(answers: Answers | InvalidRow, which: str) -> str:
    """Say how many rows are accepted, or why not; reasons never hold values."""
    if isinstance(answers, Answers):
        return str(len(answers.values))
    told = [f"{_short(name)} ({_short(reason)})" for name, reason in answers.issues.items()]
    more = ", ..." if len(told) > _FIELDS else ""
    return f"refused by the {which} version: {', '.join(told[:_FIELDS])}{more} (row {answers.row})"


def _disagreement(old: Answers, new: Answers, limit: float | None) -> Check:
    if old.probabilities is None:
        apart = [abs(a - b) for a, b in zip(old.values, new.values, strict=True)]
        return Check("mean change of the answers", "", f"{statistics.fmean(apart or [0.0]):.4g}", "", None)
    differ = sum(a != b for a, b in zip(old.values, new.values, strict=True))
    share = differ / max(len(old.values), 1)
    allowed = "" if limit is None else f"<= {limit:g}"
    return Check("answers otherwise", "", f"{share:.4g}", allowed, None if limit is None else share <= limit)


def _figures(
    old: Mapping[str, float], new: Mapping[str, float], limits: Mapping[str, float], prefix: str
) -> Iterator[Check]:
    for name in sorted({*old, *new, *limits}):
        if name not in old or name not in new:
            was, now = (f"{side[name]:.4f}" if name in side else "-" for side in (old, new))
            # a limit on what cannot be compared is not kept
            yield Check(prefix + name, was, now, "", False if name in limits else None)
            continue
        limit = limits.get(name, 0.01 * abs(old[name]))
        worse = old[name] - new[name] if name in HIGHER_IS_BETTER else new[name] - old[name]
        allowed = f"worse by <= {limit:.3g}"
        yield Check(prefix + name, f"{old[name]:.4f}", f"{new[name]:.4f}", allowed, worse <= limit)


def _some_rows(bundle: Bundle, table: Table) -> list[Row]:
    try:
        rows = len(next(iter(bundle.transform.columns(table).values())))
        return [*bundle.transform.render(table, range(min(rows, _TIMED_ROWS)))]
    except InvalidRow:
        return list(bundle.golden.rows)


def _latency(before: Scored, after: Scored, rows: Sequence[Row], limits: Limits) -> Iterator[Check]:
    """Time both in turns, row by row, so that whatever else the machine does hits both alike."""
    old: list[float] = []
    new: list[float] = []
    try:
        for _ in range(max(_ROUNDS, _TIMED_ROWS // max(len(rows), 1))):
            for row in rows:
                old.append(before.seconds(row))
                new.append(after.seconds(row))
    except InvalidRow:
        yield Check("latency of one row", "", "the new version refuses rows of the old", "", None)
        return
    was, now = (1e6 * statistics.median(times) for times in (old, new))
    yield _ratio("latency of one row", was, now, limits.latency, "{:.0f} us")


def _ratio(what: str, old: float, new: float, limit: float, shown: str) -> Check:
    return Check(what, shown.format(old), shown.format(new), f"<= {limit:g} x", new <= limit * old)


def _size(bundle: Bundle) -> int:
    return sum(entry.size for entry in bundle.manifest.files.values())


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."

"""Logged rows, replayed: whether serving has computed what training computes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.bulk.rows import Items, Whole
from inprocml.bulk.tables import is_table
from inprocml.bundle.golden import as_tensors
from inprocml.model.passage import Host, Passage
from inprocml.model.replayed import Replay, compared, replayed, tally_of
from inprocml.monitoring import Difference, DriftReport, SkewReport
from inprocml.serving import Servable
from inprocml.transform.entries import fitted_entries
from inprocml.values import FEATURES

__all__ = ["skew_of"]

_ANSWERS = ("value", "probability")
_NEAR = 1e-3  # answers, as those of golden rows: another runtime or processor may round differently

_Logged = Mapping[str, list[Any]]


def skew_of(host: Host, log: Any, tolerance: object) -> SkewReport:
    """Return what ``Watched.skew`` says."""
    if isinstance(tolerance, bool) or not isinstance(tolerance, Real):
        raise TypeError(f"tolerance must be a number from 0 to 1, not {type(tolerance).__name__}")
    if not 0 <= (near := float(tolerance)) < 1:
        raise ValueError(f"tolerance is {tolerance!r} and must be a number from 0 to 1")
    passage = Passage(host, None)
    try:
        servable = passage.servable
        tally, audit = tally_of(servable), _Audit(servable, near)
        names = servable.transform.schema.names | frozenset(audit.names)
        source = Whole(log, None, names) if is_table(log) else Items(iter(log), None, names, passage.clock)
        try:
            for block in source.blocks(passage.size):
                logged = {name: column for name in audit.names if (column := _column(block.table, name))}
                rows = block._replace(table=_without(block.table, audit.names))
                audit.check(replayed(passage, rows, tally, keep=True), logged)
        finally:
            source.close()
        return audit.report(compared(servable, tally))
    finally:
        passage.end()


def _column(table: Any, name: str) -> list[Any] | None:
    """Return what was logged by this name, one element a row; ``None`` where nothing was."""
    if isinstance(table, list | tuple):
        found = [row.get(name) if isinstance(row, Mapping) else None for row in table]
        return None if all(each is None for each in found) else found
    present = table if isinstance(table, Mapping) else getattr(table, "column_names", None) or table.columns
    if name not in present:
        return None
    column = table[name]
    if hasattr(column, "isna"):  # of pandas, where NaN is also what is missing
        gaps = column.isna()
        found = [None if gap else each for each, gap in zip(column.to_list(), gaps.to_list(), strict=True)]
        return None if all(gaps) else found
    plain = next((getattr(column, how) for how in ("to_list", "to_pylist") if hasattr(column, how)), None)
    return list(column if plain is None else plain())


def _without(table: Any, names: tuple[str, ...]) -> Any:
    """Return a table without what is no field of the row; frames may hold more, and stay as they are."""
    if isinstance(table, Mapping):
        return {name: column for name, column in table.items() if name not in names}
    if not isinstance(table, list | tuple):
        return table
    return [
        {name: value for name, value in row.items() if name not in names} if isinstance(row, Mapping) else row
        for row in table
    ]


class _Audit:
    """Compares block after block, and keeps the first difference and how many there are of which kind."""

    def __init__(self, servable: Servable, tolerance: float) -> None:
        transform = servable.transform
        self._servable, self._tolerance = servable, tolerance
        self._features = transform.get_feature_names_out().tolist()
        reads = {name: entry.reads for entry in fitted_entries(transform) for name in entry.features}
        self._known = frozenset(self._features)
        self._reads = [reads[name] for name in self._features]
        self.names = tuple(
            name for name in (FEATURES, *_ANSWERS) if name not in transform.schema.names
        )  # a field of that name is the row's own
        self._rows = self._differing = self._refused = 0
        self._compared: set[str] = set()
        self._first: Difference | None = None
        self._by_field: Counter[str] = Counter()

    def check(self, replay: Replay, logged: _Logged) -> None:
        """Compare a block with what was logged of it, one element a row."""
        sifted = replay.sifted
        self._compared |= set(logged)
        made = as_tensors(sifted.tensors).get(FEATURES) if sifted.good else None
        answers = [] if replay.outputs is None else self._servable.predictions(replay.outputs)
        good = 0
        for place in range(sifted.block.rows):
            row = self._rows + place
            if place in sifted.refused:
                self._refused += 1
                self._note(
                    [Difference(row, (n,), "refused", "", r) for n, r in sifted.refused[place].items()]
                )
                continue
            found = []
            if FEATURES in logged and made is not None and logged[FEATURES][place] is not None:
                found = self._in_features(row, made[good], logged[FEATURES][place])
            said = {name: logged[name][place] for name in _ANSWERS if name in logged}
            self._note([*found, *self._in_answers(row, answers[good], said)])
            good += 1
        self._rows += sifted.block.rows

    def _note(self, found: list[Difference]) -> None:
        if not found:
            return
        self._differing += 1
        self._first = self._first or found[0]
        self._by_field.update({name for each in found for name in each.fields or (each.part,)})

    def _in_features(self, row: int, made: NDArray[np.float32], logged: Any) -> list[Difference]:
        """Return the features that differ, in their order."""
        places, values = list(range(len(made))), []
        if isinstance(logged, Mapping):  # of another implementation; what it does not log is not asked
            unknown = next((name for name in logged if name not in self._known), None)
            if unknown is not None:
                return [Difference(row, (), FEATURES, "names of features", unknown)]
            places = [place for place in places if self._features[place] in logged]
            values = [logged[self._features[place]] for place in places]
        elif isinstance(logged, Iterable):
            values = list(logged)
        if len(values) != len(places):
            return [Difference(row, (), FEATURES, f"{len(made)} numbers", f"{len(values)} numbers")]
        wanted = made[places]
        with np.errstate(invalid="ignore", over="ignore"):
            found = np.array([_number(value) for value in values], np.float64).astype(np.float32)
            near = np.abs(found - wanted) <= self._tolerance * np.maximum(1, np.abs(wanted))
        same = near | (found == wanted) | (np.isnan(found) & np.isnan(wanted))
        return [
            Difference(
                row,
                self._reads[places[at]],
                self._features[places[at]],
                float(wanted[at]),
                float(found[at]),
            )
            for at in np.flatnonzero(~same).tolist()
        ]

    def _in_answers(self, row: int, answer: Any, logged: Mapping[str, Any]) -> list[Difference]:
        found = []
        for name, given in logged.items():
            wanted = getattr(answer, name)
            if given is not None and wanted is not None and not _alike(wanted, given):
                told = given.item() if isinstance(given, np.generic) else given
                found.append(Difference(row, (), name, wanted, told))
        return found

    def report(self, drift: DriftReport) -> SkewReport:
        """Return what was found so far."""
        return SkewReport(
            model=self._servable.name,
            version=self._servable.version,
            rows=self._rows,
            compared=tuple(name for name in self.names if name in self._compared),
            differing=self._differing,
            refused=self._refused,
            first=self._first,
            by_field=dict(self._by_field.most_common()),
            drift=drift,
        )


def _number(value: Any) -> float:
    """Return a logged number; what is none differs from all, but for a missing one, which is NaN."""
    try:
        return float("nan") if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return float("inf")


def _alike(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, float) and not isinstance(given, str | bool):
        found = _number(given)
        both = math.isnan(found) and math.isnan(wanted)
        return both or found == wanted or bool(abs(found - wanted) <= _NEAR * max(1.0, abs(wanted)))
    return bool(wanted == given)

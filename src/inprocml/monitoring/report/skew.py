"""Whether what was computed when rows were served is what training computes of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from inprocml.drawing import aligned, clean, paragraph, table
from inprocml.monitoring.report.core import DriftReport

__all__ = ["Difference", "SkewReport"]

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a logged row and its replay part: ``row`` counts from 0 over all that was given.

    ``fields`` are those of the row that the part is made of (none for an answer), ``part`` the feature's
    name, ``"features"`` for a list of another length, ``"refused"`` for a value that the schema does not
    take, ``"value"`` or ``"probability"``. ``expected`` is what training makes, ``found`` what was logged.
    """

    row: int
    fields: tuple[str, ...]
    part: str
    expected: object
    found: object

    def __str__(self) -> str:
        named = ", ".join(clean(name, 40) for name in self.fields)
        if self.part == "refused":
            return f"row {self.row}: {named} is refused: {clean(str(self.found), 200)}"
        part = clean(self.part, 60)
        whose = f"{named}, encoded part {part}" if named else part
        wanted, found = _said(self.expected), _said(self.found)
        return f"row {self.row}: {whose} is {wanted} in training and {found} in the log"


@dataclass(frozen=True, repr=False)
class SkewReport:
    """What logged rows show: ``rows`` were replayed, ``differing`` of them differ, ``refused`` among these.

    ``compared`` says what the log held: of ``features``, ``value``, ``probability``; without any, rows are
    only checked. ``first`` is the first difference, ``by_field`` in how many rows each field (or answer)
    differs, the most frequent first. ``drift`` compares all rows with training, at once.
    """

    model: str
    version: str
    rows: int
    compared: tuple[str, ...]
    differing: int
    refused: int
    first: Difference | None
    by_field: Mapping[str, int]
    drift: DriftReport

    def text(self, width: int = 100) -> str:
        """Return the report as plain text of lines no longer than ``width`` cells, 40 at least."""
        width = max(width, 40)
        lines = [line for said in self._said() for line in textwrap.wrap(said, width)]
        if self.by_field:
            lines += ["", aligned([("differs in", "rows"), *self._counted()])]
        return "\n".join([*lines, "", self.drift.text(width)])

    def _said(self) -> list[str]:
        of = f"{clean(self.model)} {clean(self.version)}"
        what = ", ".join(self.compared) or "no features and no answers: rows were only checked"
        verdict = "No skew" if self.rows else "Nothing was compared: the log has no rows"
        said = [
            verdict if not self.differing else f"Skew in {self.differing:,} of {self.rows:,} rows",
            f"{self.rows:,} logged rows replayed through {of}. Compared: {what}.",
        ]
        return said if self.first is None else [*said, f"First, {self.first}."]

    def _counted(self) -> list[tuple[str, str]]:
        return [(clean(name, 40), f"{count:,}") for name, count in list(self.by_field.items())[:_SHOWN]]

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        told = "".join(paragraph(said) for said in self._said())
        if self.by_field:
            told += table(("differs in", "rows"), self._counted())
        return told + self.drift.body()


def _said(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else clean(repr(value), 60)

"""What was compared, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from inprocml.drawing import aligned, table

__all__ = ["Check", "Report"]


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: ``old`` and ``new`` as text, what was allowed, and whether it held.

    ``passed`` is ``None`` where nothing was demanded or nothing could be compared.
    """

    what: str
    old: str
    new: str
    allowed: str
    passed: bool | None

    @property
    def verdict(self) -> str:
        """``"ok"``, ``"FAILED"`` or ``"-"``."""
        return "-" if self.passed is None else "ok" if self.passed else "FAILED"


@dataclass(frozen=True, repr=False)
class Report:
    """All comparisons of ``new`` with ``old``; shown as a table in a terminal and in a notebook."""

    new: str
    old: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(check.passed is not False for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """What failed, in order."""
        return tuple(check for check in self.checks if check.passed is False)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        checks = [asdict(check) for check in self.checks]
        return {"new": self.new, "old": self.old, "passed": self.passed, "checks": checks}

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else f"FAILED: {', '.join(check.what for check in self.failed)}"
        return f"{aligned([self._head(), *self._rows()])}\n{verdict}"

    def _repr_html_(self) -> str:
        return table(self._head(), self._rows())

    def _head(self) -> tuple[str, ...]:
        return ("check", self.old, self.new, "allowed", "verdict")

    def _rows(self) -> list[tuple[str, ...]]:
        return [(one.what, one.old, one.new, one.allowed, one.verdict) for one in self.checks]

"""Whether a new version may take the place of an old one: for CI, before anything is promoted."""

from __future__ import annotations

from inprocml.checking.compare import Limits, check
from inprocml.checking.report import Check, Report
from inprocml.checking.rows import read_rows

__all__ = ["Check", "Limits", "Report", "check", "read_rows"]

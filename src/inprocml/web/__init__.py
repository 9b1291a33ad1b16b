"""What the web frameworks share: reading a row from a body, problem+json answers, health payloads."""

from __future__ import annotations

from inprocml.web.choice import VERSION_HEADER, check_offered
from inprocml.web.health import liveness, readiness
from inprocml.web.problem import PROBLEM_JSON, problem
from inprocml.web.row import MAX_BODY, check_body, parse_row
from inprocml.web.signature import without_parameter

__all__ = [
    "MAX_BODY",
    "PROBLEM_JSON",
    "VERSION_HEADER",
    "check_body",
    "check_offered",
    "liveness",
    "parse_row",
    "problem",
    "readiness",
    "without_parameter",
]

"""A request body -> one row, strictly: declared JSON, bounded, one object, finite numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic_core import from_json

from inprocml.errors import BadRequest, BodyTooLarge, WrongContentType
from inprocml.values import Row

__all__ = ["MAX_BODY", "check_body", "parse_row", "require_row"]

MAX_BODY = 1_000_000
"""Bytes a view reads at most, unless told otherwise: a tabular row is some hundred."""


def check_body(content_type: str | None, content_length: int | None, *, max_body: int) -> None:
    """Refuse by headers alone, before a byte is read: ``WrongContentType``, ``BodyTooLarge``."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise WrongContentType("the body must be JSON: send it with Content-Type: application/json")
    if content_length is not None and content_length > max_body:
        raise too_large(max_body)


def too_large(max_body: int) -> BodyTooLarge:
    """Return the error for a body over ``max_body`` bytes."""
    return BodyTooLarge(f"the body is larger than {max_body} bytes; send one row per request")


def parse_row(body: bytes) -> Row:
    """Parse one JSON object; raises ``BadRequest`` saying what it is instead."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        # jiter's message gives the place and the reason, never the text.
        raise BadRequest(f"the body is not JSON: {error}. Send one object, field name to value.") from None
    return require_row(value)


def require_row(value: object) -> Row:
    """Return ``value`` if it is a mapping; raises ``BadRequest`` naming what it is instead."""
    if not isinstance(value, Mapping):
        kind = {list: "an array", str: "a string", type(None): "null"}.get(type(value), "a bare value")
        raise BadRequest(f"a row is one JSON object, field name to value; this is {kind}")
    return cast("Row", value)

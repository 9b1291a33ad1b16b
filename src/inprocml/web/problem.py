"""An error -> an RFC 9457 problem document: everything the client can act on, nothing about the inside."""

from __future__ import annotations

from typing import Any

from inprocml.errors import BadRequest, DeadlineExceeded, InprocmlError, InvalidRow, Unavailable

__all__ = ["PROBLEM_JSON", "problem"]

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = "1"

_TITLES = {
    400: "Bad request",
    413: "Body too large",
    415: "Wrong content type",
    422: "Invalid row",
    500: "The model cannot answer",
    503: "Try again shortly",
    504: "Out of time",
}


_TOLD = (InvalidRow, BadRequest, Unavailable, DeadlineExceeded)
"""What a client can act on. Everything else is the host's affair: it names files and versions of the host."""


def problem(error: InprocmlError) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Return body, status and extra headers for ``error``.

    An error that is the host's affair becomes a 500 that tells nothing; its message is for the log.
    """
    told = isinstance(error, _TOLD)
    status = error.status_hint if told else 500
    body: dict[str, Any] = {
        "type": f"urn:inprocml:error:{_kebab(type(error).__name__)}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": _detail(error) if told else "The reason is in the server's log.",
    }
    if isinstance(error, InvalidRow):
        body["issues"] = dict(error.issues)
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if isinstance(error, Unavailable) else {}
    return body, status, headers


def _detail(error: InprocmlError) -> str:
    """Return what the client can do; what the operator could do is no affair of the client's."""
    if isinstance(error, Unavailable):
        return "The model is busy or not loaded yet; send the request again shortly."
    if isinstance(error, DeadlineExceeded):
        return "There was no answer within the time this view allows."
    return str(error)


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")

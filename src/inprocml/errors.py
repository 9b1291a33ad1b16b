"""Every error inprocml raises, in one tree.

InprocmlError 500
    InvalidRow 422              the row breaks its schema; ``.issues`` maps field -> reason, all at once
    BadRequest 400              the request holds no row at all
        BodyTooLarge 413
        WrongContentType 415
    TransformError 500          the transform is used before ``fit``, or asked for what it cannot do
    Unavailable 503             try again
        NotReady                no version is loaded yet
        Overloaded              the queue is full
    DeadlineExceeded 504        the caller's time is up
    UnknownVersion 404          no such version in the store
    BundleError 500
        Corrupt                 bytes differ from what the manifest promises
        Untrusted               the bundle asks for what the host has not allowed
        Unsupported             a newer format, or a kind this release does not know
    BackendError 500
        BackendMissing          a runtime is not installed; the message says what to install
        BackendFailed           the model raised, or answered with what cannot be an answer
            DeviceLost          the device answers no more in this process
    BulkError 500               a file of rows cannot be read, or a file of answers cannot be written
        CannotResume            what was begun cannot be gone on with: the input or the model is another
    PackError 500
        ParityError             what was packed or converted answers differently from what was trained

``status_hint`` is the HTTP status a web layer should use; nothing below the web layer speaks HTTP.
Messages say what happened, where, and what to do now, and never repeat a value from a row.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

__all__ = [
    "BackendError",
    "BackendFailed",
    "BackendMissing",
    "BadRequest",
    "BodyTooLarge",
    "BulkError",
    "BundleError",
    "CannotResume",
    "Corrupt",
    "DeadlineExceeded",
    "DeviceLost",
    "InprocmlError",
    "InvalidRow",
    "NotReady",
    "Overloaded",
    "PackError",
    "ParityError",
    "TransformError",
    "Unavailable",
    "UnknownVersion",
    "Unsupported",
    "Untrusted",
    "WrongContentType",
]

E = TypeVar("E", bound=BaseException)


class InprocmlError(Exception):
    """Root of all errors of this package."""

    status_hint: int = 500


class InvalidRow(InprocmlError):
    """A row (or a column of training rows) breaks its schema; ``issues`` names every bad field at once.

    ``issues`` is a dict from field name to reason. Values are never echoed: they may be personal. For
    tables, ``row`` is the zero-based position of the first bad row, else ``None``.
    """

    status_hint = 422

    def __init__(self, issues: Mapping[str, str], *, row: int | None = None) -> None:
        self.issues: dict[str, str] = dict(issues)
        self.row = row
        where = "row" if row is None else f"row {row}"
        listed = "; ".join(f"{field}: {reason}" for field, reason in self.issues.items())
        remedy = (
            "Mend the listed fields and send it again."
            if row is None
            else "Mend these columns; a field whose values may be missing says so with missing=."
        )
        super().__init__(f"{where} refused: {listed}. {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_invalid_row, (dict(self.issues), self.row))


def _invalid_row(issues: Mapping[str, str], row: int | None) -> InvalidRow:
    return InvalidRow(issues, row=row)


class BadRequest(InprocmlError):
    """The request holds no row: malformed JSON, or something other than one object."""

    status_hint = 400


class BodyTooLarge(BadRequest):
    """The request body is larger than the view accepts."""

    status_hint = 413


class WrongContentType(BadRequest):
    """The request body is not declared as JSON."""

    status_hint = 415


class TransformError(InprocmlError):
    """The transform is used before ``fit``, or its specification cannot be fitted."""


class Unavailable(InprocmlError):
    """No answer now; the same request may succeed later."""

    status_hint = 503


class NotReady(Unavailable):
    """No version of the model is loaded in this process yet."""


class Overloaded(Unavailable):
    """The queue is full; the row was refused before any work was done on it."""


class DeadlineExceeded(InprocmlError):
    """The caller's time is up; a row still waiting has left the queue."""

    status_hint = 504


class UnknownVersion(InprocmlError):
    """The store has no such version; the message lists those it has."""

    status_hint = 404


class BundleError(InprocmlError):
    """A bundle cannot be used."""


class Corrupt(BundleError):
    """Bytes on disk differ from what the manifest promises; the message names the file."""


class Untrusted(BundleError):
    """The bundle asks for something that only the host may allow."""


class Unsupported(BundleError):
    """The bundle is of a newer format, or holds a kind that this release does not know."""


class BackendError(InprocmlError):
    """The runtime that computes the model cannot answer."""


class BackendMissing(BackendError):
    """A runtime is not installed or not registered; the message says what to do."""


class BackendFailed(BackendError):
    """The model raised, or answered with what cannot be an answer."""


class DeviceLost(BackendFailed):
    """The device answers no more in this process (a sticky CUDA error): restart the process."""


class BulkError(InprocmlError):
    """A file of rows cannot be read, or a file of answers cannot be written."""


class CannotResume(BulkError):
    """A file of answers that was begun cannot be gone on with: its input or its model is another now."""


class PackError(InprocmlError):
    """A bundle cannot be made from what was given."""


class ParityError(PackError):
    """What was packed or converted answers differently from what was trained, beyond the stated limit.

    ``rows`` are the zero-based sample rows furthest apart (worst first), ``distance`` the largest
    absolute difference, ``limit`` what was allowed.
    """

    def __init__(self, message: str, *, rows: tuple[int, ...], distance: float, limit: float) -> None:
        super().__init__(message)
        self.rows = rows
        self.distance = distance
        self.limit = limit


def anew(error: E) -> E:
    """Return ``error`` as new: one object raised in many threads would mix their tracebacks.

    A traceback keeps the frames of the request that failed, and with them its row.
    """
    try:
        again = copy.copy(error)
    except Exception:  # noqa: BLE001 - an error class of the host's whose arguments do not make it again
        again = error
    again.__traceback__ = again.__cause__ = again.__context__ = None
    return again

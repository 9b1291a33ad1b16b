"""When: what users write for a moment in the past."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

__all__ = ["moment"]


def moment(when: str | date | datetime) -> datetime:
    """Return the moment that ``when`` means, in UTC.

    A moment without a zone is UTC. A date alone is the end of that day, UTC: what was moved on that day
    counts. Raises ``ValueError`` for text that is no ISO 8601 date or moment, ``TypeError`` for other things.
    """
    if isinstance(when, str):
        when = _parsed(when)
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(when, date):
        return datetime.combine(when, time.max, UTC)
    raise TypeError(
        f"when must be a date, a datetime or text such as '2026-08-01', not {type(when).__name__}"
    )


def _parsed(text: str) -> date | datetime:
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is no moment. Write a date, such as 2026-08-01, or a date and a time, such as "
            "2026-08-01T12:30+02:00."
        ) from None

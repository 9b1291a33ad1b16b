"""The one rule for missing: absent, ``None``, NaN, NaT, ``pandas.NA`` and masked are the same thing."""

from __future__ import annotations

import numpy as np

from inprocml.schema.refusal import MISSING, Refused

__all__ = ["is_missing", "missing_or_refused"]

_PANDAS_MARKS = frozenset({"NAType", "NaTType"})


def is_missing(value: object) -> bool:
    """Say whether a raw value stands for "not known"; pandas marks are known by type, never by import."""
    if value is None or value is np.ma.masked:
        return True
    if isinstance(value, (float, np.floating)):
        return bool(value != value)  # noqa: PLR0124 - NaN is the only value unequal to itself
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    kind = type(value)
    return kind.__name__ in _PANDAS_MARKS and kind.__module__.startswith("pandas.")


def missing_or_refused(value: object, what: str, *, required: bool) -> None:
    """Return ``None`` for a missing value of an optional field; ``Refused`` for a required one, or a value.

    ``value`` is none that the field accepts; ``what`` says which those are.
    """
    if not is_missing(value):
        raise Refused(f"must be {what}, not {type(value).__name__}")
    if required:
        raise Refused(MISSING)

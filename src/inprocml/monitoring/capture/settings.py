"""What a host says of the rows that may be kept."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from inprocml.monitoring.capture.parquet import check_installed
from inprocml.monitoring.capture.writer import Plan, Writer
from inprocml.values import Row

__all__ = ["Capture", "Consent"]

Consent: TypeAlias = Callable[[Row], bool]

_SHORTEST_KEY = 16


@dataclass(frozen=True, slots=True)
class Capture:
    """Keeps a ``share`` of the answered rows in ``folder`` as Parquet files; ``captured`` reads them back.

    A row is kept only if ``consent``, where given, returns True for it; what that raises is a no. Fields in
    ``redact`` are left out, those in ``hashed`` replaced by an HMAC-SHA256 under ``key``: the same value
    gives the same hash. Where one of these names is no field, nothing is kept: a slip must not cost a secret.
    Files are kept for ``keep_days``, and as long as all of them take no more than ``largest`` bytes; the
    oldest go first. A process writes one at most every ``every`` seconds, on a thread of its own, and holds
    rows of 16 MB at most meanwhile; what comes on top is dropped, what a killed process held is lost.

    Raises ``TypeError`` or ``ValueError`` that names the argument, and ``BackendMissing`` without pyarrow.
    """

    folder: str | os.PathLike[str]
    share: float = 0.01
    consent: Consent | None = None
    redact: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    key: bytes | None = field(default=None, repr=False)
    keep_days: float = 30.0
    largest: int = 2**30
    every: float = 60.0
    _writers: dict[int, Writer] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder).expanduser().absolute())
        for name in ("redact", "hashed"):
            given: object = getattr(self, name)
            if isinstance(given, str) or not all(isinstance(each, str) for each in getattr(self, name)):
                raise TypeError(f"{name} must be names of fields, such as ['tailnum'], not {given!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, most in (
            ("share", 1.0),
            ("keep_days", math.inf),
            ("largest", math.inf),
            ("every", 86_400.0),
        ):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
            if not 0 < value <= most:
                raise ValueError(f"{name} is {value!r} and must be more than 0, and {most:g} at most")
        if self.consent is not None and not callable(self.consent):
            raise TypeError("consent must be a callable that takes a row and returns True or False")
        if self.hashed and (not isinstance(self.key, bytes) or len(self.key) < _SHORTEST_KEY):
            raise ValueError(
                "hashed needs key=, 16 bytes or more that you keep elsewhere: secrets.token_bytes(32)"
            )
        check_installed()

    def label(self, id: str, label: object) -> bool:  # noqa: A002 - as it is called everywhere
        """Keep the truth for a prediction, if its row was drawn; returns whether it was.

        ``label``: text, a whole number, a number or a truth value. Cheap, from any thread, and never raises;
        a label of another type is counted as ``failed``. The first label of an id counts.
        """
        return self._writer().label(id, label)

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of rows in this process.

        ``rows`` and ``labels`` that are in files; rows ``refused`` without consent, ``dropped`` for want of
        room, ``failed`` on their way to the disk; ``deleted`` files whose time or room was over.
        """
        return self._writer().counted()

    def flush(self) -> None:
        """Write now what this process holds; returns when it is on disk, or counted as failed."""
        self._writer().flush()

    def _writer(self) -> Writer:
        """Return this process's writer: no lock, thread or row is shared with a parent."""
        found = self._writers.get(os.getpid())
        if found is None:
            plan = Plan(
                Path(self.folder), float(self.share), float(self.keep_days), int(self.largest), self.every
            )
            found = self._writers.setdefault(os.getpid(), Writer(plan))
        return found

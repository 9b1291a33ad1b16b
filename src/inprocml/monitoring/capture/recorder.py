"""The rows of one version: drawn as they were answered, redacted as they are written."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from inprocml.monitoring.capture.settings import Capture
from inprocml.monitoring.capture.writer import Columns, Drawn
from inprocml.native import lock_maker
from inprocml.values import Row, Tensors, joined

__all__ = ["OWN", "Answered", "Recorder"]

_CHUNK = 64  # rows at a time: a millisecond
_BREATH = 0.0005  # seconds between them, in which requests have the interpreter's lock

OWN = "_"
"""What the names of columns begin with that are no fields: ``_id``, ``_version``, ``_at``, ``_label``, ..."""

_log = logging.getLogger(__name__)


class Answered(Protocol):
    """An answered row: the row, the model's outputs for it, the prediction's id."""

    @property
    def row(self) -> Row: ...

    @property
    def outputs(self) -> Tensors: ...

    @property
    def id(self) -> str: ...


class Recorder:
    """Draws rows of one version, on the thread that counts; all else is done where files are written.

    ``render`` turns rows into JSON-able ones (``Transform.render``), ``outputs`` the model's outputs into
    columns. ``fields`` are the schema's names.
    """

    def __init__(
        self,
        capture: Capture,
        *,
        version: str,
        digest: str,
        fields: Iterable[str],
        render: Callable[[Sequence[Row], Iterable[int]], list[dict[str, Any]]],
        outputs: Callable[[Tensors], Mapping[str, NDArray[Any]]],
    ) -> None:
        self._capture = capture
        self._version, self._digest = version, digest
        self._render, self._outputs = render, outputs
        known = set(fields)
        self._fields = sorted(name for name in known if name not in capture.redact and name[:1] != OWN)
        unknown = sorted({*capture.redact, *capture.hashed} - known)
        self._open = not unknown
        self._breath = lock_maker()()
        self._breath.acquire()  # for good: to wait for it is to wait
        if unknown:
            _log.warning("no row of version %s is captured: it has no field %s to redact", version, unknown)
        capture._writer()  # noqa: SLF001 - settings are declared, this is the first use in the process

    def saw(self, answered: Iterable[Answered], now: float) -> None:
        """Draw from what was answered about ``now``, and not later than labels of it came; never raises."""
        if not self._open:
            return
        writer = self._capture._writer()  # noqa: SLF001 - see above
        for each in answered:
            if writer.draws(each.id):
                writer.put(Drawn(self._columns, (each, now), _size(each.row)))

    def label(self, prediction_id: str, label: object, now: float) -> None:
        """Keep the truth, if the row was drawn: in whichever process, for a draw goes by the id alone.

        ``now`` is by the clock of ``saw``.
        """
        self._capture._writer().label(prediction_id, label, now)  # noqa: SLF001 - see above

    def close(self) -> None:
        """Write what waits."""
        self._capture.flush()

    def _columns(self, items: Sequence[tuple[Answered, float]]) -> tuple[Columns, int, int]:
        """Return the columns of one file, how many rows were refused, and how many failed."""
        agreed = [item for item in items if self._agreed(item[0].row)]
        made: list[dict[str, Any]] = []
        for start in range(0, len(agreed), _CHUNK):
            if start:
                self._breath.acquire(timeout=_BREATH)
            made += self._made(agreed[start : start + _CHUNK])
        return _turned(made), len(items) - len(agreed), len(agreed) - len(made)

    def _agreed(self, row: Row) -> bool:
        consent = self._capture.consent
        try:
            return consent is None or consent(row) is True
        except Exception:  # noqa: BLE001 - whatever it is, it is no yes
            return False

    def _made(self, items: Sequence[tuple[Answered, float]]) -> list[dict[str, Any]]:
        """Make all rows at once, or, where one cannot be, one by one."""
        if not items:
            return []
        try:
            rows = [each.row for each, _ in items]
            rendered = self._render(rows, range(len(rows)))
            answered = self._outputs(joined([each.outputs for each, _ in items]))
        except Exception:  # noqa: BLE001 - a row that its owner changed
            return [] if len(items) == 1 else [row for item in items for row in self._made([item])]
        return [
            {
                f"{OWN}id": each.id,
                f"{OWN}version": self._version,
                f"{OWN}digest": self._digest,
                f"{OWN}at": at,
                **{f"{OWN}{name}": column[place].item() for name, column in answered.items()},
                **{name: self._hidden(name, row[name]) for name in self._fields},
            }
            for place, ((each, at), row) in enumerate(zip(items, rendered, strict=True))
        ]

    def _hidden(self, name: str, value: Any) -> Any:
        if name not in self._capture.hashed or value is None:
            return value
        assert self._capture.key is not None  # the settings say so
        told = json.dumps([name, value]).encode()
        return hmac.new(self._capture.key, told, hashlib.sha256).hexdigest()


def _turned(rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _size(row: Row) -> int:
    """Return about how many bytes a row takes while it waits."""
    long = [len(value) for value in row.values() if isinstance(value, str | bytes | list | tuple)]
    return 200 + 64 * len(row) + sum(long)

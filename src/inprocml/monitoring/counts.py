"""How many rows and batches were served, and how many of them held a category that training had not seen."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from inprocml.values import BatchRecord

__all__ = ["RowCounts"]

_log = logging.getLogger(__name__)


class RowCounts:
    """An observer that reads unseen categories off the tensors that ran; thread-safe, and never raises.

    ``unseen`` maps a name to the model's input, the column of it (``None`` where the input is one number a
    row) and the value that tells. Batches that failed are not counted: their rows run again, or got no
    answer.
    """

    def __init__(self, unseen: Mapping[str, tuple[str, int | None, float]]) -> None:
        self._names = tuple(unseen)
        self._marks = tuple((place, *mark) for place, mark in enumerate(unseen.values()))
        self._groups = _grouped(self._marks)
        self._lock = threading.Lock()
        self._rows = 0
        self._batches = 0
        self._unseen = [0] * len(self._names)
        self._failures = 0

    def observe(self, record: BatchRecord) -> None:
        """Count the rows of one executed batch."""
        if record.error is not None:
            return
        try:
            self._add(record)
        except Exception:  # noqa: BLE001 - a guest never breaks its host: counted, and logged once
            self._failed()

    def snapshot(self) -> dict[str, Any]:
        """Return ``{"rows": n, "batches": n, "unseen": {field: n}}`` as of one moment."""
        with self._lock:
            unseen = dict(zip(self._names, self._unseen, strict=True))
            return {"rows": self._rows, "batches": self._batches, "unseen": unseen}

    @property
    def failures(self) -> int:
        """Records that could not be counted."""
        return self._failures

    def _add(self, record: BatchRecord) -> None:
        inputs = record.inputs
        if record.rows == 1:
            # A lone caller waits for this: plain look-ups cost a tenth of what numpy's machinery does.
            counted = [
                (place, 1)
                for place, name, column, value in self._marks
                if (inputs[name].item(0) if column is None else inputs[name].item(0, column)) == value
            ]
        else:
            counted = []
            for name, places, columns, values in self._groups:
                table = inputs[name][: record.rows]
                found = table.reshape(-1, 1) if columns is None else table[:, columns]
                counted += zip(places, np.count_nonzero(found == values, axis=0).tolist(), strict=True)
        with self._lock:
            self._rows += record.rows
            self._batches += 1
            for place, count in counted:
                self._unseen[place] += count

    def _failed(self) -> None:
        with self._lock:
            self._failures += 1
            first = self._failures == 1
        if first:
            _log.warning("rows could not be counted; further failures are only counted", exc_info=True)


def _grouped(marks: tuple[tuple[int, str, int | None, float], ...]) -> list[Any]:
    """For each input: places of its names, its columns (``None`` for one number a row), and the values."""
    groups: dict[tuple[str, bool], list[tuple[int, int | None, float]]] = {}
    for place, name, column, value in marks:
        groups.setdefault((name, column is None), []).append((place, column, value))
    return [
        (
            name,
            [place for place, _, _ in group],
            None if alone else np.array([column for _, column, _ in group], dtype=np.intp),
            np.array([value for _, _, value in group]),
        )
        for (name, alone), group in groups.items()
    ]

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
    """An observer that reads the unseen slots off the features that ran; thread-safe, and never raises.

    ``unseen_columns`` is ``Transform.unseen_columns``; ``input_name`` the model's input that is fed with the
    features, ``None`` where none is: then no slot is counted. Batches that failed are not counted: their
    rows run again, or got no answer.
    """

    def __init__(self, unseen_columns: Mapping[str, int], input_name: str | None) -> None:
        unseen_columns = unseen_columns if input_name is not None else {}
        self._names = tuple(unseen_columns)
        self._columns = np.array(list(unseen_columns.values()), dtype=np.intp)
        self._places = tuple(enumerate(unseen_columns.values()))
        self._input = input_name
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
        features = record.inputs[self._input or next(iter(record.inputs))]
        if record.rows == 1:
            # A lone caller waits for this: plain look-ups cost a tenth of what numpy's machinery does.
            look = features.item
            counted = [(place, 1) for place, column in self._places if look(0, column)]
        else:
            totals = np.count_nonzero(features[: record.rows, self._columns], axis=0).tolist()
            counted = list(enumerate(totals))
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

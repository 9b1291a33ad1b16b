"""The last 24 whole hours and the last seven whole days, in UTC."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.blocks import Window, saturated
from inprocml.monitoring.alarm.folding import CELLS

__all__ = ["DAY", "HOUR", "Slots"]

HOUR, DAY = 3600, 86400
_HOURS, _DAYS, _NONE = 24, 7, -1
_SPANS = (2, 4, 7)

_Cells = NDArray[np.int64]


class Slots:
    """Counts by hour and by day. A stamp says which hour (day) since 1970 a slot holds; -1: none."""

    def __init__(self, series: int) -> None:
        self.hours = np.zeros((_HOURS, series, CELLS), np.uint32)
        self.days = np.zeros((_DAYS, series, CELLS), np.uint32)
        self.present = np.zeros((series, CELLS), np.uint32)
        self.hour_stamps = np.full(_HOURS, _NONE, np.int64)
        self.day_stamps = np.full(_DAYS, _NONE, np.int64)
        self.hour = _NONE

    def add(self, counts: _Cells) -> None:
        """Add counts to the hour that is not over."""
        self.present = saturated(self.present.astype(np.int64) + counts)

    def turn(self, now: float) -> tuple[_Cells, _Cells] | None:
        """Let time pass; return the hour that ended and the same hour of the day before, if both are there.

        Hours without rows count as hours. Where the clock stepped back, hours that have not been yet are
        forgotten, and the present one goes on.
        """
        hour = int(now // HOUR)
        if self.hour == _NONE or hour < self.hour:
            self.hour = hour
            self.hour_stamps[self.hour_stamps >= hour] = _NONE
            self.day_stamps[self.day_stamps >= hour // 24] = _NONE
            return None
        if hour == self.hour:
            return None
        if hour - self.hour > _HOURS:  # nothing was heard for more than a day: no season can be told
            self.hour_stamps[:] = _NONE
        turned = self._end()
        for _ in range(min(hour - self.hour - 1, _HOURS)):
            self.hour += 1
            self._end()
        self.hour = hour
        return turned

    def _end(self) -> tuple[_Cells, _Cells] | None:
        slot = self.hour % _HOURS
        ended = self.present.astype(np.int64)
        before = self.hours[slot].astype(np.int64)
        known = self.hour_stamps[slot] == self.hour - _HOURS
        self.hours[slot], self.hour_stamps[slot] = self.present, self.hour
        self.present = np.zeros_like(self.present)
        if slot == _HOURS - 1:
            self._end_day(self.hour // 24)
        return (ended, before) if known else None

    def _end_day(self, day: int) -> None:
        if (self.hour_stamps == day * 24 + np.arange(_HOURS)).all():
            slot = day % _DAYS
            self.days[slot] = saturated(self.hours.sum(axis=0, dtype=np.int64))
            self.day_stamps[slot] = day

    def last_hour(self) -> Window | None:
        """Return the last whole hour."""
        slot = (self.hour - 1) % _HOURS
        if self.hour == _NONE or self.hour_stamps[slot] != self.hour - 1:
            return None
        counts = self.hours[slot].astype(np.int64)
        return Window(float((self.hour - 1) * HOUR), 0, counts, float(self.hour * HOUR))

    def whole_days(self) -> list[tuple[int, Window]]:
        """Return windows of whole days, and of how many: the last 24 hours, the last 2, 4, 7 days."""
        windows = []
        if (
            self.hour != _NONE
            and (np.sort(self.hour_stamps) == np.arange(self.hour - _HOURS, self.hour)).all()
        ):
            counts = self.hours.sum(axis=0, dtype=np.int64)
            windows.append(
                (1, Window(float((self.hour - _HOURS) * HOUR), 0, counts, float(self.hour * HOUR)))
            )
        today = self.hour // 24
        for span in _SPANS:
            wanted = np.arange(today - span, today)
            slots = wanted % _DAYS
            if self.hour != _NONE and (self.day_stamps[slots] == wanted).all():
                counts = self.days[slots].sum(axis=0, dtype=np.int64)
                windows.append((span, Window(float(wanted[0] * DAY), 0, counts, float(today * DAY))))
        return windows

    def complete_hours(self, before: float) -> tuple[NDArray[np.int64], _Cells]:
        """Return the hours kept that ended by a time, the oldest first, and their counts."""
        slots = np.flatnonzero((self.hour_stamps >= 0) & ((self.hour_stamps + 1) * HOUR <= before))
        slots = slots[np.argsort(self.hour_stamps[slots])]
        return self.hour_stamps[slots], self.hours[slots].astype(np.int64)

    def complete_days(self) -> tuple[NDArray[np.int64], _Cells]:
        """Return the days kept, the oldest first, and their counts."""
        slots = np.flatnonzero(self.day_stamps >= 0)
        slots = slots[np.argsort(self.day_stamps[slots])]
        return self.day_stamps[slots], self.days[slots].astype(np.int64)

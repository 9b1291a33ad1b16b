"""Counters as bytes that other processes read: a head of JSON, and the tallies behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from inprocml.errors import Corrupt
from inprocml.monitoring.quality.counters import DELAYS, KEPT, Counters, whole
from inprocml.monitoring.quality.settings import Settings
from inprocml.monitoring.quality.tally import Tally, built, empty
from inprocml.schema.strict_json import dump, parse

__all__ = ["Record", "room_for"]

_KIND = "quality-record@1"
_WHAT = "the record of quality"
_HEAD = (
    8_192  # bytes that a head takes at most, without classes and slices: 130 numbers of 25 digits, and names
)


class Record(NamedTuple):
    """What one process shows of its labels: the settings, the counts, and when it looked last."""

    settings: Settings
    counters: Counters
    beat: float

    def to_bytes(self) -> bytes:
        """Return what ``from_bytes`` takes, at most ``room_for`` bytes; without the reference."""
        counters = self.counters
        numbers = sorted(counters.cohorts)
        head = {
            "kind": _KIND,
            "settings": replace(self.settings, reference=None).document(),
            "beat": max(0, int(self.beat)),
            "outcomes": counters.outcomes,
            "lost": counters.lost,
            "delays": counters.delays.tolist(),
            "delay_seconds": counters.delay_seconds,
            "cohorts": numbers,
        }
        text = dump(head).encode()
        tallies = [counters.earlier, *(counters.cohorts[number] for number in numbers)]
        tallies += [tally for tallies in counters.slices for tally in tallies]
        return len(text).to_bytes(4, "little") + text + b"".join(each.counts.tobytes() for each in tallies)

    @classmethod
    def from_bytes(cls, content: bytes) -> Record:
        """Return the record; ``ValueError`` for what is none."""
        end = 4 + int.from_bytes(content[:4], "little")
        try:
            head = parse(content[4:end], what=_WHAT)
            if not isinstance(head, dict) or head.get("kind") != _KIND:
                raise ValueError(f"a record of kind {_KIND} was expected")
            settings = Settings.from_document(head["settings"])
            counters = Counters(len(settings.classes), settings.slice_names)
            counters.outcomes = {name: whole(head["outcomes"][name]) for name in counters.outcomes}
            counters.lost = {name: whole(head["lost"][name]) for name in counters.lost}
            counters.delays = np.array([whole(each) for each in head["delays"]], np.int64)
            counters.delay_seconds = whole(head["delay_seconds"])
            numbers = [whole(each) for each in head["cohorts"]]
            if (
                len(numbers) > KEPT
                or len(set(numbers)) != len(numbers)
                or len(counters.delays) != len(DELAYS) + 1
            ):
                raise ValueError("a list has another length")
            tallies = _tallies(content[end:], counters.classes)
            counters.earlier = next(tallies)
            counters.cohorts = {number: next(tallies) for number in numbers}
            counters.slices = [[next(tallies) for _ in range(size)] for _, size in counters.slice_names]
            if next(tallies, None) is not None:
                raise ValueError("it is too long")
            return cls(settings, counters, float(whole(head["beat"])))
        except (Corrupt, KeyError, TypeError, StopIteration) as error:
            raise ValueError(f"{_WHAT} is damaged") from error


def room_for(settings: Settings) -> int:
    """Return the most bytes that a record takes under these settings: the same for all of one ``digest``.

    A file of another size is another file: with as much as the numbers take, a changed ``usual`` would lose
    what was counted.
    """
    tallies = 1 + KEPT + sum(size for _, size in settings.slice_names)
    said = len(dump([settings.classes, [*settings.slices.items()]]).encode())
    return _HEAD + said + tallies * int(empty(len(settings.classes)).counts.nbytes)


def _tallies(content: bytes, classes: int) -> Iterator[Tally]:
    one = empty(classes).counts
    for start in range(0, len(content), one.nbytes):
        yield built(np.frombuffer(content[start : start + one.nbytes], one.dtype), classes)

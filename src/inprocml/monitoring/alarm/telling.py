"""Episodes as events: which columns, since when, and in words what it is or was."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from inprocml.monitoring.alarm import words
from inprocml.monitoring.alarm.episode import Episode, name_of
from inprocml.monitoring.alarm.folding import Folding
from inprocml.monitoring.alarm.history import End, Over
from inprocml.monitoring.alarm.shown import named
from inprocml.monitoring.verdict import Action, DriftEvent, Finding, Reference

__all__ = ["closed", "joined", "opened"]


def opened(
    folding: Folding, episode: Episode, found: Sequence[Finding], model: str, version: str, at: float
) -> DriftEvent:
    """Return the event of an episode that is on."""
    told = _of(folding, found, np.flatnonzero(episode.joined).tolist())
    why = words.opened([each.why or each.name for each in told])
    name, reference = _name(episode, model, version), episode.reference
    return DriftEvent(name, Action.OPENED, model, version, reference, at, episode.began, told, why)


def joined(
    folding: Folding,
    episode: Episode,
    found: Sequence[Finding],
    places: Collection[int],
    model: str,
    version: str,
    at: float,
) -> DriftEvent:
    """Return the event of an episode that is on, and of which more columns are part; those are told."""
    told = _of(folding, found, places)
    others = _names(folding, np.flatnonzero(episode.joined).tolist(), places)
    why = words.joined([each.why or each.name for each in told], others)
    name, reference = _name(episode, model, version), episode.reference
    return DriftEvent(name, Action.JOINED, model, version, reference, at, episode.began, told, why)


def _name(episode: Episode, model: str, version: str) -> str:
    return name_of(model, version, episode.reference, episode.opened, episode.at)


def _names(folding: Folding, places: Collection[int], but: Collection[int]) -> list[str]:
    return [folding.layout.series[place].name for place in places if place not in but]


def closed(
    folding: Folding, over: Over, found: Sequence[Finding], model: str, version: str, now: float
) -> DriftEvent:
    """Return the event of an episode that is over."""
    places = np.flatnonzero(over.joined).tolist()
    ways = []
    for place in places:
        code, ordered = int(over.joined[place]), folding.kinds[place] == "number"
        way = words.way(named(folding, place, abs(code) - 1), code, ordered=ordered)
        ways.append((folding.layout.series[place].name, way))
    why = words.ended(ways, over.since, over.until, _how(over, version), now)
    name = name_of(model, version, over.reference, over.opened, over.at)
    told = _of(folding, found, places)
    return DriftEvent(name, Action.CLOSED, model, version, over.reference, over.until, over.since, told, why)


def _how(over: Over, version: str) -> str:
    calm = "back to training" if over.reference is Reference.TRAIN else "as it was before"
    ways = {
        End.CALM: calm,
        End.SILENT: "no rows came for a day",
        End.RETIRED: f"version {version} no longer serves",
    }
    return ways[over.end]


def _of(folding: Folding, found: Sequence[Finding], places: Collection[int]) -> tuple[Finding, ...]:
    series = folding.layout.series
    wanted = {(series[place].role, series[place].name) for place in places}
    return tuple(each for each in found if (each.role, each.name) in wanted)

"""Which version a process of a model serves: the first, the next, the one asked for, the candidates.

What one process holds lies in ``serving.Process``; what is here moves it. ``moving`` serialises all moves of
a process, so that two never decide on what the other is about to change.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from inprocml.errors import BundleError, UnknownVersion
from inprocml.model.compose import build
from inprocml.model.options import Options
from inprocml.model.trials import Trials
from inprocml.protocols import Clock, Source
from inprocml.serving import Process, Servable
from inprocml.sources import unknown_alias
from inprocml.telemetry import load_finished, version_refused
from inprocml.values import Version

__all__ = ["Versions"]

_log = logging.getLogger("inprocml")


class Versions:
    """Finds, builds and moves the versions of one model."""

    def __init__(self, source: Source, options: Options, name: str, *, clock: Clock) -> None:
        self.source = source
        self.options = options
        self.name = name
        self.clock = clock
        self.trials = Trials(self)

    # --- the first and the next --------------------------------------------------------------------

    def first(self, process: Process) -> Servable:
        """Build for the first use: the pinned version, what the alias means, or the newest that loads.

        A worker that starts while a broken bundle lies on top must serve what its siblings serve: a bad
        publish may not take the site down one restart at a time.
        """
        evicted = process.slot.evicted
        if evicted is not None:  # the same again, whatever it was: a roll-back holds
            with contextlib.suppress(BundleError, UnknownVersion):  # gone meanwhile
                return self.load(process, Version(evicted[0], Path(), digest=evicted[1]), "evicted")
        if self.options.version is not None:
            return self.load(process, Version(self.options.version, Path()), "first_use")
        try:
            listed = self._listed(starting=True)
        except Exception as error:
            load_finished(self.name, 0.0, trigger="first_use", error=type(error))
            raise
        failures: list[Exception] = []
        for key in process.following.first(list(listed)):
            try:
                servable = self.load(process, listed[key], "first_use")
            except Exception as error:  # noqa: BLE001 - raised below, if nothing older loads
                failures.append(error)
                self.refuse(process, key, listed[key], error)
            else:
                process.following.serves(key, list(listed))
                process.settle(list(listed))
                return servable
        try:
            raise failures[0]
        finally:
            failures.clear()  # with their tracebacks they are cycles that keep half-built sessions alive

    def poll(self, process: Process) -> None:
        """Follow the source, and take the candidates a step further."""
        process.slot.sweep()
        if process.slot.peek() is None or not process.moving.acquire(blocking=False):
            return
        try:
            try:
                if self.options.version is None:
                    self._follow(process)
            finally:
                self.trials.step(process)  # whatever became of that: candidates are watched all the same
        finally:
            process.moving.release()

    def reload(self, process: Process, version: str | None) -> str:
        """Swap now, to ``version`` or to what this model follows; return what serves then."""
        with process.moving:
            listed = {} if self.options.version is not None else self._listed()
            wanted = self._wanted(version, listed)
            # Before the swap, which may take its time to drain: a poll must not undo it meanwhile.
            before = process.following.passes(listed)
            try:
                served = self._swap(process, wanted, "reload")
            except BaseException:
                process.following.restore(before)
                raise
            process.settle(list(listed))
            return served

    def load(self, process: Process, version: Version, trigger: str, sizes: tuple[int, ...] = ()) -> Servable:
        """Fetch, verify, build and warm up ``version``; what goes wrong is recorded and passes through."""
        began = self.clock()
        try:
            servable = build(
                self.source,
                version,
                self.options,
                process.slot,
                sizes,
                clock=self.clock,
                candidate=trigger == "rollout",
            )
        except BaseException as failure:
            found = "" if isinstance(failure, UnknownVersion) else version.name
            seconds = self.clock() - began
            load_finished(self.name, seconds, trigger=trigger, error=type(failure), version=found)
            raise
        seconds = self.clock() - began
        load_finished(self.name, seconds, trigger=trigger, error=None, version=version.name)
        self.name = servable.name
        return servable

    def refuse(self, process: Process, key: str, version: Version, error: Exception) -> None:
        """Leave a version alone for a while; say so and count it once."""
        if process.following.refused.add(key):
            version_refused(self.name, version.name, error)
            told = f"version {version.name} refused: {type(error).__name__}: {error}"
            process.log_once(f"model {self.name}: {told}")

    # --- inside ------------------------------------------------------------------------------------

    def _wanted(self, version: str | None, listed: dict[str, Version]) -> Version:
        chosen = version or self.options.version
        if chosen is None:
            return listed[next(reversed(listed))]
        found = [known for known in listed.values() if known.name == chosen]
        return found[-1] if found else Version(chosen, Path())

    def _follow(self, process: Process) -> None:
        try:
            listed = self._listed()
        except Exception as error:
            process.mark_stale(f"the source cannot be read: {type(error).__name__}")
            raise
        for key in process.following.newer(list(listed)):
            try:
                if not self._serves(process, listed[key]):
                    self._swap(process, listed[key], "watch")
            except Exception as error:  # noqa: BLE001 - the old version goes on
                self.refuse(process, key, listed[key], error)
            else:
                process.following.serves(key, list(listed))
                break
        process.settle(list(listed))

    def _swap(self, process: Process, version: Version, trigger: str) -> str:
        """Put ``version`` in the serving one's place; a candidate that is just this is not built again."""
        ready = self.trials.ready(process, version)
        if ready is not None:
            return self.trials.take_over(process, ready).version
        serving = process.slot.peek()
        sizes = () if serving is None else serving.sizes.in_use()
        served = process.slot.swap(partial(self.load, process, version, trigger, sizes)).version
        self.trials.renew(process)
        return served

    def _serves(self, process: Process, version: Version) -> bool:
        """Whether just these bytes serve: a candidate that took over, or a reload before the alias moved."""
        serving = process.slot.peek()
        return serving is not None and serving.digest == version.digest

    def _listed(self, *, starting: bool = False) -> dict[str, Version]:
        """Return the versions, oldest first, by what tells one publication from another.

        Of a model that follows an alias, the one it means; ``starting``, after those it meant before.
        """
        alias = self.options.alias
        if alias is not None:
            meaning = self.source.aliases()
            if alias not in meaning:
                raise unknown_alias(repr(self.source), alias, meaning)
            found = [*(self._earlier(alias) if starting else ()), meaning[alias]]
        else:
            # a candidate is let in by its rollout, not for being the newest
            held_back = {version.name for version in self.trials.wanted().values() if version is not None}
            found = [version for version in self.source.versions() if version.name not in held_back]
        if not found:
            raise BundleError(
                f"{self.source!r} holds no version, candidates apart; make one with inprocml.pack. Folders "
                "without manifest.json, symbolic links and names that begin with a dot are passed over"
            )
        return {f"{version.name} {version.mark}": version for version in found}

    def _earlier(self, alias: str) -> Sequence[Version]:
        """Return what ``alias`` meant before, to start with if nothing better loads; none if that is lost.

        What it means now is read from the last entry alone: damage to an older one costs no more than this.
        """
        earlier: Callable[[str], Sequence[Version]] | None = getattr(self.source, "earlier", None)
        if earlier is None:
            return ()
        try:
            return earlier(alias)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the past, the present serves
            _log.warning("model %s: what %r meant before cannot be read: %s", self.name, alias, error)
            return ()

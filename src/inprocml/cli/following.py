"""From what ``watch`` and ``drift`` are told to the counts of a version: another one tomorrow, perhaps."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from inprocml.cli.place import PLACE, open_bundle, split
from inprocml.errors import BundleError, UnknownVersion

if TYPE_CHECKING:
    from inprocml.bundle import Bundle
    from inprocml.monitoring import DriftEvent, Known, QualityReport

__all__ = ["Followed", "with_counts"]

T = TypeVar("T")


def with_counts(command: argparse.ArgumentParser, *, budget: bool = True) -> None:
    """Give a command what it needs to find counts, and, with ``budget``, to judge them."""
    command.add_argument("model", metavar="MODEL", help=f"a store (its newest version), {PLACE}")
    command.add_argument(
        "--counts", metavar="FOLDER", required=True, help="the folder of Monitoring(folder=...)"
    )
    command.add_argument("--name", help="the model's name, where Model(name=...) gives it another")
    if not budget:
        command.set_defaults(budget=0.5, private=[])
        return
    command.add_argument(
        "--budget", type=float, default=0.5, help="as in Monitoring(budget=...) (default: %(default)s)"
    )
    command.add_argument(
        "--private",
        metavar="FIELD",
        action="append",
        default=[],
        help="a field of which no value is named, as in Monitoring(private=...)",
    )


class Followed:
    """The version that ``MODEL`` means at the moment, and what was counted of it."""

    def __init__(self, given: argparse.Namespace) -> None:
        from inprocml.monitoring import Monitoring

        Monitoring(budget=given.budget)  # whatever is wrong with it is said here
        self.folder = Path(given.counts).expanduser().absolute()
        self._place, self._name, self._budget = given.model, given.name, given.budget
        self._private = tuple(given.private)
        self._store, self._version = split(given.model)
        self._known: tuple[tuple[str, str], Bundle] | None = None

    @property
    def bundle(self) -> Bundle:
        """What is meant now; opened only when that changes. Raises as opening it does."""
        mark = self._mark()
        if self._known is None or self._known[0] != mark:
            self._known = mark, self._opened(mark)
        return self._known[1]

    @property
    def model(self) -> str:
        """What the model is called."""
        name: str = self._name or self.bundle.name
        return name

    def ask(self, question: Callable[[Known], T], *, decide: bool = False) -> T | None:
        """Ask of what was decided of it last; None where nothing was counted."""
        from inprocml.monitoring import layout_of
        from inprocml.monitoring.watching import Onlooker

        bundle = self.bundle
        onlooker = Onlooker(
            layout_of(bundle.baseline, self._private),
            self.folder,
            model=self.model,
            version=bundle.version,
            digest=bundle.digest,
            budget=self._budget,
        )
        try:
            return onlooker.ask(question, decide=decide)
        except ValueError as error:
            raise BundleError(
                f"{onlooker.path}: {error}. A server that lives mends it; else remove it."
            ) from error

    def heard(self) -> QualityReport | None:
        """Return what labels said of it; None where none of its answers was counted."""
        from inprocml.monitoring.watching import overheard

        bundle = self.bundle
        try:
            return overheard(
                self.folder,
                model=self.model,
                version=bundle.version,
                digest=bundle.digest,
                reference=bundle.holdout,
                now=time.time(),
            )
        except ValueError as error:
            raise BundleError(f"{self.folder}: {error}. Remove the labels of {self.model} there.") from error

    def worse(self) -> DriftEvent | None:
        """Return the open episode of labels that are worse than promised, if the servers told of one."""
        from inprocml.monitoring.watching import worse

        report = self.heard()
        return None if report is None else worse(report, self.folder, self.bundle.digest)

    def _mark(self) -> tuple[str, str]:
        """Return version and digest that a store's alias, or its newest version, is now."""
        from inprocml.sources import MANIFEST
        from inprocml.store import Store

        if self._version is None:
            place = Path(self._place)
            if place.is_file() or (place / MANIFEST).exists():
                return ("", "")
            sound = [version for version in Store(place).versions() if not version.broken]
            if not sound:
                raise UnknownVersion(f"{place} holds no sound version. Pack one, or give another store.")
            return (sound[0].name, sound[0].digest)
        try:
            meant = Store(self._store).alias(self._version)
        except UnknownVersion:  # a name, or a digest: these stay what they are
            return ("", "")
        return (meant.name, meant.digest)

    def _opened(self, mark: tuple[str, str]) -> Bundle:
        if self._version is None and mark[0]:
            return open_bundle(f"{self._place}@{mark[0]}")
        return open_bundle(self._place)

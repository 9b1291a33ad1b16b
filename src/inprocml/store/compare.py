"""What one version of a model has over another: for who sends rows, for who trains, for who deploys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from inprocml.bundle import Bundle
from inprocml.drawing import aligned, paragraph, table
from inprocml.store.listing import StoredVersion
from inprocml.transform.difference import Difference

__all__ = ["VersionDifference", "compared"]

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class VersionDifference:
    """From one version to another, two values each: the old and the new.

    ``transform`` is ``Transform.diff``: ``transform.rows`` says whether rows stay acceptable ("same",
    "compatible", "needs default", "breaking"). ``metrics`` are all that either has, None where one lacks
    it; ``packages`` and Python, and of ``provenance`` commit, author, seed, dataset and its rows, where they
    differ. ``parity`` is the distance of the packed from the trained
    model. ``size`` is in bytes. ``output`` is the labels, or "regression".
    """

    old: StoredVersion
    new: StoredVersion
    transform: Difference
    output: tuple[str, str]
    metrics: Mapping[str, tuple[float | None, float | None]]
    packages: Mapping[str, tuple[str | None, str | None]]
    provenance: Mapping[str, tuple[str | None, str | None]]
    parity: tuple[float | None, float | None]
    size: tuple[int | None, int | None]

    @property
    def same_output(self) -> bool:
        """Whether both answer with the same labels, or both with a number."""
        return self.output[0] == self.output[1]

    def __repr__(self) -> str:
        head = ("", self.old.name, self.new.name)
        return f"{aligned([head, *self._rows()])}\n{self.transform!r}"

    def _repr_html_(self) -> str:
        names = ("", self.old.name, self.new.name)
        title = paragraph(f"from version {self.old.name} to {self.new.name}")
        return title + table(names, self._rows()) + self.transform._repr_html_()

    def _rows(self) -> list[tuple[str, str, str]]:
        differing = [*self.provenance.items(), *self.packages.items()]
        shown = [
            ("digest", self.old.digest[:19], self.new.digest[:19]),
            ("size", *(_bytes(size) for size in self.size)),
            ("output", *self.output),
            ("parity", *(_number(distance) for distance in self.parity)),
        ]
        shown += [(name, *(_number(value) for value in pair)) for name, pair in self.metrics.items()]
        shown += [(name, pair[0] or "-", pair[1] or "-") for name, pair in differing]
        return [(row[0], row[1], row[2]) for row in shown]


def compared(old: tuple[StoredVersion, Bundle], new: tuple[StoredVersion, Bundle]) -> VersionDifference:
    """Compare two versions that are open."""
    before, after = old[1], new[1]
    return VersionDifference(
        old=old[0],
        new=new[0],
        transform=before.transform.diff(after.transform),
        output=(_meaning(before), _meaning(after)),
        metrics=MappingProxyType(_pairs(before.manifest.metrics, after.manifest.metrics)),
        packages=_differing(_software(before), _software(after)),
        provenance=_differing(_origin(before), _origin(after)),
        parity=(before.parity.distance, after.parity.distance),
        size=(old[0].size, new[0].size),
    )


def _meaning(bundle: Bundle) -> str:
    output = bundle.manifest.output
    return output.kind if output.labels is None else ", ".join(map(repr, output.labels))


def _software(bundle: Bundle) -> dict[str, str]:
    made = bundle.manifest.provenance
    return {"Python": made.python} | dict(made.packages)


def _origin(bundle: Bundle) -> dict[str, str]:
    made = bundle.manifest.provenance
    known = {
        "commit": made.commit,
        "author": made.author,
        "seed": None if made.seed is None else str(made.seed),
        "dataset": made.dataset.digest,
        "rows": f"{made.dataset.rows:,}",
    }
    return {name: value for name, value in known.items() if value is not None}


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> Mapping[str, tuple[str | None, str | None]]:
    pairs = _pairs(old, new)
    return MappingProxyType({name: pair for name, pair in pairs.items() if pair[0] != pair[1]})


def _pairs(old: Mapping[str, T], new: Mapping[str, T]) -> dict[str, tuple[T | None, T | None]]:
    names = [*old, *(name for name in new if name not in old)]
    return {name: (old.get(name), new.get(name)) for name in names}


def _bytes(size: int | None) -> str:
    return "-" if size is None else f"{size:,} bytes"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"

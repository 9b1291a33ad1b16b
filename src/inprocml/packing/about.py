"""What only the author knows about a model: who, from what, what for, and what not for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from inprocml.bundle.manifest import About as AboutEntry
from inprocml.errors import PackError
from inprocml.schema.sound import first_issue

__all__ = ["About", "figures"]

_SEEDS = (-(2**63), 2**64 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What goes on the model card and into the manifest, all of it optional; given to ``pack`` as ``about``.

    ``author``: whom to ask. ``seed``: what the training's randomness was seeded with. ``dataset``: what the
    training table is called. ``intended_use`` and ``limits``: plain text, paragraphs apart by an empty line.
    ``links``: web addresses by name, such as the run in an experiment tracker. ``slices``: metrics by part of
    the data, ``{"carrier=AA": {"auc": 0.7}}``. Judged where it is written: ``PackError`` names what is wrong.
    """

    author: str | None = None
    seed: int | None = None
    dataset: str | None = None
    intended_use: str | None = None
    limits: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    slices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("author", "dataset"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and 0 < len(value) <= 256):
                raise PackError(f"About({name}=...) must be a text of 1 to 256 characters.")
        seed: object = self.seed
        if seed is not None and (type(seed) is not int or not _SEEDS[0] <= seed <= _SEEDS[1]):
            raise PackError("About(seed=...) must be a whole number of at most 64 bits.")
        if not all(isinstance(getattr(self, name), Mapping) for name in ("links", "slices")):
            raise PackError("About(links=...) and About(slices=...) must be mappings, by name.")
        self.entry()
        self.measured()

    def entry(self) -> AboutEntry:
        """Return what the manifest keeps under ``about``."""
        try:
            return AboutEntry(intended_use=self.intended_use, limits=self.limits, links=dict(self.links))
        except ValidationError as error:
            raise PackError(
                f"About(...): {first_issue(error)}. Texts have up to 4,096 characters, links are at most 32 "
                "web addresses that begin with https:// or http:// and name no user."
            ) from error

    def measured(self) -> dict[str, dict[str, float]]:
        """Return what the manifest keeps under ``slices``."""
        if len(self.slices) > 256 or not all(0 < len(str(name)) <= 256 for name in self.slices):
            raise PackError("About(slices=...) holds at most 256 slices, of names of 1 to 256 characters.")
        return {str(name): figures(given, f"slice {str(name)[:80]!r}") for name, given in self.slices.items()}


def figures(metrics: object, what: str = "metrics=") -> dict[str, float]:
    """Return metrics as finite floats by name; raises ``PackError`` that names the first that is none."""
    if not isinstance(metrics, Mapping) or len(metrics) > 256:
        raise PackError(
            f"{what} is {type(metrics).__name__}; give a mapping from up to 256 names to numbers."
        )
    found = {}
    for name, value in metrics.items():
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError):
            found[str(name)] = math.nan
        if not math.isfinite(found[str(name)]) or not 0 < len(str(name)) <= 256:
            raise PackError(
                f"metric {str(name)[:80]!r} is not a finite number with a short name. Leave it out."
            )
    return found

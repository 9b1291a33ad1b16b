"""Labelled rows that a model was not trained on, as a baseline keeps them: counts, and nothing of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from inprocml.schema.sound import Strict

__all__ = ["KINDS", "Holdout", "HoldoutDocument"]

KINDS = frozenset({"classes@1", "numbers@1"})

Holdout: TypeAlias = Mapping[str, Any]
"""The document of a tally of quality: ``quality.held_out`` makes the tally of it, and checks what it says."""

_MOST_COUNTS = 2_048  # of 32 classes there are 1,528
_Counts = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**63)]], Field(max_length=_MOST_COUNTS), Field(fail_fast=True)
]
_Sums = Annotated[list[float], Field(min_length=8, max_length=8), Field(fail_fast=True)]


class _Classes(Strict):
    kind: Literal["classes@1"]
    classes: Annotated[int, Field(ge=2, le=65_536)]
    counts: _Counts


class _Numbers(Strict):
    kind: Literal["numbers@1"]
    counts: _Sums


HoldoutDocument = Annotated[_Classes | _Numbers, Field(discriminator="kind")]

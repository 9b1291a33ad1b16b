"""Categories: one feature per known value, one for everything else, one for missing if declared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Field
from inprocml.schema.once import once
from inprocml.transform.specs import Category
from inprocml.transform.step import Sink, Writer, one_hot

__all__ = ["CategoryStep", "fit_category"]


@dataclass(frozen=True)
class CategoryStep:
    """``categories`` are sorted and of one type, ``dtype``; the unseen slot follows them, then missing."""

    name: str
    spec: Category
    dtype: Literal["str", "int"]
    categories: tuple[str, ...] | tuple[int, ...]

    def __post_init__(self) -> None:
        kind = str if self.dtype == "str" else int
        if any(type(category) is not kind for category in self.categories):
            raise ValueError("categories must be of the declared type")
        if list(self.categories) != sorted(set(self.categories), key=_itself):
            raise ValueError("categories must be sorted, and none may appear twice")
        if any(self.field.check(category) != category for category in self.categories):
            raise ValueError("categories must be in Unicode normal form C")

    @once
    def field(self) -> Field:
        """The field of the row that this step reads."""
        return Field(self.name, "category", required=self.spec.missing is None, dtype=self.dtype)

    @property
    def unseen(self) -> int:
        """The place of the unseen slot among the features of this step."""
        return len(self.categories)

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.categories) + 1 + (self.spec.missing is not None)

    def names(self) -> list[str]:
        """Return the name of each feature."""
        known = [f"{self.name}={_escaped(category)}" for category in self.categories]
        marks = ["?unseen"] if self.spec.missing is None else ["?unseen", "?missing"]
        return known + [f"{self.name}={mark}" for mark in marks]

    def writer(self, start: int) -> Writer:
        """Return the row path, bound to the position of the first feature."""
        check, kind = self.field.judge, str if self.dtype == "str" else int
        places = {category: start + place for place, category in enumerate(self.categories)}
        unseen = start + self.unseen
        missing = unseen + 1

        def write(value: object, out: Sink) -> None:
            # a known value in canonical form is certainly acceptable; all others are judged first
            place = places.get(value) if type(value) is kind else None
            if place is None:
                canonical = check(value)
                place = missing if canonical is None else places.get(canonical, unseen)
            out[place] = 1.0

        return write

    def write(self, column: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write a canonical column; ``out`` is zeros of shape ``(rows, width)``."""
        places: dict[Any, int] = {category: place for place, category in enumerate(self.categories)}
        unseen = self.unseen
        places[None] = unseen + 1
        one_hot(out, [places.get(value, unseen) for value in column.tolist()])

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this step, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "category@1",
            "name": self.name,
            "min_count": spec.min_count,
            "max_categories": spec.max_categories,
            "missing": spec.missing,
            "dtype": self.dtype,
            "categories": list(self.categories),
        }


def fit_category(
    name: str, spec: Category, dtype: Literal["str", "int"], column: NDArray[np.object_]
) -> CategoryStep:
    """Learn which categories are frequent enough; ties are broken by value, so row order is no matter."""
    counts = Counter(value for value in column.tolist() if value is not None)
    frequent = [value for value, count in counts.items() if count >= spec.min_count]
    if not frequent:
        raise TransformError(
            f"{name}: no category appears {spec.min_count} times. Lower min_count, or leave the field out."
        )
    kept = sorted(sorted(frequent), key=lambda value: -counts[value])[: spec.max_categories]
    return CategoryStep(name, spec, dtype, tuple(sorted(kept)))


def _itself(category: Any) -> Any:
    return category


def _escaped(category: str | int) -> str:
    """Keep the marks for unseen and missing apart from categories that are spelt like them."""
    text = str(category)
    return "?" + text if text.startswith("?") else text

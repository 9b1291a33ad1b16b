"""Hashed strings: one feature per bucket, one for missing if declared; nothing is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Field
from inprocml.schema.once import once
from inprocml.transform.murmur import bucket
from inprocml.transform.specs import Hashed
from inprocml.transform.step import Sink, Writer, one_hot

__all__ = ["HashedStep"]


@dataclass(frozen=True)
class HashedStep:
    """``spec.buckets`` features, and one for missing if declared."""

    name: str
    spec: Hashed
    unseen = None  # a bucket has no way to tell

    @once
    def field(self) -> Field:
        """The field of the row that this step reads."""
        return Field(self.name, "text", required=self.spec.missing is None)

    @property
    def width(self) -> int:
        """The number of features."""
        return self.spec.buckets + (self.spec.missing is not None)

    def names(self) -> list[str]:
        """Return the name of each feature."""
        marks = [] if self.spec.missing is None else [f"{self.name}=?missing"]
        return [f"{self.name}#{number}" for number in range(self.spec.buckets)] + marks

    def writer(self, start: int) -> Writer:
        """Return the row path, bound to the position of the first feature."""
        check, buckets = self.field.judge, self.spec.buckets

        def write(value: object, out: Sink) -> None:
            text = check(value)
            out[start + (buckets if text is None else bucket(text, buckets))] = 1.0

        return write

    def write(self, column: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write a canonical column; ``out`` is zeros of shape ``(rows, width)``."""
        buckets = self.spec.buckets
        values = column.tolist()
        places = {text: buckets if text is None else bucket(text, buckets) for text in set(values)}
        one_hot(out, [places[text] for text in values])

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this step, as JSON holds it."""
        return {
            "kind": "hashed@1",
            "name": self.name,
            "buckets": self.spec.buckets,
            "missing": self.spec.missing,
        }

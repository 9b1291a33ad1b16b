"""A bad file in a large table is found without holding the tensors of all the others."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from inprocml import InvalidRow
from inprocml.schema import Field, Refused
from inprocml.transform.plan import Plan
from inprocml.transform.step import TensorSpec


@dataclass(frozen=True)
class Decoded:
    """A tensor entry of numbers, which refuses negative ones; it remembers how many rows it met at a time."""

    name: str = "x"
    spec: object = None
    met: list[int] = field(default_factory=list)

    fields = (Field("x", "number"),)
    tensors = (TensorSpec("x", (), "float64"),)

    def many(self, columns):
        (column,) = columns
        self.met.append(len(column))
        if (column < 0).any():
            raise Refused("must be a picture", row=int(np.argmax(column < 0)))
        return {"x": column}

    def one(self, values):
        return {"x": np.array(values[0])}

    def emit(self, code, raws):
        code.tensor(f"{code.bind(lambda value: self.one([value]))}({raws[0]})")


@pytest.mark.parametrize("row", [0, 63, 64, 300, 499])
def test_the_first_bad_file_is_named(row):
    table = {"x": [1.0] * row + [-1.0] + [1.0] * (499 - row)}
    with pytest.raises(InvalidRow, match=rf"must be a picture \(row {row}\)"):
        Plan((Decoded(),)).table(table)


def test_no_more_files_than_asked_for_are_open_at_once():
    entry = Decoded()
    parts = Plan((entry,)).batches({"x": [1.0] * 450 + [-1.0] + [1.0] * 49}, 100)
    assert [len(next(parts)["x"]) for _ in range(4)] == [100] * 4
    with pytest.raises(InvalidRow, match="row 450"):
        next(parts)
    assert max(entry.met) == 100

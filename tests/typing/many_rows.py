"""Checked by mypy only: what predict_many returns for what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import pandas as pd

from inprocml import Model, Prediction, Refusal
from inprocml.model.bulk import Stream
from inprocml.values import Written

late = Model("models/late")
frame = pd.DataFrame()
rows: list[dict[str, object]] = []
items: Iterator[dict[str, Any]] = iter(())

assert_type(late.predict_many(frame), list[Prediction])
assert_type(late.predict_many(rows, timeout=1.0), list[Prediction])
assert_type(late.predict_many(rows, errors="keep"), list[Prediction | Refusal])
assert_type(late.predict_many(items), Stream[Prediction])
assert_type(late.predict_many("rows.parquet", errors="keep"), Stream[Prediction | Refusal])
assert_type(late.predict_many([Path("a.parquet"), Path("b.parquet")]), Stream[Prediction])
assert_type(late.predict_many(frame, to="out.parquet", key="id"), Written)
late.predict_many(frame, key="id")  # type: ignore[call-overload]
late.predict_many(frame, errors="ignore")  # type: ignore[call-overload]

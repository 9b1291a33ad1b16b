"""18 request fields to 66 features: one row, 1,000 rows from every door, and what compiling costs.

Beside it, on the same rows in the same interleaved rounds: the same features written by hand, with the same
checks and without, and what others offer (``transform_rivals``; two of them can express a subset only). The
bytes are compared before anything is timed. Everything runs in one process on one thread.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import payments, transform_rivals
from benchmarks.by_hand import Learnt, learn
from benchmarks.by_hand_columns import columns
from benchmarks.by_hand_row import strict, unchecked
from inprocml import InprocmlError, Transform
from inprocml.transform import document
from inprocml.transform.plan import Plan

__all__ = ["measure"]

ROUNDS, FEW, COMPILED = 41, 10, 40
OURS, HAND, BARE = "transform_one", "by hand, same checks", "by hand, no checks"
SKLEARN, READY = "scikit-learn, from the row", "scikit-learn, ready frame"
FUSED, RIVER, PYDANTIC = "ONNX Runtime, fused graph (subset)", "river (subset)", "pydantic, checks only"
FRAME, COLUMNS, ROWS = "DataFrame", "dict of columns", "list of dicts"

Path = tuple[Callable[[Any], Any], list[Any]]
Rounds = dict[str, list[float]]


def measure() -> dict[str, Any]:
    """Return microseconds per row and per 1,000 rows of each contestant, and milliseconds to compile."""
    training, rows = payments.trained(), payments.served()
    transform, learnt = payments.declared().fit(training), learn(training)
    agree(transform, learnt, rows)
    frame = payments.as_frame(training)
    skipped: dict[str, str] = {}
    one = _interleaved(_one_row(transform, learnt, training, frame, rows, skipped))
    many = _interleaved(_tables(transform, learnt, frame, rows, skipped))
    return _report(one, many, _compile(transform), transform.width, skipped)


def agree(transform: Transform, learnt: Learnt, rows: list[dict[str, Any]]) -> None:
    """Raise ``AssertionError`` unless every door of ours, and everything by hand, give the same bytes."""
    expected = [transform.transform_one(row).tobytes() for row in rows]
    for encode in (strict(learnt), unchecked(learnt)):
        assert [encode(row).tobytes() for row in rows] == expected, "by hand, other bytes than transform_one"
    whole = b"".join(expected)
    for table in (rows, payments.as_columns(rows), payments.as_frame(rows)):
        assert transform.transform(table).tobytes() == whole, "transform, other bytes than transform_one"
    for table in (payments.as_columns(rows), payments.as_frame(rows)):
        assert columns(learnt, table).tobytes() == whole, "columns by hand, other bytes than transform_one"


def _one_row(
    transform: Transform,
    learnt: Learnt,
    training: list[dict[str, Any]],
    frame: pd.DataFrame,
    rows: list[dict[str, Any]],
    skipped: dict[str, str],
) -> dict[str, Path]:
    classic = transform_rivals.column_transformer(frame)
    few = rows[:FEW]
    served = payments.as_frame(few)
    paths: dict[str, Path] = {
        OURS: (transform.transform_one, rows),
        HAND: (strict(learnt), rows),
        BARE: (unchecked(learnt), rows),
        SKLEARN: (lambda row: classic.transform(pd.DataFrame([row])), few),
        READY: (classic.transform, [served.iloc[[place]] for place in range(FEW)]),
        FUSED: (transform_rivals.fused(frame), rows[: 10 * FEW]),
        PYDANTIC: (transform_rivals.pydantic_check(), rows),
        "json.loads": (json.loads, [json.dumps(row) for row in rows]),
    }
    try:
        paths[RIVER] = (transform_rivals.river_row(training), rows)
    except ImportError:
        skipped[RIVER] = "river is not installed: pip install 'inprocml[bench]'"
    return paths


def _tables(
    transform: Transform,
    learnt: Learnt,
    frame: pd.DataFrame,
    rows: list[dict[str, Any]],
    skipped: dict[str, str],
) -> dict[str, Path]:
    classic, encode = transform_rivals.column_transformer(frame), strict(learnt)
    served, by_column = payments.as_frame(rows), payments.as_columns(rows)
    paths: dict[str, Path] = {
        FRAME: (transform.transform, [served]),
        COLUMNS: (transform.transform, [by_column]),
        ROWS: (transform.transform, [rows]),
        f"by hand, {FRAME}": (lambda table: columns(learnt, table), [served]),
        f"by hand, {COLUMNS}": (lambda table: columns(learnt, table), [by_column]),
        f"by hand, {ROWS}": (lambda table: np.stack([encode(row) for row in table]), [rows]),
        f"scikit-learn, {FRAME}": (classic.transform, [served]),
        f"{FUSED}, feeds ready": (transform_rivals.fused(frame), [payments.as_float32(rows)]),
    }
    for name, make in (("polars", _polars), ("pyarrow", _pyarrow)):
        try:
            table = make(served)
            features = transform.transform(table)
        except (ImportError, TypeError, InprocmlError) as refused:
            skipped[name] = str(refused)
            continue
        assert features.tobytes() == transform.transform(served).tobytes(), f"{name}, other bytes"
        paths[f"{name} table"] = (transform.transform, [table])
    return paths


def _polars(frame: pd.DataFrame) -> Any:
    import polars as pl

    return pl.from_pandas(frame)


def _pyarrow(frame: pd.DataFrame) -> Any:
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False)


def _interleaved(paths: dict[str, Path]) -> Rounds:
    """Return microseconds per call of each path, one figure a round; the first round only warms up."""
    rounds: Rounds = {name: [] for name in paths}
    for _ in range(ROUNDS + 1):
        for name, (call, inputs) in paths.items():
            began = time.perf_counter()
            for value in inputs:
                call(value)
            rounds[name].append(1e6 * (time.perf_counter() - began) / len(inputs))
    return {name: taken[1:] for name, taken in rounds.items()}


def _compile(transform: Transform) -> dict[str, float]:
    """Return milliseconds from the text to a transform whose row path is ready, and those of the row path."""
    text = transform.to_json()
    entries = document.read(text).entries
    calls: dict[str, Callable[[], object]] = {
        "from_json, in all": lambda: Transform.from_json(text),
        "the row path alone": lambda: Plan(entries),
    }
    rounds: Rounds = {name: [] for name in calls}
    for _ in range(COMPILED):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            rounds[name].append(1e3 * (time.perf_counter() - began))
    return {name: round(statistics.median(taken), 2) for name, taken in rounds.items()}


def _report(
    one: Rounds, many: Rounds, compiled: dict[str, float], width: int, skipped: dict[str, str]
) -> dict[str, Any]:
    us_one = {name: round(statistics.median(taken), 2) for name, taken in one.items()}
    us_many = {name: round(statistics.median(taken), 1) for name, taken in many.items()}
    # of figures taken in one round, so that what else the machine did meanwhile counts on both sides
    pairs = zip(one[OURS], one[HAND], strict=True)
    ratio = round(statistics.median(ours / hand for ours, hand in pairs), 2)
    return {
        "fields": len(payments.FIELDS),
        "features": width,
        "rows": payments.SERVED,
        "us_per_row": us_one,
        "us_per_1000_rows": us_many,
        "us_in_the_quietest_round": {name: round(min(taken), 2) for name, taken in (one | many).items()},
        "ms_to_compile": compiled,
        "ratio": {f"{OURS} / {HAND}": ratio, f"{SKLEARN} / {OURS}": round(us_one[SKLEARN] / us_one[OURS])},
        "skipped": skipped,
        "targets": [
            _target("one row checked and encoded, 18 fields -> 66 features", us_one[OURS], "us", 3.0),
            _target("the same over hand-written code with the same checks", ratio, "", 1.3),
            _target("1,000 rows from a DataFrame", us_many[FRAME], "us", 1_200),
            _target("1,000 rows from a dict of columns", us_many[COLUMNS], "us", 700),
            _target("1,000 rows from a list of dicts", us_many[ROWS], "us", 2_200),
            _target("from JSON to a compiled transform", compiled["from_json, in all"], "ms", 5.0),
        ],
    }


def _target(what: str, measured: float, unit: str, most: float) -> dict[str, Any]:
    return {
        "what": what,
        "measured": f"{measured} {unit}".strip(),
        "target": f"<= {most:g} {unit}".strip(),
        "met": measured <= most,
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))

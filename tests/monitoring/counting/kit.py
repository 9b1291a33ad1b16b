"""Rows with every kind of column, the baseline that they give, and their counts."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from inprocml import Category, Numeric, Timestamp, Transform
from inprocml.monitoring import build_baseline
from inprocml.monitoring.counting import Form, Tally
from inprocml.monitoring.series import layout_of

START = datetime.fromisoformat("2013-01-07T05:00:00+00:00")


def rows_of(rng, count, shift=0.0, *, new=0.0, missing=0.1):
    """Rows as requests bring them: numbers that moved by ``shift``, and a share of values never seen."""
    return [
        {
            "delay": None if rng.random() < missing else rng.normal(shift, 1.0),
            "carrier": f"new{rng.integers(3)}" if rng.random() < new else ("UA", "AA", "B6")[rng.integers(3)],
            "zip": 10_000 + int(rng.integers(5)),
            "at": (START + timedelta(minutes=int(rng.integers(10_000)))).isoformat(),
        }
        for _ in range(count)
    ]


TRANSFORM = Transform(
    {
        "delay": Numeric(missing="median"),
        "carrier": Category(missing="slot"),
        "zip": Category(),
        "at": Timestamp(timezone="UTC"),
    }
)
TRAIN = rows_of(np.random.default_rng(1), 2_000)
TRANSFORM.fit(TRAIN)


def outputs_of(rows):
    """What a model might have answered: shape ``(rows, 2)``."""
    p = np.array([0.5 if row["delay"] is None else 1 / (1 + np.exp(-row["delay"])) for row in rows])
    return {"probability": np.stack([1 - p, p], axis=1)}


def output_columns(rows):
    answered = outputs_of(rows)["probability"]
    return {"probability[0]": answered[:, 0], "probability[1]": answered[:, 1]}


BASELINE = build_baseline(TRANSFORM.schema, TRANSFORM.columns(TRAIN), outputs_of(TRAIN))
FORM = Form(layout_of(BASELINE))


def tally_of(rows):
    tally = Tally(FORM)
    if rows:
        tally.add(TRANSFORM.columns(rows), output_columns(rows))
    return tally

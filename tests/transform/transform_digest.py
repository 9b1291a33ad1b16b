"""One sha256 over a few thousand generated rows, by every door; run as a script it prints JSON.

The rows come from Python's own generator and integers, so that every machine makes the same ones; even the
power of ten in a test's data differs between processors when numpy computes it.
"""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np
import pandas as pd
from numpy._core._multiarray_umath import __cpu_features__

from inprocml import Category, Hashed, Numeric, Timestamp, Transform
from inprocml.transform.logarithm import log1p_array

COUNT = 3000
FIELDS = {
    "standard": Numeric(missing="median", scale="standard"),
    "minmax": Numeric(missing="mean", scale="minmax"),
    "log": Numeric(log=True, scale="standard"),
    "clip": Numeric(log=True, clip=(0.001, 1e6)),
    "plain": Numeric(),
    "carrier": Category(min_count=20, missing="slot"),
    "tail": Hashed(buckets=64),
    "at": Timestamp(parts=("hour", "weekday", "month", "day"), timezone="America/New_York"),
}


def generated(count=COUNT, seed=11):
    draw = random.Random(seed)
    start = datetime(1999, 12, 31, tzinfo=UTC)
    return [
        {
            "standard": None if draw.random() < 0.1 else draw.gauss(3, 40),
            "minmax": None if draw.random() < 0.1 else draw.randint(-(10**6), 10**6) / 7,
            "log": math.ldexp(draw.random(), draw.randint(-60, 60)),
            "clip": draw.uniform(-1, 1) * 10 ** draw.randint(-5, 8),
            "plain": math.ldexp(draw.uniform(-1, 1), draw.randint(-149, 127)),
            "carrier": None
            if draw.random() < 0.05
            else draw.choice(["UA", "AA", "DL", "B6", "café", "cafe\u0301"]),
            "tail": f"N{draw.randint(0, 99999):05d}é",
            "at": (start + timedelta(seconds=draw.randint(0, 10**9))).isoformat(),
        }
        for _ in range(count)
    ]


def digests():
    """Digests of the fit, of the features by three doors, and of the logarithm in float64."""
    rows = generated()
    transform = Transform(FIELDS).fit(generated(count=1000, seed=12))
    columns = {name: [row[name] for row in rows] for name in FIELDS}
    frame = pd.DataFrame(columns)
    frame["at"] = pd.to_datetime(frame["at"])
    logarithms = log1p_array(np.array(columns["log"]))
    found = {
        "fit": transform.digest.encode(),
        "rows": b"".join(transform.transform_one(row).tobytes() for row in rows),
        "columns": transform.transform(columns).tobytes(),
        "frame": transform.transform(frame).tobytes(),
        "logarithm": logarithms.tobytes(),
    }
    active = [name for name, there in __cpu_features__.items() if there]
    return {**{name: sha256(data).hexdigest() for name, data in found.items()}, "active": active}


if __name__ == "__main__":
    print(json.dumps(digests()))

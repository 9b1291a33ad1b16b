"""The way most teams start: a scikit-learn pipeline in a joblib file, a DataFrame per request.

The same flights, the same fields, the same kind of model; kept as a fair opponent, not as a straw man: the
pipeline holds its own preprocessing, and the view checks that the fields are there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from examples.flask_app import flights

NUMBERS = ["dep_delay", "sched_dep", "sched_arr", "distance"]
CATEGORIES = ["carrier", "origin", "dest"]


def calendar(frame: pd.DataFrame) -> pd.DataFrame:
    """Return hour, weekday and month in New York."""
    local = pd.to_datetime(frame["time_hour"], utc=True).dt.tz_convert("America/New_York")
    return pd.DataFrame({"hour": local.dt.hour, "weekday": local.dt.weekday, "month": local.dt.month})


def train_classic() -> Pipeline:
    """Return the fitted pipeline (without the tail number: scikit-learn's hasher costs it 100 us more)."""
    train_set, _ = flights.split(flights.load())
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), NUMBERS),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
            (
                "calendar",
                Pipeline(
                    [
                        ("parts", FunctionTransformer(calendar)),
                        ("one-hot", OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
                    ]
                ),
                ["time_hour"],
            ),
        ]
    )
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0)
    return Pipeline([("columns", columns), ("model", model)]).fit(train_set, train_set["late"])


def save(path: Path) -> None:
    """Train and write the joblib file."""
    import joblib

    joblib.dump(train_classic(), path)


def create_app() -> Any:
    """Return the classic Flask application."""
    import joblib
    from flask import Flask, request

    model = joblib.load(os.environ["CLASSIC_MODEL"])
    app = Flask(__name__)

    @app.post("/late")
    def score() -> Any:
        row = request.get_json()
        missing = [name for name in flights.FIELDS if name not in row]
        if missing:
            return {"missing": missing}, 422
        p = float(model.predict_proba(pd.DataFrame([row]))[0, 1])
        return {"late": "late" if p > 0.5 else "on time", "p": p}

    return app

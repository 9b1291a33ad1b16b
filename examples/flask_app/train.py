"""Train on January to June, pack one bundle: ``python -m examples.flask_app.train models/late``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, roc_auc_score

import inprocml
from examples.flask_app import flights
from inprocml import Category, Classes, Hashed, Numeric, Timestamp, Transform


def transform() -> Transform:
    """Return the features, unfitted: the one definition that training and serving share."""
    return Transform(
        {
            "dep_delay": Numeric(missing="median"),
            "sched_dep": Numeric(),
            "sched_arr": Numeric(),
            "distance": Numeric(log=True, clip=(1, 5000)),
            "carrier": Category(min_count=20),
            "origin": Category(),
            "dest": Category(min_count=20),
            "tailnum": Hashed(buckets=64),
            "time_hour": Timestamp(parts=("hour", "weekday", "month"), timezone="America/New_York"),
        }
    )


def train(store: Path, *, rows: int = 100_000) -> inprocml.Bundle:
    """Fit on ``rows`` flights, measure on the second half of the year, pack into ``store``."""
    train_set, test_set = flights.split(flights.load(), train_rows=rows)
    features = transform()
    X = features.fit_transform(train_set)
    y = train_set["late"].to_numpy().astype(int)
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(X, y)
    truth = test_set["late"].to_numpy().astype(int)
    scores = model.predict_proba(features.transform(test_set))[:, 1]
    metrics = {
        "auc": float(roc_auc_score(truth, scores)),
        "accuracy": float(accuracy_score(truth, scores > 0.5)),
    }
    return inprocml.pack(
        store,
        transform=features,
        model=model,
        output=Classes(["on time", "late"]),
        baseline=train_set,
        labels=y,
        metrics=metrics,
    )


def main() -> None:
    store = Path(sys.argv[1] if len(sys.argv) > 1 else "models/late")
    began = time.monotonic()
    bundle = train(store)
    print(f"packed {bundle.path} in {time.monotonic() - began:.0f} s: {dict(bundle.manifest.metrics)}")


if __name__ == "__main__":
    main()

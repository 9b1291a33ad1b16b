"""One table, one transform, and exports that cost seconds made once."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from inprocml import Category, Classes, Hashed, Numeric, Regression, Transform, pack


def make_table(count=300, seed=0):
    random = np.random.default_rng(seed)
    table = {
        "delay": random.normal(10, 30, count),
        "distance": np.exp(random.normal(6, 1, count)),
        "carrier": random.choice(["UA", "AA", "B6", "rare"], count, p=[0.5, 0.3, 0.19, 0.01]).tolist(),
        "tail": [f"N{i % 97}" for i in range(count)],
    }
    table["delay"][7] = np.nan
    return table


@pytest.fixture(scope="session")
def flights():
    table = make_table()
    transform = Transform(
        {
            "delay": Numeric(missing="median", scale="standard"),
            "distance": Numeric(log=True, scale="standard"),
            "carrier": Category(min_count=10),
            "tail": Hashed(buckets=4),
        }
    )
    features = transform.fit_transform(table)
    late = (features[:, 0] + features[:, 1] > 0).astype(int)
    return SimpleNamespace(
        table=table,
        transform=transform,
        features=features,
        width=transform.width,
        late=late,
        three=(features[:, 0] > 0).astype(int) + (features[:, 1] > 0),
        value=features[:, 0] * 1000 + features[:, 1],
    )


@pytest.fixture
def pack_into(flights, tmp_path):
    """``pack`` with everything but the model filled in."""

    def packed(model, output=None, **changes):
        arguments = {
            "transform": flights.transform,
            "baseline": flights.table,
            "output": output or Classes(["on time", "late"]),
        }
        return pack(tmp_path / "late", model=model, **arguments | changes)

    return packed


@pytest.fixture(scope="session")
def fitted(flights):
    """Fitted estimators by name, each with an output that fits."""
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier
    from threadpoolctl import threadpool_limits

    two, three, number = Classes(["on time", "late"]), Classes(["a", "b", "c"]), Regression()
    kinds = {
        "logistic": (LogisticRegression(max_iter=300), flights.late, two),
        "three": (LogisticRegression(max_iter=300), flights.three, three),
        "hgb": (HistGradientBoostingClassifier(max_iter=5), flights.late, two),
        "hgb three": (HistGradientBoostingClassifier(max_iter=3), flights.three, three),
        "gb": (GradientBoostingClassifier(n_estimators=5), flights.late, two),
        "forest": (RandomForestClassifier(5, random_state=0), flights.late, two),
        "tree": (DecisionTreeClassifier(max_depth=4), flights.late, two),
        "mlp": (MLPClassifier((8,), max_iter=40, tol=1.0, n_iter_no_change=2), flights.late, two),
        "pipeline": (make_pipeline(LogisticRegression(max_iter=300)), flights.late, two),
        "scaled pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), flights.late, two),
        "hgb pipeline": (make_pipeline(HistGradientBoostingClassifier(max_iter=3)), flights.late, two),
        "linear": (LinearRegression(), flights.value, number),
        "ridge": (Ridge(), flights.value, number),
        "hgb number": (HistGradientBoostingRegressor(max_iter=5), flights.value, number),
        "forest number": (RandomForestRegressor(5, random_state=0), flights.value, number),
    }
    with threadpool_limits(1):  # OpenMP threads of five small forests only fight on a busy machine
        return {name: (model.fit(flights.features, y), output) for name, (model, y, output) in kinds.items()}

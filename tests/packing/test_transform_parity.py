"""Models trained on the transform's float32 give the same labels once packed: none of 20,000 rows flips.

The columns are of the kind that breaks exports: epoch seconds, ids, a mean of a million with a spread of one,
and whole numbers so large that neighbours differ by one step of float32.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from inprocml import Category, Classes, Numeric, PackError, Regression, Transform, pack
from inprocml.backends import open_backend

ROWS = 20_000
STEP = 128  # from one float32 to the next between 2**30 and 2**31
RELATIVE = 1e-5
"""What float32 may cost a regression, of the larger of the answer and the spread of the answers."""


def make_table(count, seed):
    random = np.random.default_rng(seed)
    return {
        "epoch": np.floor(1.6e9 + random.uniform(0, 5e7, count)),
        "neighbours": np.floor(1.6e9 + random.uniform(0, 40 * STEP, count)),
        "id": random.integers(10**9, 10**9 + 10**7, count).astype(np.float64),
        "level": 1e6 + random.normal(0, 1, count),
        "amount": random.exponential(3e5, count),
        "pressure": random.normal(1e6, 1, count),
        "carrier": random.choice(list("abcd"), count).tolist(),
    }


LINEAR = ["logistic", "stochastic", "machine", "ridge", "linear"]


@pytest.fixture(scope="module")
def big():
    return made(Numeric())


@pytest.fixture(scope="module")
def scaled():
    """The same for linear models, which cannot be trained on a column of 1.6e9."""
    return made(Numeric(scale="minmax"))


def made(neighbours):
    transform = Transform(
        {
            "epoch": Numeric(scale="standard"),
            "neighbours": neighbours,
            "id": Numeric(scale="robust"),
            "level": Numeric(scale="standard"),
            "amount": Numeric(log=True, scale="standard"),
            "pressure": Numeric(bins=8),
            "carrier": Category(),
        }
    )
    table = make_table(2000, 0)
    features = transform.fit_transform(table)
    bumps = 0.4 * (table["neighbours"] % (4 * STEP) >= 2 * STEP) + (np.array(table["carrier"]) == "b")
    noise = np.random.default_rng(3).normal(0, 0.5, 2000)
    score = 0.8 * features[:, 0] - features[:, 3] + features[:, 4] + bumps + noise
    return SimpleNamespace(
        table=table,
        transform=transform,
        features=features,
        answers={2: (score > 0.4).astype(int), 3: np.digitize(score, [-0.3, 0.9]), 0: score * 100 + 1000},
        rows=transform.transform(make_table(ROWS, 1)),
    )


CLASSIFIERS = {
    "hgb": HistGradientBoostingClassifier(max_iter=30, random_state=0),
    "hgb stopped": HistGradientBoostingClassifier(max_iter=30, early_stopping=True, random_state=0),
    "gb": GradientBoostingClassifier(n_estimators=20, random_state=0),
    "forest": RandomForestClassifier(40, random_state=0),
    "shallow forest": RandomForestClassifier(30, min_samples_leaf=3, random_state=0),
    "extra": ExtraTreesClassifier(20, random_state=0),
    "tree": DecisionTreeClassifier(random_state=0),
    "boosted": AdaBoostClassifier(n_estimators=10, random_state=0),
    "bagged": BaggingClassifier(n_estimators=6, random_state=0),
    "logistic": LogisticRegression(max_iter=300),
    "stochastic": SGDClassifier(loss="log_loss", random_state=0),
    "machine": CalibratedClassifierCV(LinearSVC(random_state=0), cv=2),
    "calibrated forest": CalibratedClassifierCV(RandomForestClassifier(10, random_state=0), cv=2),
    "pipeline": make_pipeline(RandomForestClassifier(10, random_state=0)),
    "together": VotingClassifier(
        [("a", RandomForestClassifier(6, random_state=0)), ("b", HistGradientBoostingClassifier(max_iter=5))],
        voting="soft",
        flatten_transform=False,
    ),
}
THREE = ["hgb", "gb", "forest", "extra", "tree", "logistic"]
REGRESSORS = {
    "hgb": HistGradientBoostingRegressor(max_iter=30, random_state=0),
    "gb": GradientBoostingRegressor(n_estimators=20, random_state=0),
    "forest": RandomForestRegressor(10, random_state=0),
    "extra": ExtraTreesRegressor(10, random_state=0),
    "tree": DecisionTreeRegressor(random_state=0),
    "ridge": Ridge(),
    "linear": LinearRegression(),
}


@pytest.fixture
def columns(request, name):
    return request.getfixturevalue("scaled" if name in LINEAR else "big")


def packed(big, model, classes, store):
    """The trained model's answers to 20,000 rows, and those of its bundle."""
    with threadpool_limits(1):
        model.fit(big.features, big.answers[classes])
        bundle = pack(
            store,
            transform=big.transform,
            model=model,
            output=Classes(list("abc"[:classes])) if classes else Regression(),
            baseline=big.table,
        )
        backend = open_backend("onnx", bundle.model, threads=1)
        found = backend.run({bundle.inputs["features"]: big.rows})[bundle.output_name]
        backend.close()
        return model.predict(big.rows), found


@pytest.mark.parametrize(
    ("name", "classes"), [*((name, 2) for name in CLASSIFIERS), *((name, 3) for name in THREE)]
)
def test_no_label_flips(columns, name, classes, tmp_path):
    trained, found = packed(columns, CLASSIFIERS[name], classes, tmp_path / "store")
    assert len(set(trained.tolist())) == classes
    assert int((found.argmax(axis=1) != trained).sum()) == 0


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressions_agree(columns, name, tmp_path):
    trained, found = packed(columns, REGRESSORS[name], 0, tmp_path / "store")
    apart = np.abs(found.ravel() - trained) / np.maximum(np.abs(trained), trained.std())
    assert apart.max() <= RELATIVE


def test_an_even_split_of_votes_is_one_half(big):
    """Twenty trees, ten votes each: ten times float32(1/20) is more than one half."""
    from inprocml.packing.from_sklearn import export_sklearn

    forest = RandomForestClassifier(20, random_state=0).fit(big.features, big.answers[2])
    exported = export_sklearn(forest, width=big.transform.width, output=Classes(["a", "b"]))
    backend = open_backend("onnx", exported.model, threads=1)
    found = backend.run({"features": big.rows})[exported.output]
    backend.close()
    even = forest.predict_proba(big.rows)[:, 0] == 0.5
    assert even.sum() > 100
    assert (found[even] == np.float32(0.5)).all()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_split_by_category_is_refused(big, wrapped, tmp_path):
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features=[big.transform.width - 1])
    model = make_pipeline(model) if wrapped else model
    model.fit(big.features, big.answers[2])
    with pytest.raises(PackError, match=r"splits by category.*without categorical_features"):
        pack(
            tmp_path / "store",
            transform=big.transform,
            model=model,
            output=Classes(["a", "b"]),
            baseline=big.table,
        )

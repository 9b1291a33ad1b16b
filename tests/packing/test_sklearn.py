"""scikit-learn estimators: packed, equal to themselves, and told what is wrong otherwise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from skl2onnx.common import _container, tree_ensemble
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from inprocml import Classes, PackError, Regression
from inprocml.backends import open_backend

NAMES = [
    "logistic",
    "three",
    "hgb",
    "hgb three",
    "gb",
    "forest",
    "tree",
    "mlp",
    "pipeline",
    "scaled pipeline",
    "hgb pipeline",
    "linear",
    "ridge",
    "hgb number",
    "forest number",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_packed_model_answers_as_the_trained_one(flights, fitted, pack_into, name, capfd):
    model, output = fitted[name]
    bundle = pack_into(model, output)
    backend = open_backend("onnx", bundle.model)
    scores = backend.run({bundle.inputs["features"]: flights.features})
    assert list(scores) == [bundle.output_name]  # no labels, no ZipMap: one plain tensor
    backend.close()
    if isinstance(output, Classes):
        expected = model.predict_proba(flights.features)
        for i in range(20):
            value, probability, _ = bundle.output.decode(scores, i)
            assert value == output.labels[expected[i].argmax()]
            assert probability == pytest.approx(expected[i].max(), abs=1e-5)
        assert bundle.parity.flips == 0
    else:
        expected = model.predict(flights.features)
        values = [bundle.output.decode(scores, i)[0] for i in range(20)]
        assert values == pytest.approx(expected[:20].tolist(), rel=1e-4, abs=1e-2)
        assert bundle.parity.flips is None
    assert bundle.parity.rows == 300
    assert bundle.parity.batches == (1, 2, 5, 300)
    assert 0 <= bundle.parity.distance <= 1e-5 < bundle.parity.limit
    assert capfd.readouterr() == ("", "")


def test_the_converter_s_patch_is_gone_after_each_call(fitted, pack_into):
    before = _container.make_node, tree_ensemble.add_node
    pack_into(*fitted["hgb"])
    assert (_container.make_node, tree_ensemble.add_node) == before
    with pytest.raises(PackError):
        pack_into(*_unsupported())
    assert (_container.make_node, tree_ensemble.add_node) == before


def _unsupported():
    from sklearn.semi_supervised import LabelSpreading

    X = np.zeros((4, 10), dtype=np.float32)
    X[2:] = 1
    return LabelSpreading().fit(X, [0, 0, 1, 1]), Classes(["a", "b"])


def test_an_estimator_without_a_converter_says_what_to_do(flights, pack_into):
    model, output = _unsupported()
    assert flights.width == 10
    with pytest.raises(
        PackError, match=r"cannot convert LabelSpreading.*export it to ONNX yourself"
    ) as caught:
        pack_into(model, output)
    assert len(str(caught.value)) < 600


def test_a_model_fitted_on_a_frame_packs_without_warnings(flights, pack_into, recwarn):
    frame = pd.DataFrame(flights.features, columns=flights.transform.get_feature_names_out())
    bundle = pack_into(LogisticRegression().fit(frame, flights.late))
    assert bundle.parity.distance < 1e-5
    assert not recwarn.list


def test_a_calibrated_model_packs(flights, pack_into):
    model = CalibratedClassifierCV(LinearSVC(), cv=2).fit(flights.features, flights.late)
    assert pack_into(model).parity.distance < 1e-5


def test_string_classes_keep_their_order(flights, pack_into):
    y = np.where(flights.late, "late", "on time")
    model = LogisticRegression().fit(flights.features, y)
    assert model.classes_.tolist() == ["late", "on time"]
    assert pack_into(model, Classes(["late", "on time"]), labels=y).manifest.label_counts == (
        int((y == "late").sum()),
        int((y == "on time").sum()),
    )
    with pytest.raises(PackError, match=r"another order than model\.classes_.*swapped"):
        pack_into(model, Classes(["on time", "late"]))


def test_boolean_classes_pack(flights, pack_into):
    model = LogisticRegression().fit(flights.features, flights.late.astype(bool))
    assert pack_into(model, Classes([False, True]), labels=flights.late.astype(bool)).output.labels == (
        False,
        True,
    )


@pytest.mark.parametrize(
    ("make", "output", "told"),
    [
        (lambda f: LogisticRegression(), None, r"LogisticRegression is not fitted.*model\.fit"),
        (lambda f: LogisticRegression().fit(f.features[:, :3], f.late), None, "on 3 features.*makes 10"),
        (
            lambda f: LogisticRegression().fit(f.features, f.three),
            None,
            "on 3 classes, but Classes has 2 labels",
        ),
        (lambda f: LogisticRegression().fit(f.features, f.late), Regression(), "is a classifier"),
        (
            lambda f: LogisticRegression().fit(f.features, f.late),
            Classes([0, 1], scores="logits"),
            "gives probabil",
        ),
        (lambda f: LinearRegression().fit(f.features, f.value), None, "is a regressor.*Regression"),
        (
            lambda f: LinearRegression().fit(f.features, np.c_[f.value, f.value]),
            Regression(),
            "2 numbers per row",
        ),
        (lambda f: LinearSVC().fit(f.features, f.late), None, "no predict_proba.*CalibratedClassifierCV"),
        (lambda f: KMeans(2, n_init=1).fit(f.features), None, "neither a classifier nor a regressor"),
        (lambda f: StandardScaler().fit(f.features), None, "has no predict"),
        (
            lambda f: MultiOutputClassifier(LogisticRegression()).fit(f.features, np.c_[f.late, f.late]),
            None,
            "2 outputs at once",
        ),
    ],
)
def test_what_cannot_be_packed_says_why(flights, pack_into, tmp_path, make, output, told):
    with pytest.raises(PackError, match=told):
        pack_into(make(flights), output)
    assert not (tmp_path / "late").exists()


def test_the_features_are_what_the_model_was_measured_on(flights, pack_into):
    """float32 from the transform: no row flips, however large the raw numbers (transform.md, 3.5)."""
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(max_iter=20).fit(flights.features, flights.late)
    assert pack_into(model).parity.flips == 0

"""A declared transform inside scikit-learn: its own checks, and the same bytes as outside."""

from __future__ import annotations

import importlib
import io
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from joblib import dump, load
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.transform.transform_rows import FIELDS, training_rows

import inprocml
from inprocml import Category, Hashed, InvalidRow, Numeric, Regression, Transform, TransformError
from inprocml.sklearn import DeclaredTransformer

EXPECTED_TO_FAIL: dict[str, str] = {}
"""Checks of scikit-learn's that the view need not pass, each with its reason: none. Shown in the docs."""

ROWS = training_rows()
TARGET = np.array([index % 3 == 0 for index in range(len(ROWS))])
SMALL = {
    "plain": Numeric(scale="standard"),
    "carrier": Category(missing="slot"),
    "zip": Category(missing="slot"),
}


def small_rows():
    return [{name: row[name] for name in SMALL} for row in ROWS]


def small_frame():
    frame = pd.DataFrame(small_rows())
    return frame.astype({"zip": "Int64"})


@parametrize_with_checks(
    [
        DeclaredTransformer(),
        DeclaredTransformer(Numeric(missing="median", scale="standard")),
        DeclaredTransformer(Numeric(clip=(-2, 2), scale="minmax")),
    ],
    expected_failed_checks=lambda _: EXPECTED_TO_FAIL,
)
@pytest.mark.filterwarnings("ignore")  # the checks provoke warnings of scikit-learn's own
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_the_features_are_those_of_the_transform_by_every_door():
    plain = Transform(FIELDS).fit(ROWS)
    view = Transform(FIELDS).as_sklearn()
    expected = plain.transform(ROWS).tobytes()
    assert view.fit_transform(ROWS).tobytes() == expected
    assert clone(view).fit(ROWS).transform(pd.DataFrame(ROWS).astype({"zip": "Int64"})).tobytes() == expected
    assert view.transform({name: [row[name] for row in ROWS] for name in FIELDS}).tobytes() == expected
    assert view.transform_.digest == plain.digest
    assert list(view.get_feature_names_out()) == list(plain.get_feature_names_out())
    assert (view.n_features_in_, list(view.feature_names_in_)) == (len(FIELDS), list(FIELDS))


def test_a_fitted_transform_gives_a_fitted_view_and_the_two_share_nothing():
    plain = Transform(SMALL).fit(small_rows())
    digest = plain.digest
    view = plain.as_sklearn()
    assert view.transform(small_frame()).tobytes() == plain.transform(small_rows()).tobytes()
    view.fit(small_frame().iloc[:20])
    assert plain.digest == digest != view.transform_.digest
    with pytest.raises(NotFittedError):
        clone(view).transform(small_frame())


def test_frames_are_read_by_name():
    frame = small_frame()
    view = Transform(SMALL).as_sklearn().fit(frame.assign(more=1))
    expected = Transform(SMALL).fit_transform(frame).tobytes()
    assert view.transform(frame[frame.columns[::-1]]).tobytes() == expected
    assert list(view.feature_names_in_) == [*SMALL, "more"]
    with pytest.raises(InvalidRow, match="plain"):
        view.transform(frame.drop(columns="plain"))


def test_arrays_are_read_by_position():
    declared = {"b": Numeric(scale="standard"), "a": Numeric(missing=0)}
    values = np.array([[1.0, np.nan], [3.0, 4.0]])
    view = Transform(declared).as_sklearn().fit(values)
    assert view.transform(values).tolist() == [[-1, 0], [1, 4]]
    assert view.transform_.fields == declared
    # after a table with names, an array is in that table's order, which is what frame.to_numpy() gives
    view.fit(pd.DataFrame(values[:, ::-1], columns=["a", "b"]))
    with pytest.warns(UserWarning, match="valid feature names"):
        assert view.transform(values[:, ::-1]).tolist() == [[-1, 0], [1, 4]]
    mixed = Transform({"n": Numeric(), "c": Category()}).as_sklearn()
    assert mixed.fit_transform(np.array([[1.5, "x"], [2, "y"]], dtype=object)).shape == (2, 4)
    with pytest.raises(ValueError, match="3 columns was given for 2 declared fields"):
        clone(view).fit(np.zeros((4, 3)))
    with pytest.raises(TypeError, match="Sparse"):
        clone(view).fit(sparse.dok_array(values))


def test_without_a_declaration_tables_of_rows_are_refused_with_the_remedy():
    with pytest.raises(TypeError, match="give fields as a mapping"):
        DeclaredTransformer().fit(small_rows())


def test_parameters_are_named_by_field_and_argument():
    view = Transform({"a": Numeric(), "b__c": Category(), "fields": Hashed(buckets=3)}).as_sklearn()
    params = view.get_params()
    assert params["a"] == Numeric()
    assert params["b__c__min_count"] == 1
    assert params["fields__buckets"] == 3
    assert params["fields"] == view.fields
    before = view.fields
    view.set_params(a=Category(), a__min_count=2, b__c__missing="slot", b__c__min_count=5, fields__buckets=4)
    assert view.fields == {
        "a": Category(min_count=2),
        "b__c": Category(missing="slot", min_count=5),
        "fields": Hashed(buckets=4),
    }
    assert before["a"] == Numeric()
    assert DeclaredTransformer(Numeric()).set_params(fields__log=True).fields == Numeric(log=True)


@pytest.mark.parametrize("wrong", ["nonsense", "a__nonsense", "nonsense__log", "a__", "__log"])
def test_other_parameters_are_refused_and_nothing_is_set(wrong):
    view = Transform({"a": Numeric()}).as_sklearn()
    with pytest.raises(ValueError, match="Invalid parameter"):
        view.set_params(a__log=True, **{wrong: 1})
    with pytest.raises(ValueError, match="scale must be one of"):
        view.set_params(a__log=True, a__scale="nonsense")
    assert view.fields == {"a": Numeric()}


def pipeline():
    return Pipeline(
        [("transform", Transform(SMALL).as_sklearn()), ("model", LogisticRegression(max_iter=200))]
    )


def test_grid_search_tunes_the_declaration():
    grid = {
        "transform__carrier__max_categories": [None, 1],
        "transform__zip": [Category(missing="slot"), Category(missing="slot", max_categories=1)],
    }
    search = GridSearchCV(pipeline(), grid, cv=3, error_score="raise").fit(small_frame(), TARGET)
    widths = {
        clone(pipeline()).set_params(**params).fit(small_frame(), TARGET)[0].transform_.width
        for params in search.cv_results_["params"]
    }
    assert widths == {13, 10, 7}  # two carriers, or all but one code, less: 3 features each
    assert search.best_estimator_[0].transform_.width in widths
    assert len(cross_val_score(pipeline(), small_rows(), TARGET, cv=3, error_score="raise")) == 3


def test_it_stands_beside_other_transformers():
    frame = small_frame()
    view = Transform(SMALL).as_sklearn()
    width = Transform(SMALL).fit(frame).width
    union = FeatureUnion([("one", view), ("two", clone(view))]).fit(frame)
    assert union.transform(frame).shape == (len(frame), 2 * width)
    columns = ColumnTransformer([("view", view, list(SMALL)), ("scaled", StandardScaler(), ["plain"])])
    columns.set_output(transform="pandas")
    out = columns.fit_transform(frame)
    assert out.columns[0] == "view__plain"
    assert out.shape == (len(frame), width + 1)
    after = Pipeline([("scaled", StandardScaler()), ("view", Transform({"plain": Numeric()}).as_sklearn())])
    assert after.fit_transform(frame[["plain"]]).dtype == np.float32


def test_output_as_frames():
    frame = small_frame().set_index(pd.Index(range(100, 100 + len(ROWS))))
    view = Transform(SMALL).as_sklearn().set_output(transform="pandas")
    out = view.fit_transform(frame)
    assert out.index.equals(frame.index)
    assert list(out.columns) == list(view.get_feature_names_out())
    assert {str(dtype) for dtype in out.dtypes} == {"float32"}
    polars = view.set_output(transform="polars").transform(small_frame())
    assert isinstance(polars, pl.DataFrame)
    assert polars.to_numpy().tobytes() == out.to_numpy().tobytes()
    assert isinstance(view.set_output(transform="default").transform(frame), np.ndarray)


def test_it_survives_pickle_and_joblib():
    view = Transform(SMALL).as_sklearn().fit(small_frame())
    file = io.BytesIO()
    dump(view, file)
    file.seek(0)
    for again in (pickle.loads(pickle.dumps(view)), load(file)):
        assert again.transform_.digest == view.transform_.digest
        assert again.transform(small_frame()).tobytes() == view.transform(small_frame()).tobytes()
        assert again.get_params() == view.get_params()


def test_what_was_fitted_in_a_pipeline_is_packed(tmp_path):
    from sklearn.linear_model import Ridge

    rows = small_rows()
    fitted = Pipeline([("transform", Transform(SMALL).as_sklearn()), ("model", Ridge())]).fit(rows, TARGET)
    bundle = inprocml.pack(
        tmp_path / "small",
        transform=fitted["transform"].transform_,
        model=fitted["model"],
        output=Regression(),
        baseline=rows,
    )
    assert bundle.transform.digest == fitted["transform"].transform_.digest


def test_a_notebook_shows_the_declaration_escaped():
    shown = Transform({"<u>": Numeric()}).as_sklearn()._repr_html_()
    assert "&lt;u&gt;" in shown
    assert "<u>" not in shown


def test_without_scikit_learn_the_message_says_what_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name="sklearn")

    monkeypatch.setattr("inprocml.transform.views.import_module", missing)
    with pytest.raises(TransformError, match=r"pip install 'inprocml\[sklearn\]'"):
        Transform({"a": Numeric()}).as_sklearn()
    assert importlib.import_module("inprocml.sklearn").DeclaredTransformer is DeclaredTransformer

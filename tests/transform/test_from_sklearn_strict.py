"""Where a converted transform could be laxer than what was fitted, or fail without a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    TargetEncoder,
)

from inprocml import InvalidRow, Transform, TransformError


@pytest.mark.parametrize("after", [SimpleImputer(strategy="most_frequent"), MissingIndicator(features="all")])
def test_a_missing_value_that_an_encoder_refuses_is_refused_whatever_follows(after):
    table = pd.DataFrame({"city": ["ulm", "bonn", "ulm"]}, dtype=object)
    fitted = make_pipeline(OrdinalEncoder(), after).fit(table)
    transform = Transform.from_sklearn(fitted, table)

    with pytest.raises(ValueError, match="unknown categories"):
        fitted.transform(pd.DataFrame({"city": [None]}, dtype=object))
    with pytest.raises(InvalidRow, match="city"):
        transform.transform_one({"city": None})


def test_an_imputer_that_learnt_nothing_to_fill_in_is_told():
    table = pd.DataFrame({"paid": pd.Series([True, None, None, False, None], dtype=object)})
    fitted = make_pipeline(SimpleImputer(strategy="most_frequent", keep_empty_features=True), OneHotEncoder())

    with pytest.raises(TransformError, match="is itself missing"):
        Transform.from_sklearn(fitted.fit(table), table)


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder(), TargetEncoder(cv=2)])
def test_float32_categories_that_no_sender_could_meet_are_refused(encoder):
    table = pd.DataFrame({"rate": np.array([0.1, 0.2, 0.5] * 4, dtype=np.float32)})
    fitted = encoder.fit(table, np.arange(12.0))

    with pytest.raises(TransformError, match="float32"):
        Transform.from_sklearn(fitted, table)


def test_float32_categories_that_are_the_same_in_float64_convert():
    table = pd.DataFrame({"rate": np.array([0.5, 2.0, np.nan] * 4, dtype=np.float32)})
    transform = Transform.from_sklearn(OneHotEncoder().fit(table), table)

    assert transform.transform_one({"rate": 0.5}).tolist() == [1.0, 0.0, 0.0]


def test_products_of_sparse_columns_are_multiplied_in_their_own_order():
    # 49 * (1 / 49) is just below 1, and 2**24 + 3 lies between two float32
    table = pd.DataFrame({"a": [49.0, 1.0], "b": [1 / 49, 2.0], "c": [2.0**24 + 3, 3.0], "d": [0.0, 1.0]})
    parts = [
        ("rest", "passthrough", ["a", "b", "c"]),
        ("bins", KBinsDiscretizer(2, strategy="uniform"), ["d"]),
    ]
    sparse = ColumnTransformer(parts, sparse_threshold=1.0)
    dense = ColumnTransformer(parts, sparse_threshold=0.0)
    products = {}
    for name, both in {"sparse": sparse, "dense": dense}.items():
        fitted = make_pipeline(both, PolynomialFeatures(3, interaction_only=True)).fit(table)
        features = Transform.from_sklearn(fitted, table).transform(table)
        wanted = fitted.transform(table)
        wanted = wanted.toarray() if name == "sparse" else wanted
        assert np.array_equal(features, wanted.astype(np.float32))
        products[name] = features

    assert not np.array_equal(products["sparse"], products["dense"])


def test_a_category_that_becomes_refused_breaks_who_sends_it():
    def closed(*cities):
        table = pd.DataFrame({"city": list(cities)})
        return Transform.from_sklearn(OneHotEncoder().fit(table), table)

    def open_(*cities):
        table = pd.DataFrame({"city": list(cities)})
        return Transform.from_sklearn(OneHotEncoder(handle_unknown="ignore").fit(table), table)

    assert closed("bonn", "ulm").diff(closed("ulm")).rows == "breaking"
    assert open_("bonn", "ulm").diff(closed("bonn", "ulm")).rows == "breaking"
    assert closed("ulm").diff(closed("bonn", "ulm")).rows == "compatible"
    assert closed("bonn", "ulm").diff(open_("ulm")).rows == "compatible"
    assert closed("ulm").diff(closed("ulm")).rows == "same"


def test_thousands_of_categories_do_not_fill_a_page():
    table = pd.DataFrame({"city": [f"city {number}" for number in range(5_000)]})
    transform = Transform.from_sklearn(OrdinalEncoder().fit(table), table)

    assert len(transform._repr_html_()) < 10_000

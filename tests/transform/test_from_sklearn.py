"""A fitted scikit-learn transformer as a Transform: the same features, or a refusal that says why."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import issparse
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

import inprocml
from examples.flask_app import flights
from inprocml import Category, InvalidRow, Numeric, ParityError, Transform, TransformError

pytestmark = pytest.mark.filterwarnings("ignore")  # of scikit-learn's own: unknown categories, small bins

NUMBERS = ["age", "fare", "size", "rooms"]
VALUES = ["city", "kind", "zip", "floor"]
COLUMNS = [*NUMBERS, *VALUES, "paid"]
WORDS = ["berlin", "münchen", "köln", "ulm", "?x", "a=b"]


def frame(rows, seed, *, fresh=False):
    """A table of all kinds of columns; fresh ones hold values that the others do not."""
    random = np.random.default_rng(seed)
    age = random.normal(40, 12, rows)
    age[random.random(rows) < 0.15] = np.nan
    size = random.lognormal(3, 2, rows).round(2)
    size[random.random(rows) < 0.1] = np.nan
    words = [*WORDS, "neustadt"] if fresh else WORDS
    kinds = random.choice(["a", "b", "c", "rare"] + ["new"] * fresh, rows)
    floors = random.choice([0.0, 1.0, 2.0, np.nan] + [7.0] * fresh, rows)
    return pd.DataFrame(
        {
            "age": age,
            "fare": random.gamma(2.0, 20.0, rows),
            "size": size,
            "rooms": random.integers(1, 9, rows),
            "city": random.choice(words, rows),
            "kind": pd.Series(np.where(random.random(rows) < 0.1, None, kinds), dtype=object),
            "zip": random.choice([10115, 80331, 50667, 89073] + [12345] * fresh, rows),
            "floor": floors,
            "paid": random.random(rows) < 0.4,
        }
    )


TRAIN, FRESH = frame(300, 1), frame(60, 2, fresh=True)
TARGET = (TRAIN["fare"] + 10 * TRAIN["rooms"] > 80).to_numpy()


def theirs(fitted, table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fitted.transform(table)
    found = found.toarray() if issparse(found) else np.asarray(found)
    return found.astype(np.float64).astype(np.float32)


def rows_of(table):
    return [
        {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def check(fitted, table=TRAIN, fresh=FRESH, *, exact=True):
    """Compare on the training table and, one by one, on fresh rows; return the transform."""
    transform = Transform.from_sklearn(fitted, table)
    assert transform.transform(table).shape == (len(table), transform.width)
    again = Transform.from_json(transform.to_json())
    assert again.digest == transform.digest
    names = [field.name for field in transform.schema.fields]
    seen = fresh[list(getattr(fitted, "feature_names_in_", fresh.columns))]
    for place, row in enumerate(rows_of(fresh[names])):
        try:
            expected = theirs(fitted, seen.iloc[[place]])[0]
        except ValueError:
            expected = None
        if expected is None or not np.isfinite(expected).all():
            with pytest.raises(InvalidRow):
                again.transform_one(row)
            continue
        found = again.transform_one(row)
        if exact:
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    return transform


def first_kinds(transform):
    return [type(spec).__name__ for spec in transform.fields.values()]


def constant(value):
    return SimpleImputer(strategy="constant", fill_value=value)


IMPUTERS = [
    SimpleImputer,
    lambda: SimpleImputer(strategy="median", add_indicator=True),
    lambda: SimpleImputer(strategy="most_frequent"),
    lambda: constant(-1.5),
]
SCALERS = [
    StandardScaler,
    lambda: StandardScaler(with_mean=False),
    lambda: StandardScaler(with_std=False),
    RobustScaler,
    lambda: RobustScaler(quantile_range=(10, 90), unit_variance=True),
    lambda: MinMaxScaler((-1, 1)),
    lambda: MinMaxScaler(clip=True),
    MaxAbsScaler,
    lambda: Binarizer(threshold=0.5),
    lambda: FunctionTransformer(np.square),
    lambda: FunctionTransformer(np.absolute),
    lambda: FunctionTransformer(np.negative),
    FunctionTransformer,
    lambda: KBinsDiscretizer(4, encode="ordinal"),
    lambda: KBinsDiscretizer(3, encode="onehot-dense", strategy="uniform"),
    lambda: KBinsDiscretizer(5, encode="onehot", strategy="kmeans", random_state=0),
    lambda: PolynomialFeatures(2),
    lambda: PolynomialFeatures(2, interaction_only=True, include_bias=False),
    lambda: PolynomialFeatures(3, include_bias=False),
    VarianceThreshold,
    lambda: "passthrough",
]
ENCODERS = [
    lambda: OneHotEncoder(handle_unknown="ignore"),
    lambda: OneHotEncoder(handle_unknown="error"),
    lambda: OneHotEncoder(handle_unknown="ignore", drop="first", sparse_output=False),
    lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60),
    lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=3, drop="if_binary"),
    lambda: OneHotEncoder(handle_unknown="ignore", min_frequency=0.25),
    lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1),
    lambda: OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=9, max_categories=3
    ),
    lambda: OrdinalEncoder(encoded_missing_value=-1),
    lambda: TargetEncoder(random_state=0),
]


@st.composite
def numeric_branches(draw):
    steps = [
        draw(st.sampled_from(IMPUTERS))(),
        *(make() for make in draw(st.lists(st.sampled_from(SCALERS), max_size=3))),
    ]
    bins = sum(isinstance(step, (KBinsDiscretizer, PolynomialFeatures)) for step in steps)
    if bins > 1:  # bins of bins are constant, and products of products not known
        steps = [step for step in steps if not isinstance(step, (KBinsDiscretizer, PolynomialFeatures))]
    names = draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3, unique=True))
    return make_pipeline(*steps), names


@st.composite
def encoding_branches(draw):
    steps = [draw(st.sampled_from(ENCODERS))()]
    if draw(st.booleans()):
        steps.insert(0, SimpleImputer(strategy="most_frequent"))
    if draw(st.booleans()):
        steps.append(draw(st.sampled_from([MaxAbsScaler(), StandardScaler(with_mean=False)])))
    name = draw(st.sampled_from(VALUES))  # an imputer of text and numbers at once makes objects of all
    return make_pipeline(*steps), [name]


@st.composite
def transformers(draw):
    branches = draw(st.lists(numeric_branches() | encoding_branches(), min_size=1, max_size=4))
    named = [(f"t{place}", step, names) for place, (step, names) in enumerate(branches)]
    options = {
        "sparse_threshold": draw(st.sampled_from([0, 0.3, 1.0])),
        "verbose_feature_names_out": True,
        "transformer_weights": draw(st.sampled_from([None, {"t0": 0.3}])),
    }
    last = draw(st.sampled_from([None, StandardScaler(with_mean=False), MaxAbsScaler()]))
    made = ColumnTransformer(named, **options)
    return made if last is None else make_pipeline(made, last)


@settings(max_examples=60)
@given(transformers(), st.integers(0, 100))
def test_any_mixture_of_known_steps_has_the_same_features(transformer, seed):
    try:
        transformer.fit(TRAIN, TARGET)
    except (ValueError, TypeError):  # a mixture that scikit-learn itself refuses, as it may
        assume(False)
    if np.isfinite(theirs(transformer, TRAIN)).all():
        check(transformer, fresh=frame(15, seed, fresh=True))


def test_a_realistic_transformer_becomes_plain_entries_where_they_say_the_same():
    transformer = ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["age", "fare"]),
            ("rob", make_pipeline(SimpleImputer(), RobustScaler()), ["size"]),
            ("log", make_pipeline(FunctionTransformer(np.log1p), StandardScaler()), ["fare"]),
            ("bins", make_pipeline(constant(0.0), KBinsDiscretizer(4)), ["age"]),
            ("cat", OneHotEncoder(handle_unknown="ignore"), ["city", "kind"]),
            ("gone", MissingIndicator(), ["age"]),
            ("none", MissingIndicator(missing_values=None), ["kind"]),
        ],
        sparse_threshold=0,
    )
    transform = check(transformer.fit(TRAIN), exact=False)
    assert transform.fields["num__age"] == Numeric(missing="median", scale="standard", field="age")
    assert transform.fields["rob__size"] == Numeric(missing="mean", scale="robust", field="size")
    assert transform.fields["log__fare"] == Numeric(log=True, scale="standard", field="fare")
    assert transform.fields["bins__age"].bins is not None
    assert first_kinds(transform)[5:] == ["Coded", "Coded", "Derived", "Coded"]
    names = list(transform.get_feature_names_out())
    assert names[:3] == ["num__age", "num__fare", "rob__size"]
    assert "cat__city=berlin" in names
    assert "cat__kind=None" in names


def test_unseen_values_are_zeros_or_share_the_rare_column_or_are_refused():
    table = TRAIN[["city"]]
    ignore = Transform.from_sklearn(OneHotEncoder(handle_unknown="ignore").fit(table), table)
    assert ignore.transform_one({"city": "new"}).sum() == 0
    assert ignore.transform_one({"city": None}).sum() == 0
    assert ignore.unseen_columns == {}
    rare = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=3).fit(table)
    shared = Transform.from_sklearn(rare, table)
    assert shared.transform_one({"city": "new"}).tolist() == [0, 0, 1]
    assert shared.unseen_columns == {"city": 2}
    error = Transform.from_sklearn(OneHotEncoder().fit(table), table)
    with pytest.raises(InvalidRow, match=r"city: must be one of the 6 values that training knew"):
        error.transform_one({"city": "new"})
    with pytest.raises(InvalidRow, match="city: is missing"):
        error.transform_one({"city": None})
    described = error.Row.model_json_schema()["properties"]["city"]["description"]
    assert described == "One of the values that training has seen. Required."


def test_a_learnt_missing_category_is_the_same_however_missing_is_spelt():
    transform = check(OneHotEncoder(handle_unknown="ignore").fit(TRAIN[["kind"]]), TRAIN[["kind"]])
    spelt = [transform.transform_one({"kind": gone}).tobytes() for gone in (None, float("nan"), pd.NA)]
    assert len(set(spelt)) == 1
    assert np.frombuffer(spelt[0], np.float32).tolist() == [0, 0, 0, 0, 1]


SELECTIONS = [
    ["fare", "rooms"],
    slice("age", "size"),
    slice(1, 3),
    slice(-3, None),
    [0, -3],
    np.array([True] * 4 + [False] * 5),
    [True] * 4 + [False] * 5,
    make_column_selector(dtype_include="number"),
    lambda table: ["rooms"],
    pd.Index(["size"]),
    [],
]


@pytest.mark.parametrize("chosen", SELECTIONS)
@pytest.mark.parametrize("remainder", ["drop", make_pipeline(SimpleImputer(), StandardScaler())])
def test_columns_are_chosen_as_scikit_learn_chooses_them(chosen, remainder):
    table = TRAIN[[*NUMBERS, "zip", "floor"]].assign(a=1.0, b=2.0, c=3)
    steps = [
        ("one", make_pipeline(SimpleImputer(), MinMaxScaler()), chosen),
        ("two", SimpleImputer(), ["age"]),
    ]
    fitted = ColumnTransformer(steps, remainder=remainder, verbose_feature_names_out=True).fit(table)
    check(fitted, table, table.head(10))


def test_transformers_nest_and_select_by_the_names_that_pandas_output_has():
    inner = ColumnTransformer(
        [
            ("fill", SimpleImputer(), ["age", "size"]),
            ("keep", "passthrough", ["fare"]),
            ("off", "drop", ["rooms"]),
        ],
        verbose_feature_names_out=False,
        remainder="drop",
    ).set_output(transform="pandas")
    outer = ColumnTransformer(
        [
            (
                "scale",
                FeatureUnion(
                    [("s", StandardScaler()), ("m", MinMaxScaler()), ("raw", "passthrough"), ("no", "drop")],
                    transformer_weights={"m": 2.0},
                ),
                ["size", "fare"],
            ),
            ("rest", "passthrough", ["age"]),
        ]
    )
    fitted = Pipeline([("inner", inner), ("nothing", "passthrough"), ("outer", outer), ("none", None)]).fit(
        TRAIN
    )
    transform = check(fitted)
    assert list(transform.fields) == [
        "scale__s__size",
        "scale__s__fare",
        "scale__m__size",
        "scale__m__fare",
        "scale__raw__size",
        "scale__raw__fare",
        "rest__age",
    ]


def test_names_that_would_meet_are_kept_apart():
    table = pd.DataFrame({"a": [1.0, 2.0], "a=b": [3.0, 5.0], "a_b": [1.0, 0.0]})
    fitted = FeatureUnion(
        [("x", StandardScaler()), ("y", MinMaxScaler())], verbose_feature_names_out=False
    ).fit(table)
    transform = check(fitted, table, table)
    assert len(set(transform.get_feature_names_out())) == 6


def test_missing_is_filled_where_scikit_learn_fills_it_even_after_scaling():
    fitted = make_pipeline(
        StandardScaler(), SimpleImputer(strategy="constant", fill_value=-7), MaxAbsScaler()
    )
    check(fitted.fit(TRAIN[NUMBERS]), TRAIN[NUMBERS])
    sentinel = TRAIN[["rooms"]].replace(8, -1)
    replaced = SimpleImputer(missing_values=-1, strategy="median", add_indicator=True).fit(sentinel)
    check(replaced, sentinel, sentinel.head(20))


def test_booleans_are_flags_whatever_reads_them():
    fitted = ColumnTransformer(
        [
            ("scale", StandardScaler(), ["paid", "fare"]),
            ("hot", OneHotEncoder(), ["paid"]),
            ("ord", OrdinalEncoder(), ["paid"]),
            ("raw", "passthrough", ["paid"]),
        ]
    ).fit(TRAIN)
    transform = check(fitted)
    with pytest.raises(InvalidRow, match="paid: must be true or false"):
        transform.transform_one({"paid": 1, "fare": 2.0})


def test_integer_codes_stay_categories_unless_something_computes_with_them():
    alone = Transform.from_sklearn(OneHotEncoder().fit(TRAIN[["zip"]]), TRAIN[["zip"]])
    assert alone.schema.fields[0].kind == "category"
    both = ColumnTransformer([("hot", OneHotEncoder(), ["zip"]), ("num", StandardScaler(), ["zip"])])
    assert check(both.fit(TRAIN), fresh=TRAIN.head(9)).schema.fields[0].kind == "number"


def test_pandas_categories_and_nullable_types():
    table = pd.DataFrame(
        {
            "c": pd.Categorical(["x", "y", "x", "y"], categories=["y", "x", "z"]),
            "s": pd.array(["p", "q", "p", "p"], dtype="string"),
            "n": pd.array([1, 2, 3, 4], dtype="Int64"),
        }
    )
    fitted = ColumnTransformer(
        [("hot", OneHotEncoder(handle_unknown="ignore"), ["c", "s"]), ("num", StandardScaler(), ["n"])]
    ).fit(table)
    check(fitted, table, table)


def test_a_power_transformer_is_ours_within_the_tolerance():
    fitted = make_pipeline(SimpleImputer(), PowerTransformer()).fit(TRAIN[NUMBERS])
    transform = check(fitted, TRAIN[NUMBERS], exact=False)
    assert transform.fields["fare"].power == "yeo-johnson"


def test_functions_that_bend_are_within_the_tolerance():
    for function in (np.log1p, np.log, np.sqrt, np.exp, np.expm1):
        fitted = make_pipeline(MinMaxScaler((0.5, 1.5)), FunctionTransformer(function), StandardScaler())
        check(fitted.fit(TRAIN[["fare", "rooms"]]), TRAIN[["fare", "rooms"]], exact=False)


def test_selected_features_are_all_that_is_computed():
    fitted = make_pipeline(SimpleImputer(), SelectKBest(k=2)).fit(TRAIN[NUMBERS], TARGET)
    transform = check(fitted, TRAIN[NUMBERS])
    assert len(transform.fields) == transform.width == 2
    hot = make_pipeline(OneHotEncoder(), SelectKBest(k=3)).fit(TRAIN[["city", "zip"]], TARGET)
    check(hot, TRAIN[["city", "zip"]], TRAIN.head(20))


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "l2"},
        {"norm": None, "alternate_sign": False, "ngram_range": (1, 3), "lowercase": False},
        {"analyzer": "char_wb", "ngram_range": (2, 4), "binary": True, "alternate_sign": False},
    ],
)
def test_hashed_texts_are_the_same_to_the_bit(options):
    texts = ["Late and cold", "late, late, late!", "", "Straße über den Fluß", "a bb ccc dddd"] * 3
    table = pd.DataFrame({"note": texts, "x": np.arange(15.0)})
    fitted = ColumnTransformer(
        [("words", HashingVectorizer(n_features=32, **options), "note"), ("x", MinMaxScaler(), ["x"])]
    ).fit(table)
    transform = check(fitted, table, table)
    assert list(transform.fields) == ["words__note", "x__x"]


def test_polars_tables_are_read_like_others():
    table = TRAIN[["fare", "rooms", "city"]]
    fitted = ColumnTransformer([("s", StandardScaler(), ["fare", "rooms"]), ("c", OneHotEncoder(), ["city"])])
    frames = pl.DataFrame({name: table[name].tolist() for name in table})
    assert (
        Transform.from_sklearn(fitted.fit(frames), frames).to_json()
        == check(fitted.fit(table), fresh=table).to_json()
    )


def test_target_means_of_several_classes():
    classes = TRAIN["rooms"].to_numpy() % 3
    check(TargetEncoder(random_state=0).fit(TRAIN[["city", "kind"]], classes), TRAIN[["city", "kind"]])


def test_an_array_that_was_fitted_on_is_read_in_the_order_of_the_table():
    table = TRAIN[["fare", "rooms"]]
    fitted = ColumnTransformer([("s", StandardScaler(), [1]), ("m", MinMaxScaler(), slice(0, 1))]).fit(
        table.to_numpy()
    )
    transform = Transform.from_sklearn(fitted, table)
    np.testing.assert_array_equal(transform.transform(table), theirs(fitted, table.to_numpy()))


REFUSED = [
    (PCA(1), ["fare", "rooms"], "PCA: cannot be converted: no kind of entry"),
    (Normalizer(), ["fare"], "Normalizer: cannot be converted: its sums"),
    (
        QuantileTransformer(n_quantiles=5),
        ["fare"],
        "QuantileTransformer: cannot be converted: it interpolates",
    ),
    (PowerTransformer("box-cox"), ["fare"], "only method='yeo-johnson'"),
    (FunctionTransformer(np.log10), ["fare"], r"its function is not one of numpy\.absolute"),
    (FunctionTransformer(lambda x: x), ["fare"], r"its function is not one of"),
    (FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": 1}), ["fare"], "its function is not one of"),
    (PolynomialFeatures(4), ["fare"], "only up to degree 3"),
    (
        make_pipeline(OneHotEncoder(sparse_output=False), PolynomialFeatures()),
        ["city"],
        "products of encoded",
    ),
    (make_pipeline(StandardScaler(), OneHotEncoder()), ["rooms"], "column t__rooms|it encodes what earlier"),
    (OrdinalEncoder(), ["floor"], "refused once converted"),
    (HashingVectorizer(), "city", "it gives 1048576 features"),
    (HashingVectorizer(stop_words="english", n_features=8), "city", "with stop_words other than usual"),
    (make_pipeline(HashingVectorizer(n_features=8), StandardScaler(with_mean=False)), "city", "as it is"),
    (make_pipeline(HashingVectorizer(n_features=8), VarianceThreshold()), "city", "some of its buckets"),
    (SimpleImputer(strategy="most_frequent"), ["city"], "it holds text, which is no number"),
    ("passthrough", ["city"], "it holds text, which is no number"),
    (TfidfVectorizer(), "city", "TfidfVectorizer: cannot be converted: a vocabulary"),
    (StandardScaler(), ["age"], "refused once converted: row .* age: is missing"),
]


@pytest.mark.parametrize(("step", "names", "reason"), REFUSED)
def test_what_cannot_be_converted_is_named_with_its_reason(step, names, reason):
    fitted = ColumnTransformer([("t", step, names)]).fit(TRAIN)
    with pytest.raises(TransformError, match=reason):
        Transform.from_sklearn(fitted, TRAIN)


def test_everything_that_cannot_be_converted_is_told_at_once():
    fitted = ColumnTransformer(
        [
            ("one", make_pipeline(StandardScaler(), PCA(1), Normalizer(), MinMaxScaler()), ["fare", "rooms"]),
            ("two", FunctionTransformer(lambda x: x), ["rooms"]),
            ("three", "passthrough", ["city", "fare"]),
            ("four", StandardScaler(), ["rooms"]),
        ]
    ).fit(TRAIN)
    with pytest.raises(TransformError) as refused:
        Transform.from_sklearn(fitted, TRAIN)
    lines = [line for line in str(refused.value).splitlines() if line.startswith("- ")]
    assert [line.split(":")[0] for line in lines] == [
        "- one > pca > PCA",
        "- one > normalizer > Normalizer",
        "- two > FunctionTransformer",
        "- (features), column three__city",
    ]


def test_a_model_at_the_end_is_told_apart():
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(TRAIN[["fare"]], TARGET)
    with pytest.raises(TransformError, match=r"it is a model: convert the steps before it, pipeline\[:-1\]"):
        Transform.from_sklearn(fitted, TRAIN)
    check(fitted[:-1], TRAIN[["fare"]])


class Doubled(StandardScaler):
    """Like its parent by name, and not by what it does."""

    def transform(self, X, copy=None):
        return 2 * super().transform(X, copy)


def test_a_class_of_ones_own_is_not_taken_for_its_parent():
    with pytest.raises(TransformError, match="Doubled: cannot be converted"):
        Transform.from_sklearn(Doubled().fit(TRAIN[["fare"]]), TRAIN)


def test_a_difference_is_told_with_the_feature_and_the_row():
    fitted = ColumnTransformer([("s", StandardScaler(), ["fare", "rooms"])]).fit(TRAIN)
    real = fitted.transform

    def shifted(table):
        found = real(table)
        found[5, 1] += 0.5
        found[2, 1] += 0.25
        return found

    fitted.transform = shifted
    with pytest.raises(
        ParityError, match=r"feature 's__rooms' is 0\.5 away .* in row 5 of the table, and 1 "
    ):
        Transform.from_sklearn(fitted, TRAIN)
    with pytest.raises(ParityError) as apart:
        Transform.from_sklearn(fitted, TRAIN)
    assert apart.value.rows == (5, 2)
    assert apart.value.distance == pytest.approx(0.5)
    assert apart.value.limit == 0.0
    assert Transform.from_sklearn(fitted, TRAIN, rtol=1.0).width == 2


def test_float32_tables_need_a_tolerance_and_say_so():
    table = TRAIN[["fare"]].astype(np.float32)
    fitted = make_pipeline(StandardScaler(), MinMaxScaler()).fit(table)
    with pytest.raises(ParityError, match="If the table holds float32"):
        Transform.from_sklearn(fitted, table)
    assert Transform.from_sklearn(fitted, table, rtol=1e-5).width == 1


@pytest.mark.parametrize(
    ("fitted", "table", "error", "reason"),
    [
        (StandardScaler(), TRAIN, TransformError, "is not fitted"),
        (StandardScaler().fit(TRAIN[["fare"]]), TRAIN[["fare"]].head(0), TransformError, "has no rows"),
        (StandardScaler().fit(TRAIN[["fare"]]), TRAIN[["age"]], TransformError, "lacks columns .*'fare'"),
        (StandardScaler().fit(TRAIN[["fare"]]), [{"fare": 1.0}], TypeError, "must be a DataFrame"),
        ("scaler", TRAIN, TypeError, "must be a scikit-learn transformer"),
        (StandardScaler().fit([[1.0]]), pd.DataFrame([[1.0]]), TransformError, "name them by strings"),
        (
            StandardScaler().fit(pd.DataFrame({"x": [1e-300, 2e-300]})),
            pd.DataFrame({"x": [1e300]}),
            TransformError,
            "refused once converted",
        ),
    ],
)
def test_arguments_that_cannot_be_are_refused(fitted, table, error, reason):
    with pytest.raises(error, match=reason):
        Transform.from_sklearn(fitted, table)


@pytest.mark.parametrize("load", [load_breast_cancer, load_diabetes, load_wine])
def test_real_measurements(load):
    table = load(as_frame=True).data
    names = list(table.columns)
    fitted = ColumnTransformer(
        [
            ("std", StandardScaler(), names[:4]),
            (
                "poly",
                make_pipeline(MinMaxScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler()),
                names[4:9],
            ),
            ("bins", KBinsDiscretizer(8), names[:2]),
        ],
        remainder=RobustScaler(),
    ).fit(table)
    check(fitted, table, table.head(30))


def test_real_flights():
    table = flights.load().drop(columns=["time_hour", "month"]).sample(4000, random_state=0)
    late = table.pop("late")
    fitted = ColumnTransformer(
        [
            (
                "num",
                make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                ["dep_delay", "sched_dep", "sched_arr"],
            ),
            ("far", make_pipeline(FunctionTransformer(np.log1p), KBinsDiscretizer(6)), ["distance"]),
            (
                "cat",
                OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50),
                ["carrier", "origin", "dest"],
            ),
            ("tail", TargetEncoder(random_state=0), ["tailnum"]),
        ]
    ).fit(table, late)
    transform = check(fitted, table, table.head(100))
    assert transform.unseen_columns.keys() == {"cat__carrier", "cat__dest"}


def test_what_was_converted_can_be_packed_and_served(tmp_path):
    prepared = ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["age", "fare"]),
            ("cat", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    pipeline = make_pipeline(prepared, LogisticRegression()).fit(TRAIN, TARGET)
    transform = Transform.from_sklearn(pipeline[:-1], TRAIN)
    inprocml.pack(
        tmp_path / "m",
        transform=transform,
        model=pipeline[-1],
        output=inprocml.Classes(["no", "yes"]),
        baseline=TRAIN[["age", "fare", "city"]],
        labels=TARGET,
    )
    model = inprocml.Model(tmp_path / "m")
    expected = pipeline.predict_proba(FRESH)[:, 1]
    for row, probability in zip(rows_of(FRESH[["age", "fare", "city"]]), expected, strict=True):
        assert model.predict(row).probabilities["yes"] == pytest.approx(probability, abs=1e-5)
    model.close()


def test_a_converted_transform_can_be_extended_by_hand():
    fitted = ColumnTransformer([("num", StandardScaler(), ["fare"]), ("cat", OneHotEncoder(), ["city"])]).fit(
        TRAIN
    )
    transform = Transform.from_sklearn(fitted, TRAIN)
    wider = Transform({**transform.fields, "kind": Category(missing="slot")}).fit(TRAIN)
    np.testing.assert_allclose(
        wider.transform(TRAIN)[:, : transform.width], transform.transform(TRAIN), rtol=1e-6
    )

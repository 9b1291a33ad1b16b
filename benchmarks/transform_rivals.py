"""What others offer for the payment of 18 fields, each as its documentation has it.

scikit-learn gets all the fields, and the infrequent slot that makes its 66 columns mean what ours mean. The
fused ONNX graph gets what skl2onnx can express: ten numbers and five categories. river gets the same subset.
pydantic only checks the row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, create_model
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, StandardScaler

from benchmarks.payments import (
    AMOUNT,
    AT,
    BINS,
    BUCKETS,
    CATEGORIES,
    CLIP,
    KNOWN,
    MERCHANT,
    MIN_COUNT,
    NUMBERS,
    STRINGS,
    ZONE,
    as_float32,
)

__all__ = ["column_transformer", "fused", "pydantic_check", "river_row"]

Call = Callable[[dict[str, Any]], Any]


def column_transformer(frame: pd.DataFrame) -> ColumnTransformer:
    """Return the fitted transformer: 66 columns in the order of ours."""
    bins = KBinsDiscretizer(
        BINS, encode="onehot-dense", strategy="quantile", quantile_method="linear", subsample=None
    )
    hasher = FeatureHasher(BUCKETS, input_type="string", alternate_sign=False)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), list(NUMBERS)),
            ("amount", make_pipeline(FunctionTransformer(clipped_log), bins), [AMOUNT]),
            (
                "categories",
                OneHotEncoder(
                    handle_unknown="infrequent_if_exist", min_frequency=MIN_COUNT, sparse_output=False
                ),
                list(CATEGORIES),
            ),
            ("merchant", make_pipeline(FunctionTransformer(listed), hasher), [MERCHANT]),
            ("at", FunctionTransformer(calendar), [AT]),
        ],
        sparse_threshold=0,
    ).fit(frame)


def clipped_log(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return ln(1 + amount), limited."""
    amounts: NDArray[np.float64] = frame.to_numpy(dtype=np.float64)
    return np.log1p(np.clip(amounts, *CLIP))


def listed(frame: pd.DataFrame) -> list[list[str]]:
    """Return what FeatureHasher wants: a list of strings a row."""
    return [[text] for text in frame[MERCHANT]]


def calendar(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Return the hour as sine and cosine, weekday, month and weekend in New York."""
    local = pd.to_datetime(frame[AT], utc=True).dt.tz_convert(ZONE).dt
    angle = local.hour.to_numpy() * (2 * np.pi / 24)
    weekday = local.day_of_week.to_numpy()
    return np.column_stack([np.sin(angle), np.cos(angle), weekday, local.month.to_numpy(), weekday >= 5])


def fused(frame: pd.DataFrame) -> Call:
    """Return a function of a row, or of feeds: one ONNX graph of ten numbers and five categories."""
    import onnxruntime
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), list(NUMBERS)),
            (
                "categories",
                OneHotEncoder(
                    categories=[list(KNOWN[name]) for name in CATEGORIES],
                    handle_unknown="ignore",
                    sparse_output=False,
                ),
                list(CATEGORIES),
            ),
        ]
    )
    pipeline = Pipeline([("columns", columns)]).fit(frame.astype(dict.fromkeys(CATEGORIES, object)))
    inputs = [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    inputs += [(name, StringTensorType([None, 1])) for name in CATEGORIES]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        to_onnx(pipeline, initial_types=inputs).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    names = [output.name for output in session.get_outputs()]

    def run(rows: Any) -> Any:
        feeds = as_float32([rows] if "at" in rows else rows) if AT in rows else rows
        return session.run(names, feeds)[0]

    return run


def river_row(rows: list[dict[str, Any]]) -> Call:
    """Return river's way with one row of the subset: mean, standardised, one-hot.

    It learns from the rows without rare categories, for it would carry each of those in every answer. Raises
    ``ImportError`` where river is not installed.
    """
    from river import compose, preprocessing, stats

    means: Any = preprocessing.StatImputer
    numbers = (
        compose.Select(*NUMBERS)
        | means(*((name, stats.Mean()) for name in NUMBERS))
        | preprocessing.StandardScaler()
    )
    both = numbers + (compose.Select(*CATEGORIES) | preprocessing.OneHotEncoder())
    for row in rows:
        if all(row[name] in known for name, known in KNOWN.items()):
            both.learn_one(row)
    transform_one: Call = both.transform_one
    return transform_one


def pydantic_check() -> Call:
    """Return a strict model's ``model_validate``: the 18 fields checked, nothing encoded."""
    number = Annotated[float, Field(allow_inf_nan=False)]
    fields: dict[str, Any] = dict.fromkeys(NUMBERS, (number | None, None))
    fields |= {AMOUNT: (number, ...), AT: (Annotated[AwareDatetime, Strict(False)], ...)}
    fields |= {name: (Annotated[str, Field(max_length=4096)], ...) for name in STRINGS}
    config = ConfigDict(strict=True, extra="forbid")
    model: type[BaseModel] = create_model("Payment", __config__=config, **fields)
    return model.model_validate

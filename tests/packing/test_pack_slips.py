"""What newcomers stumbled over: each slip is answered with what to do, or is none any more."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from inprocml import (
    Category,
    Classes,
    Custom,
    Derived,
    Flag,
    Hashed,
    InvalidRow,
    Model,
    Numeric,
    PackError,
    Regression,
    Timestamp,
    Transform,
    Vector,
    pack,
)
from inprocml.transform import register

CLASSES = Classes(["no", "yes"])


@pytest.mark.parametrize(
    ("spec", "values"), [(Flag(), [True, False]), (Flag(missing="slot"), [True, None, False])]
)
def test_flags_can_be_packed(tmp_path, spec, values):
    table = {"a": values * 20}
    transform = Transform({"a": spec})
    model = LogisticRegression().fit(transform.fit_transform(table), np.arange(len(table["a"])) % 2)
    bundle = pack(tmp_path / "s", transform=transform, model=model, output=CLASSES, baseline=table)
    assert bundle.baseline.fields["a"].missing == values.count(None) * 20
    served = Model(tmp_path / "s")
    assert served.predict({"a": True}).value in {"no", "yes"}
    served.close()


OPTIONAL = [
    Numeric(missing="median"),
    Category(missing="slot"),
    Hashed(buckets=3, missing="slot"),
    Flag(missing="slot"),
    Timestamp(missing="slot"),
    Vector(size=2, missing="slot"),
]


@pytest.mark.parametrize("spec", OPTIONAL, ids=lambda spec: type(spec).__name__)
def test_a_column_that_is_not_there_is_never_read_as_all_missing(spec):
    told = "income: is missing: the table has no column of this name"
    transform = Transform({"income": spec, "age": Numeric()})
    for table in ({"Income": [1.0], "age": [1.0]}, pd.DataFrame({"Income": [1.0], "age": [1.0]})):
        with pytest.raises(InvalidRow, match=told):
            transform.fit(table)
    fitted = Transform({"income": Numeric(missing="median"), "age": Numeric()}).fit(
        {"income": [1.0], "age": [1.0]}
    )
    with pytest.raises(InvalidRow, match=told):
        fitted.transform(pd.DataFrame({"Income": [1.0], "age": [1.0]}))
    assert fitted.transform([{"age": 1.0}]).tolist() == [[1.0, 1.0]]


def test_a_derived_field_must_be_there_too():
    with pytest.raises(InvalidRow, match="incme: is missing: the table has no column"):
        Transform({"gone": Derived("is_missing", "incme")}).fit({"income": [1.0]})


class Net(torch.nn.Module):
    def __init__(self, rows):
        super().__init__()
        torch.manual_seed(0)
        self.city = torch.nn.Embedding(rows, 1)

    def forward(self, features, city):
        return features + self.city(city)


def test_an_embedding_without_a_row_for_the_unseen_is_refused(tmp_path):
    table = {"x": [1.0, 2.0, 3.0], "city": ["a", "b", "c"]}
    transform = Transform({"x": Numeric(), "city": Category(encoding="index")}).fit(table)
    (size,) = [spec.size for spec in transform.tensors if spec.size is not None]
    assert size == 4
    arguments = {"transform": transform, "output": Regression(), "baseline": table}
    with pytest.raises(PackError, match=r"cannot answer for index 3 of 'city': .* Give its embedding 4 rows"):
        pack(tmp_path / "s", model=Net(3), **arguments)
    pack(tmp_path / "s", model=Net(4), **arguments)
    served = Model(tmp_path / "s")
    assert served.predict({"x": 1.0, "city": "?"}).value is not None
    assert served.counters["unseen"] == {"city": 1}
    served.close()


def test_a_view_of_a_transform_is_told_apart(tmp_path):
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
    pipeline = make_pipeline(Transform({"x": Numeric()}).as_sklearn(), LogisticRegression()).fit(
        table, [0, 0, 1, 1]
    )
    with pytest.raises(PackError, match=r"give its \.transform_ attribute"):
        pack(tmp_path / "s", transform=pipeline[0], model=pipeline[-1], output=CLASSES, baseline=table)
    with pytest.raises(PackError, match=r"transform=pipeline\[0\]\.transform_, model=pipeline\[-1\]"):
        pack(tmp_path / "s", transform=pipeline[0].transform_, model=pipeline, output=CLASSES, baseline=table)


def scaling(factor):
    def scaled(x):
        return x * factor

    return scaled


def defaulted(x, factor=2.0):
    return x * factor


def test_what_a_digest_would_not_cover_is_not_registered():
    with pytest.raises(ValueError, match="uses variables of a function around it"):
        register("scaled", scaling(2))
    with pytest.raises(ValueError, match="defaults of the function's arguments must be numbers"):
        register("scaled", lambda x, y=[]: x)
    register("scaled", defaulted)
    text = Transform({"s": Custom("scaled", {"x": "number"})}).fit({"x": [1.0]}).to_json()
    defaulted.__defaults__ = (9.0,)
    register("scaled", defaulted)
    with pytest.raises(Exception, match="has changed since it was fitted"):
        Transform.from_json(text)
    defaulted.__defaults__ = (2.0,)


def test_what_a_derived_number_has_learnt_was_not_declared():
    fields = {"s": Derived("ratio", "x", "y", then=Numeric(scale="standard"))}
    first = Transform(fields).fit({"x": [1, 2, 3], "y": [1, 1, 1]})
    second = Transform(fields).fit({"x": [1, 2, 9], "y": [1, 1, 1]})
    found = first.diff(second)
    assert found.declared == ()
    assert {change.what for change in found.fitted} == {"then.offset", "then.divisor"}
    other = Transform({"s": Derived("ratio", "x", "y", then=Numeric(log=True))}).fit(
        {"x": [1, 2], "y": [1, 1]}
    )
    assert {change.what for change in first.diff(other).declared} == {"then.scale", "then.log"}


def test_one_sided_limits():
    for clip in ((0, None), (0, float("inf"))):
        transform = Transform({"x": Numeric(clip=clip, scale="standard")}).fit({"x": [-5.0, 2.0, 4.0]})
        values = [-7.0, 0.0, 3.0, 1e30]
        features = transform.transform({"x": values})
        assert features[0] == features[1]
        assert features[3] > 1e29
        assert [transform.transform_one({"x": value}).tobytes() for value in values] == [
            f.tobytes() for f in features
        ]
        assert (
            Transform.from_json(transform.to_json()).transform({"x": values}).tobytes() == features.tobytes()
        )
    low = Transform({"x": Numeric(clip=(None, 10))}).fit({"x": [1.0]})
    assert low.transform({"x": [1e30, -1e30]})[:, 0].tolist() == [10.0, np.float32(-1e30)]


def test_frequent_values_by_name_and_the_others_by_hash():
    transform = Transform({"a": Category(min_count=2), "rest": Hashed(buckets=4, field="a")})
    features = transform.fit_transform({"a": ["x", "x", "rare"]})
    assert features.shape == (3, 6)
    assert transform.transform_one({"a": "rare"}).tobytes() == features[2].tobytes()


def test_other_slips_are_answered():
    transform = Transform({"a": Numeric()}).fit({"a": [1.0]})
    with pytest.raises(TypeError, match="from_json takes the text that to_json gave, not NoneType"):
        Transform.from_json(None)
    with pytest.raises(TypeError, match="diff compares with another Transform, not str"):
        transform.diff("models/late")
    with pytest.raises(ValueError, match="ratio is made of two fields: name the second"):
        Derived("ratio", "a")

"""Models of several tensors: packed, replayed and served like any other, refused where they do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from inprocml import (
    Bundle,
    Category,
    Classes,
    Corrupt,
    Model,
    Numeric,
    PackError,
    Regression,
    Transform,
    pack,
)

TABLE = {"x": [0.5, 1.5, 2.5, 4.5] * 10, "city": ["a", "b", "c", "a"] * 10, "zip": [1, 2, 3, 1] * 10}


class Embedding(torch.nn.Module):
    """Features and two indices; the second index has no argument and is left out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.city = torch.nn.Embedding(4, 3)
        self.last = torch.nn.Linear(4, 2)

    def forward(self, features, city):
        return torch.softmax(self.last(torch.cat([features, self.city(city)], dim=1)), dim=1)


def made():
    return Transform(
        {
            "x": Numeric(scale="standard"),
            "city": Category(encoding="index"),
            "zip": Category(encoding="index"),
        }
    ).fit(TABLE)


def packed(tmp_path, model=None, **arguments):
    arguments = {"output": Classes(["no", "yes"]), "baseline": TABLE} | arguments
    return pack(tmp_path / "store", transform=made(), model=model or Embedding(), **arguments)


def test_a_torch_module_takes_the_tensors_it_has_arguments_for(tmp_path):
    net = Embedding()
    bundle = packed(tmp_path, net)
    assert dict(bundle.inputs) == {"features": "features", "city": "city"}
    assert bundle.manifest.transform.tensors == ("features", "city", "zip")
    assert bundle.parity.distance < 1e-6
    rows = [{"x": 1.0, "city": "b", "zip": 2}, {"x": 9.0, "city": "unseen", "zip": 7}]
    tensors = bundle.transform.transform(rows)
    with torch.no_grad():
        expected = net(torch.from_numpy(tensors["features"]), torch.from_numpy(tensors["city"])).numpy()
    model = Model(tmp_path / "store")
    single = [model.predict(row) for row in rows]
    many = list(model.predict_many(rows))
    for place, (one, other) in enumerate(zip(single, many, strict=True)):
        assert one.value == other.value
        np.testing.assert_allclose(list(one.probabilities.values()), expected[place], atol=1e-6)
        np.testing.assert_allclose(list(other.probabilities.values()), expected[place], atol=1e-6)
    model.close()


def test_golden_tensors_are_replayed(tmp_path):
    bundle = packed(tmp_path)
    golden = json.loads((bundle.path / "golden.json").read_bytes())
    assert set(golden["tensors"]) == {"city", "zip"}
    text = (bundle.path / "golden.json").read_text().replace(golden["tensors"]["zip"], "0" * 64)
    opened = Bundle.open(bundle.path)
    assert opened.golden.tensors["zip"].dtype == np.int64
    from inprocml.bundle.golden import read_golden, replay_features

    edited = read_golden(text.encode(), rows=len(golden["rows"]), width=1)
    with pytest.raises(Corrupt, match="another tensor '(city|zip)'"):
        replay_features(edited, bundle.transform)
    golden["tensors"]["more"] = "0" * 64
    edited = read_golden(json.dumps(golden), rows=len(golden["rows"]), width=1)
    with pytest.raises(Corrupt, match="holds other tensors"):
        replay_features(edited, bundle.transform)


def graph(inputs):
    """A model that answers the row's first index, whatever else it takes."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    out = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 1])
    nodes = [
        helper.make_node("Unsqueeze", ["city", "axis"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["scores"], to=TensorProto.FLOAT),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    made = helper.make_graph(nodes, "g", values, [out], [axis])
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    ).SerializeToString()


CITY = ("city", TensorProto.INT64, ["n"])
FEATURES = ("features", TensorProto.FLOAT, ["n", 1])


def test_an_onnx_model_names_its_inputs_like_the_tensors(tmp_path):
    bundle = packed(tmp_path, graph([CITY, FEATURES]), output=Regression())
    assert dict(bundle.inputs) == {"features": "features", "city": "city"}
    model = Model(tmp_path / "store")
    assert [model.predict({"x": 0, "city": city, "zip": 1}).value for city in "abcz"] == [0, 1, 2, 3]
    model.close()


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        (
            [CITY, ("town", TensorProto.FLOAT, ["n", 1])],
            r"2 inputs \('city', 'town'\); the transform makes features",
        ),
        ([("city", TensorProto.FLOAT, ["n"])], r"input 'city' of float"),
        ([("city", TensorProto.INT64, ["n", 1])], r"input 'city' of int64 \[\?, 1\]"),
        ([("city", TensorProto.INT64, [4])], r"its batch is fixed at 4"),
        ([CITY, ("features", TensorProto.FLOAT, ["n", 2])], r"input 'features' of float \[\?, 2\]"),
    ],
)
def test_inputs_that_do_not_fit_are_told_what_the_transform_makes(tmp_path, inputs, match):
    with pytest.raises(PackError, match=match):
        packed(tmp_path, graph(inputs), output=Regression())


def test_forward_must_name_the_tensors(tmp_path):
    class Other(torch.nn.Module):
        def forward(self, a, b):
            return a + b

    with pytest.raises(
        PackError, match="forward of Other takes a, b; the transform makes features, city, zip"
    ):
        packed(tmp_path, Other(), output=Regression())
    with pytest.raises(PackError, match="serves modules of one tensor"):
        packed(tmp_path, Embedding(), runtime="torch", module="embedding")


def test_a_transform_of_indices_alone(tmp_path):
    transform = Transform({"city": Category(encoding="index")}).fit(TABLE)
    bundle = pack(
        tmp_path / "s", transform=transform, model=graph([CITY]), output=Regression(), baseline=TABLE
    )
    assert bundle.manifest.transform.width == 0
    model = Model(tmp_path / "s")
    assert model.predict({"city": "c"}).value == 2
    assert [p.value for p in model.predict_many([{"city": "a"}, {"city": "?"}])] == [0, 3]
    model.close()
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(PackError, match="this transform makes none"):
        pack(
            tmp_path / "t",
            transform=transform,
            model=LogisticRegression().fit([[0.0], [1.0]], [0, 1]),
            output=Classes([0, 1]),
            baseline=TABLE,
        )

"""Arguments of ``pack`` that cannot be meant are refused by name, as ``PackError``."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import inprocml
from inprocml import Classes, Numeric, PackError, Transform

ROWS = [{"x": float(x)} for x in range(40)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 7),
        ("metrics", [1]),
        ("metrics", {"auc": "high"}),
        ("parity_limit", "x"),
        ("parity_limit", -1),
    ],
)
def test_impossible_arguments(tmp_path, name, value):
    transform = Transform({"x": Numeric()})
    model = LogisticRegression().fit(transform.fit_transform(ROWS), np.arange(40) > 20)
    with pytest.raises(PackError, match=name.removesuffix("s")):
        inprocml.pack(
            tmp_path / "m",
            transform=transform,
            model=model,
            output=Classes(["no", "yes"]),
            baseline=ROWS,
            **{name: value},
        )
    assert not (tmp_path / "m").exists()


def test_labels_may_be_any_iterable(tmp_path):
    transform = Transform({"x": Numeric()})
    labels = np.arange(40) > 20
    model = LogisticRegression().fit(transform.fit_transform(ROWS), labels)
    for given in (labels, labels.tolist(), (bool(label) for label in labels)):
        bundle = inprocml.pack(
            tmp_path / "m",
            transform=transform,
            model=model,
            output=Classes(["no", "yes"]),
            baseline=ROWS,
            labels=given,
        )
        assert bundle.manifest.label_counts == (21, 19)

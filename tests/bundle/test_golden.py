"""Golden rows on disk: exact arrays, and nothing built from a shape before its bytes are counted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst

from inprocml.bundle.golden import Golden, read_golden, replay_outputs, tolerance
from inprocml.bundle.manifest import GoldenEntry
from inprocml.errors import Corrupt, Unsupported

TENSORS = {"features": np.eye(2, 3, dtype=np.float32), "photo": np.zeros((2, 3, 4, 4), np.float32)}
GOLDEN = Golden.of(({"a": 1.0}, {"a": None}), TENSORS, np.ones((2, 1), np.float32))


def edited(**changes):
    return json.dumps(json.loads(GOLDEN.to_json()) | changes).encode()


def read(data):
    return read_golden(data, rows=2, width=3)


@given(
    npst.arrays(np.float32, (2, 3)),
    npst.arrays(
        npst.floating_dtypes(sizes=(16, 32, 64)), npst.array_shapes(max_dims=1, min_side=2, max_side=2)
    ),
)
def test_arrays_come_back_bit_for_bit(features, outputs):
    golden = Golden.of(GOLDEN.rows, {"features": features}, outputs)
    back = read(golden.to_json())
    assert back.rows == GOLDEN.rows
    assert back.tensors["features"].tobytes() == features.tobytes()
    assert back.outputs.tobytes() == outputs.astype(outputs.dtype.newbyteorder("=")).tobytes()
    assert back.outputs.dtype == outputs.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    "changes",
    [
        {"more": 1},
        {"rows": []},
        {"rows": [1, 2]},
        {"rows": {"a": 1}},
        {"features": None},
        {"tensors": None},
        {"tensors": {"photo": 3}},
        {"features": {"dtype": "<f4", "shape": [2, 3]}},
        {"features": {"dtype": "<f4", "shape": [2, 3], "base64": 7}},
        {"features": {"dtype": "<f4", "shape": [2, 3], "base64": "é"}},
        {"features": {"dtype": "<f4", "shape": [2, 3], "base64": "A"}},
        {"features": {"dtype": "<f4", "shape": [2, 3], "base64": "AAAA"}},
        {"features": {"dtype": "<f4", "shape": [2, -3], "base64": ""}},
        {"features": {"dtype": "<f4", "shape": [2, True], "base64": ""}},
        {"features": {"dtype": "<f4", "shape": [1 << 40, 1 << 40], "base64": ""}},
        {"features": {"dtype": "<f4", "shape": "23", "base64": ""}},
        {"features": {"dtype": "<f4", "shape": [1] * 70, "base64": "AAAA"}},
        {"outputs": {"dtype": "<f4", "shape": [1], "base64": "AAAAAA=="}},
        {"outputs": {"dtype": "<f4", "shape": [], "base64": "AAAAAA=="}},
    ],
)
def test_malformed_content_is_refused(changes):
    with pytest.raises(Corrupt, match=r"golden\.json"):
        read(edited(**changes))


@pytest.mark.parametrize("dtype", ["|O", "<i8", "<U4", "<V16", "<M8[s]", "<c8", 7, None, ["<f4"]])
def test_other_dtypes_are_refused_unbuilt(dtype):
    with pytest.raises(Unsupported, match="dtype"):
        read(edited(features={"dtype": dtype, "shape": [2, 3], "base64": ""}))


def test_counts_must_be_what_the_manifest_promises():
    with pytest.raises(Corrupt, match="promises 3 rows"):
        read_golden(GOLDEN.to_json(), rows=3, width=3)
    with pytest.raises(Corrupt, match="of 4 float32"):
        read_golden(GOLDEN.to_json(), rows=2, width=4)


def test_the_tolerance_follows_the_scale_of_the_answers():
    probabilities = tolerance(np.array([[0.5]]), probabilities=True, rows=1)
    assert (probabilities.absolute, probabilities.relative) == (1e-3, 0.0)
    small = tolerance(np.array([1e-9]), probabilities=False, rows=1)
    assert small.absolute == pytest.approx(1e-13)
    assert tolerance(np.zeros(3), probabilities=False, rows=3).absolute > 0


@pytest.mark.parametrize("packed", [np.inf, -np.inf, np.nan])
def test_no_answer_is_near_an_output_that_is_no_finite_number(packed):
    outputs = np.array([[1.0], [packed]], dtype=np.float32)
    golden = Golden.of(GOLDEN.rows, TENSORS, outputs)

    class Backend:
        name, device = "fake", "cpu"

        def run(self, _tensors):
            return {"answer": np.ones((2, 1), np.float32)}

    entry = GoldenEntry(rows=2, absolute=1e-6, relative=1e-3)
    with pytest.raises(Corrupt, match="row 1"):
        replay_outputs(golden, entry, Backend(), inputs={"features": "x"}, output="answer")

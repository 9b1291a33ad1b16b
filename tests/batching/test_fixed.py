"""``Fixed``: an answer that depends on its row alone, bit for bit, whatever the company."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.batching.mixed_models import encoder, mean_of_attention, quantised

from inprocml.backends import open_backend
from inprocml.backends.numpy import NumpyBackend
from inprocml.backends.onnx import OnnxBackend
from inprocml.batching import Fixed, Ragged, Shapes, fixed
from inprocml.errors import BackendFailed
from inprocml.testing import FakeBackend, check_backend

RANDOM = np.random.default_rng(0)
SEQUENCES = {"x": RANDOM.standard_normal((40, 24, 64)).astype(np.float32)}
ROWS = {"x": (RANDOM.standard_normal((40, 64)) * RANDOM.uniform(0.1, 10, (40, 1))).astype(np.float32)}


def take(tensors, rows):
    return {name: array[rows] for name, array in tensors.items()}


def assert_alone_everywhere(backend, tensors):
    """The bits of a row are the same alone, among any others, and at any place."""
    count = len(tensors["x"])
    alone = [backend.run(take(tensors, [row]))["y"][0].tobytes() for row in range(count)]

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.integers(0, count - 1), min_size=1, max_size=30))
    def check(rows):
        answers = backend.run(take(tensors, rows))["y"]
        assert [answer.tobytes() for answer in answers] == [alone[row] for row in rows]

    check()


def test_a_model_whose_answers_depend_on_the_size_of_the_batch_stops_doing_so():
    plain = OnnxBackend(mean_of_attention(), threads=1)
    alone = plain.run(take(SEQUENCES, [0]))["y"][0]
    beside = plain.run(take(SEQUENCES, [0, 1]))["y"][0]
    np.testing.assert_allclose(alone, beside, rtol=1e-4, atol=1e-6)
    steady = fixed(plain, take(SEQUENCES, slice(16)), mixes=plain.mixes)
    assert steady.rows == 8
    assert_alone_everywhere(steady, SEQUENCES)
    if alone.tobytes() == beside.tobytes():
        pytest.skip("kernels of this machine answer alike at every size: nothing was there to be mended")


def test_one_scale_for_a_whole_batch_leaves_one_row_at_a_time():
    plain = OnnxBackend(quantised(), threads=1)
    assert plain.mixes
    assert NumpyBackend(quantised()).mixes
    assert not OnnxBackend(mean_of_attention(), threads=1).mixes
    same_shape = Fixed(plain, 8)
    beside = [same_shape.run(take(ROWS, [0, mate]))["y"][0].tobytes() for mate in range(1, 40)]
    assert len(set(beside)) > 1, "the shape alone is no remedy here"
    told = fixed(plain, take(ROWS, slice(16)), mixes=plain.mixes)
    found = fixed(plain, take(ROWS, slice(16)))  # nobody said so: the rows themselves tell
    assert (told.rows, found.rows) == (1, 1)
    assert_alone_everywhere(told, ROWS)


@pytest.mark.parametrize("runtime", ["numpy", "onnx"])
def test_it_is_a_backend_like_any_other(runtime):
    backend = open_backend(runtime, mean_of_attention(), **({"threads": 1} if runtime == "onnx" else {}))
    expected = backend.run(take(SEQUENCES, slice(11)))
    wrapped = Fixed(backend, 4)
    assert (wrapped.name, wrapped.device) == (runtime, "cpu")
    check_backend(wrapped, take(SEQUENCES, slice(11)), expected=expected, rtol=1e-4)


@given(st.integers(1, 40), st.integers(1, 9))
def test_every_run_has_the_same_rows_and_every_answer_its_question(rows, size):
    backend = FakeBackend()
    inputs = {"x": np.arange(rows, dtype=np.float32)[:, None] + 1}
    outputs = Fixed(backend, size).run(inputs)
    assert outputs["x"].tolist() == inputs["x"].tolist()
    assert backend.batches == [size] * -(-rows // size)


def test_it_fills_up_with_rows_that_are_there():
    seen = []
    backend = FakeBackend(lambda inputs: (seen.append(inputs["x"].copy()), {"y": 1 / inputs["x"]})[1])
    assert Fixed(backend, 4).run({"x": np.array([[4.0]])})["y"].tolist() == [[0.25]]
    assert seen[0].tolist() == [[4.0]] * 4


def test_lengths_are_brought_to_the_end_of_their_group_even_for_a_lone_row():
    shapes = Shapes({"ids": Ragged(0, 1, (4, 10)), "mask": Ragged(0, 1, (4, 10))}, fixed=True)
    seen = []
    real = OnnxBackend(encoder(), threads=1)

    def answer(inputs):
        seen.append(inputs["ids"].shape)
        return real.run(inputs)

    steady = Fixed(FakeBackend(answer), 3, shapes=shapes)
    bits = set()
    for company in ((), (6,), (9, 5, 10)):
        parts = [np.arange(1, 6)[None], *(np.ones((1, length), np.int64) for length in company)]
        longest = max(part.shape[1] for part in parts)
        ids = np.concatenate([np.pad(part, ((0, 0), (0, longest - part.shape[1]))) for part in parts])
        features = np.ones((len(parts), 3), np.float32)
        outputs = steady.run({"ids": ids, "mask": (ids > 0).astype(np.int64), "features": features})
        bits.add(outputs["score"][0].tobytes())
    assert len(bits) == 1
    assert set(seen) == {(3, 10)}


def test_wrong_answers_are_not_hidden_by_cutting():
    with pytest.raises(BackendFailed, match=r"'late'.*shape \(5, 1\) for 4 rows"):
        Fixed(FakeBackend(lambda _: {"y": np.zeros((5, 1))}), 4, model="late").run({"x": np.zeros((2, 1))})
    with pytest.raises(ValueError, match="rows is 0"):
        Fixed(FakeBackend(), 0)

"""A row beside others is answered as it is alone: every runtime, any mix of lengths, sizes and rows."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from tests.batching.mixed_models import VOCABULARY, convolution, encoder

from inprocml.backends.numpy import NumpyBackend
from inprocml.backends.onnx import OnnxBackend
from inprocml.backends.torch import TorchBackend, register
from inprocml.batching import Ragged, Runner, Shapes
from inprocml.batching.compute import compute, cut, join

TEXTS = {"ids": Ragged(0), "mask": Ragged(0)}
FOLLOWS = {"tags": "ids"}
calls = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 70)), min_size=1, max_size=7)


class Words(torch.nn.Module):
    """The tokens' mean and, for each of them, three numbers; id 0 is padding."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = torch.nn.Embedding(VOCABULARY, 16)
        self.layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.last = torch.nn.Linear(16, 3)

    def forward(self, ids):
        there = (ids != 0).unsqueeze(-1).to(torch.float32)
        seen = self.layer(self.words(ids), src_key_padding_mask=ids == 0)
        return self.last((seen * there).sum(1) / there.sum(1))


register("tests-words", Words)


@pytest.fixture(scope="module")
def backends():
    return {
        "onnx": OnnxBackend(encoder(), threads=1),
        "numpy": NumpyBackend(encoder()),
        "torch": TorchBackend("tests-words", save(Words().state_dict()), input_name="ids"),
        "onnx pictures": OnnxBackend(convolution(), threads=1),
        "numpy pictures": NumpyBackend(convolution()),
    }


def text(rows, length, seed, *, torch_only):
    random = np.random.default_rng(seed)
    one = {"ids": random.integers(1, VOCABULARY, (rows, length))}
    if not torch_only:
        one["mask"] = np.ones((rows, length), np.int64)
        one["features"] = random.standard_normal((rows, 3)).astype(np.float32)
    return one


def answered(backend, parts, shapes):
    """What each caller gets: one batch for each shape, joined and cut."""
    found = [None] * len(parts)
    groups = {}
    for place, part in enumerate(parts):
        groups.setdefault(shapes.of(part), []).append(place)
    for places in groups.values():
        inputs = join([parts[place] for place in places], shapes)
        rows = [len(next(iter(parts[place].values()))) for place in places]
        outputs = compute(backend, inputs, sum(rows), model="m")
        for at, (place, count) in enumerate(zip(places, rows, strict=True)):
            found[place] = shapes.trimmed(cut(outputs, sum(rows[:at]), count), parts[place])
    return found


def assert_as_alone(backend, parts, found):
    for part, outputs in zip(parts, found, strict=True):
        for row in range(len(next(iter(part.values())))):
            alone = backend.run({name: array[row : row + 1] for name, array in part.items()})
            assert set(alone) == set(outputs)
            for name, array in alone.items():
                assert outputs[name].dtype == array.dtype
                assert outputs[name][row : row + 1].shape == array.shape
                largest = float(np.abs(array).max())
                np.testing.assert_allclose(outputs[name][row], array[0], rtol=1e-3, atol=1e-4 * largest)


@pytest.mark.parametrize("runtime", ["onnx", "numpy", "torch"])
@pytest.mark.parametrize("whole", [False, True], ids=["longest", "whole group"])
def test_texts_of_any_length(backends, runtime, whole):
    backend, torch_only = backends[runtime], runtime == "torch"
    shapes = Shapes(
        {"ids": TEXTS["ids"]} if torch_only else TEXTS,
        fixed=True,
        whole=whole,
        follows={} if torch_only else FOLLOWS,
    )

    @settings(max_examples=4 if torch_only else 15, deadline=None)
    @given(calls)
    def check(wanted):
        parts = [text(*call, seed, torch_only=torch_only) for seed, call in enumerate(wanted)]
        assert_as_alone(backend, parts, answered(backend, parts, shapes))

    check()


@pytest.mark.parametrize("runtime", ["onnx pictures", "numpy pictures"])
def test_pictures_of_several_sizes(backends, runtime):
    backend = backends[runtime]
    sides = st.sampled_from([4, 7, 12])

    @settings(max_examples=10, deadline=None)
    @given(st.lists(st.tuples(st.integers(1, 3), sides, sides), min_size=1, max_size=6))
    def check(wanted):
        random = np.random.default_rng(0)
        parts = [{"photo": random.standard_normal((n, 3, h, w)).astype(np.float32)} for n, h, w in wanted]
        assert_as_alone(backend, parts, answered(backend, parts, Shapes()))

    check()


def test_callers_of_many_lengths_at_once_each_get_their_own_answer(backends):
    """Sixteen threads against one runner: per-token answers as long as the caller's text, nothing swapped."""
    backend = backends["onnx"]
    runner = Runner(
        backend, max_batch_size=8, max_queue_delay=0.005, shapes=Shapes(TEXTS, fixed=True, follows=FOLLOWS)
    )
    parts = [text(1 + place % 3, 1 + 7 * place, place, torch_only=False) for place in range(16)]
    found = [None] * len(parts)

    def ask(place):
        found[place] = runner.run(parts[place], rows=len(parts[place]["ids"])).outputs

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runner.close()
    assert_as_alone(backend, parts, found)

"""Between the transform and the answer, one row is in memory once: no copy is made that nobody needs."""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import save

from inprocml import Model, Transform
from inprocml.backends import open_backend
from inprocml.backends.torch import TorchBackend, register
from inprocml.batching import Runner
from inprocml.testing import FakeBackend


def test_what_the_transform_makes_of_a_row_is_what_the_runtime_reads(store, row, monkeypatch):
    made, read = [], []
    transform_one = Transform.transform_one

    def spy(self, values):
        made.append(transform_one(self, values))
        return made[-1]

    def opened(bundle):
        real = open_backend(bundle.runtime, bundle.model, threads=1)
        return FakeBackend(lambda inputs: (read.append(inputs), real.run(inputs))[1])

    monkeypatch.setattr(Transform, "transform_one", spy)
    model = Model(store, backend=opened)
    model.predict(row)
    made.clear()
    read.clear()
    model.predict(row)
    ((features,), (inputs,)) = made, read
    (array,) = inputs.values()
    assert array.shape == (1, *features.shape)
    assert np.shares_memory(array, features)
    assert array.flags.c_contiguous
    assert array.flags.writeable  # or torch would have to copy it
    model.close()


def test_a_lone_caller_hands_over_its_own_arrays_and_gets_the_backends_own():
    given, answered = [], []

    def answer(inputs):
        given.append(inputs)
        answered.append({"y": inputs["x"] + 1})
        return answered[-1]

    inputs = {"x": np.zeros((1, 4), np.float32)}
    result = Runner(FakeBackend(answer)).run(inputs)
    assert given[0]["x"] is inputs["x"]
    assert result.outputs["y"] is answered[0]["y"]


def test_torch_computes_on_the_callers_array():
    """The module answers with its own input: it must be the memory that was handed over."""
    register("tests-same", torch.nn.Identity)
    backend = TorchBackend("tests-same", save({}), input_name="x")
    rows = np.ones((1, 4), np.float32)
    assert np.shares_memory(backend.run({"x": rows})["output"], rows)

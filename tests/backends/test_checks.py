"""Impossible arguments are refused by name, before anything is loaded, alike by function and by backend."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.backends.onnx_models import model

from inprocml.backends import check_device, check_threads, open_backend
from inprocml.backends.checks import split_device


@pytest.mark.parametrize("threads", [0, -1, 2.0, 2.5, math.nan, math.inf, True, "2"])
def test_impossible_threads_are_refused(threads):
    with pytest.raises(ValueError, match="threads is"):
        check_threads(threads)
    for runtime in ("onnx", "numpy", "torch"):
        with pytest.raises(ValueError, match="threads is"):
            open_backend(runtime, model(), threads=threads, module="none")


def test_possible_threads_pass():
    for threads in (None, 1, np.int64(4)):
        check_threads(threads)


@pytest.mark.parametrize(
    "device",
    [
        "gpu",
        "",
        None,
        0,
        math.nan,
        ["cpu"],
        "cuda:",
        "cuda:-1",
        "cuda:01",
        "cuda:1 ",
        "cuda:²",
        "cpu:0",
        "auto:1",
    ],
)
def test_unknown_devices_are_refused(device):
    with pytest.raises(ValueError, match=r"device is .*use one of cpu, cuda, tensorrt, auto"):
        check_device(device)
    with pytest.raises(ValueError, match="device is"):
        open_backend("onnx", model(), device=device)
    check_device("tensorrt")
    with pytest.raises(ValueError, match="use one of cpu, cuda"):
        check_device("tensorrt", ("cpu", "cuda"))


def test_a_gpu_may_be_named_by_its_number():
    for device, parts in {
        "cuda": ("cuda", 0),
        "cuda:1": ("cuda", 1),
        "tensorrt:12": ("tensorrt", 12),
    }.items():
        check_device(device)
        assert split_device(device) == parts
    with pytest.raises(ValueError, match="device is 'tensorrt:1'"):
        check_device("tensorrt:1", ("cpu", "cuda"))

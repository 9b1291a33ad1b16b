"""Looking at a GPU without a CUDA context, against a library that knows two devices."""

from __future__ import annotations

import pytest

from inprocml.backends import nvml
from inprocml.backends.nvml import Usage, usage


class Library:
    """Two devices; the second does not say how busy it is."""

    def __init__(self, *, broken=()):
        self.broken, self.open = set(broken), 0

    def nvmlInit_v2(self):  # noqa: N802  NVML's own names
        self.open += "init" not in self.broken
        return 9 if "init" in self.broken else 0

    def nvmlShutdown(self):  # noqa: N802
        self.open -= 1
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number, target):  # noqa: N802
        target._obj.value = 10 + number.value
        return 0 if number.value < 2 else 2

    def nvmlDeviceGetHandleByUUID(self, name, target):  # noqa: N802
        target._obj.value = 11
        return 0 if name.value == b"GPU-two" else 6

    def nvmlDeviceGetMemoryInfo(self, device, target):  # noqa: N802
        target._obj.total, target._obj.free = 100, 30 + device.value
        return 15 if "memory" in self.broken else 0

    def nvmlDeviceGetUtilizationRates(self, device, target):  # noqa: N802
        target._obj.gpu = 75
        return 3 if device.value == 11 else 0


@pytest.mark.parametrize(
    ("number", "visible", "told"),
    [
        (0, None, Usage(40, 100, 0.75)),
        (1, None, Usage(41, 100, None)),
        (2, None, None),
        (0, "1,0", Usage(41, 100, None)),
        (0, "GPU-two", Usage(41, 100, None)),
        (0, "GPU-gone", None),
        (1, "0", None),
        (0, "", None),
    ],
)
def test_the_gpu_that_cuda_means_is_looked_at(number, visible, told):
    library = Library()
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert usage(number, library=library, environment=environment) == told
    assert library.open == 0


@pytest.mark.parametrize("broken", ["init", "memory"])
def test_a_driver_that_does_not_answer_is_none(broken):
    library = Library(broken=[broken])
    assert usage(library=library, environment={}) is None
    assert library.open == 0


def test_a_machine_without_a_driver_is_none(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(nvml.ctypes, "CDLL", missing)
    assert usage() is None

"""The driver's calls, against a library that takes them down and keeps its memory on the host.

NOT REACHED HERE: the driver itself; ``test_gpu.py`` checks it where there is a GPU.
"""

from __future__ import annotations

import ctypes
import gc
import types

import numpy as np
import pytest

from inprocml.backends.cuda_driver import _ARGUMENTS, CudaDriver, CudaError
from inprocml.errors import BackendMissing


class Library:
    """What ``libcuda`` is called with; ``codes`` are the answers of calls that are to fail."""

    def __init__(self):
        self.calls, self.codes, self.memory, self.current = [], {}, {}, []
        self._handles = iter(range(100, 1000))

    def __getattr__(self, name):
        if name not in _ARGUMENTS:
            raise AttributeError(name)
        return lambda *arguments: self.call(name, arguments)

    def call(self, name, arguments):
        for kind, given in zip(_ARGUMENTS[name], arguments, strict=True):
            kind.from_param(given)  # as ctypes would, and raise
        self.calls.append(name)
        if name in self.codes:
            return self.codes[name]
        getattr(self, self.SPECIAL.get(name, "make"))(*arguments)
        return 0

    SPECIAL = types.MappingProxyType(
        {
            "cuCtxPushCurrent_v2": "push",
            "cuCtxPopCurrent_v2": "pop",
            "cuMemHostAlloc": "allocate",
            "cuMemAlloc_v2": "allocate",
            "cuMemFree_v2": "free",
            "cuMemFreeHost": "free",
            "cuMemGetInfo_v2": "tell",
            "cuMemcpyHtoDAsync_v2": "move",
            "cuMemcpyDtoHAsync_v2": "move",
            "cuMemcpyDtoDAsync_v2": "move",
            "cuGetErrorName": "name",
        }
    )

    def make(self, *arguments):
        for given in arguments:
            target = getattr(given, "_obj", None)
            if isinstance(target, ctypes.c_void_p):
                target.value = next(self._handles)

    def push(self, device):
        self.current.append(device)

    def pop(self, _):
        self.current.pop()

    def allocate(self, target, size, *_):
        array = np.zeros(size, np.uint8)
        target._obj.value = array.ctypes.data
        self.memory[array.ctypes.data] = array

    def free(self, address):
        del self.memory[address]

    def tell(self, free, whole):
        free._obj.value, whole._obj.value = 3, 4

    def move(self, target, source, size, _):
        assert self.current, "no device is current"
        ctypes.memmove(target, source, size)

    def name(self, code, target):
        target._obj.value = b"CUDA_ERROR_OF_SOME_KIND"


@pytest.fixture
def library():
    return Library()


@pytest.fixture
def driver(library):
    return CudaDriver(1, quick=library, waiting=library)


def test_bytes_go_there_and_back(driver):
    host, block, other, back = driver.host(16), driver.block(16), driver.block(16), driver.host(16)
    stream = driver.stream()
    host[:] = np.arange(16)
    driver.copy_in(stream, block.address, host)
    driver.copy(stream, other.address, block.address, 16)
    driver.copy_out(stream, back, other.address)
    assert back.tolist() == list(range(16))
    assert driver.memory() == (3, 4)


def test_a_thread_keeps_the_device_it_had(driver, library):
    library.current.append("the host's own")
    stream, event = driver.stream(), driver.event()
    driver.record(stream, event)
    driver.wait(stream, event)
    driver.synchronise(event)
    driver.drain()
    library.codes["cuEventRecord"] = 400
    with pytest.raises(CudaError):
        driver.record(stream, event)
    assert library.current == ["the host's own"]


def test_calls_that_wait_give_the_interpreters_lock_up_and_others_keep_it():
    quick, waiting = Library(), Library()
    driver = CudaDriver(quick=quick, waiting=waiting)
    stream, event = driver.stream(), driver.event()
    quick.calls.clear()
    waiting.calls.clear()
    driver.record(stream, event)
    driver.wait(stream, event)
    assert waiting.calls == []
    driver.synchronise(event)
    driver.drain()
    assert waiting.calls == ["cuEventSynchronize", "cuCtxSynchronize"]
    assert "cuEventSynchronize" not in quick.calls


def test_everything_is_given_back_with_its_last_reference(driver, library):
    host, block = driver.host(64), driver.block(64)
    view = host[8:16].view(np.float32)
    stream, event = driver.stream(), driver.event()
    del host, stream, event
    gc.collect()
    assert {"cuStreamDestroy_v2", "cuEventDestroy_v2"} <= set(library.calls)
    assert "cuMemFreeHost" not in library.calls  # the view still needs it
    assert len(library.memory) == 2
    del view, block
    gc.collect()
    assert library.memory == {}


def test_in_a_forked_child_nothing_is_given_back(driver, library, monkeypatch):
    block = driver.block(8)
    monkeypatch.setattr("os.getpid", lambda: -1)
    del block
    gc.collect()
    assert "cuMemFree_v2" not in library.calls


def test_a_failed_call_is_named_with_its_number(driver, library):
    library.codes["cuMemAlloc_v2"] = 2
    with pytest.raises(CudaError, match=r"cuMemAlloc_v2 failed: CUDA_ERROR_OF_SOME_KIND \(2\)") as caught:
        driver.block(8)
    assert caught.value.code == 2


def test_a_device_that_is_not_there_is_missing(library):
    library.codes["cuDeviceGet"] = 101
    with pytest.raises(BackendMissing, match=r"no device 7 to offer .*CUDA_VISIBLE_DEVICES"):
        CudaDriver(7, quick=library, waiting=library)


def test_a_machine_without_a_driver_is_told(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "PyDLL", missing)
    with pytest.raises(BackendMissing, match=r"libcuda|nvcuda"):
        CudaDriver()

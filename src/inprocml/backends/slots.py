"""Where a batch lies on its way: page-locked on the host, and as many bytes on the device.

Everything here is reused from batch to batch and only ever grows: to lock pages takes milliseconds and to get
memory from a device may wait for all its work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inprocml.backends.accelerator import Accelerator, Form, Span, size_of
from inprocml.values import Tensors

__all__ = ["Layout", "Pair", "Slot", "form_of", "gather", "layout_of", "spans_in"]

Layout = tuple[tuple[str, tuple[int, ...], "np.dtype[Any]"], ...]
"""Name, shape of a row and dtype of each input: what the rows of one batch have in common."""

_ALIGNED: Final = 256  # bytes; what cudaMalloc keeps to, and what vectorised kernels want


def layout_of(inputs: Tensors, names: Sequence[str]) -> Layout:
    """Return the layout of a batch; ``ValueError`` names an input that is missing or holds no numbers."""
    layout = []
    for name in names:
        array = inputs.get(name)
        if array is None:
            raise ValueError(f"input {name!r} is missing; the model takes {', '.join(map(repr, names))}")
        if array.dtype.kind not in "biufc":
            raise ValueError(f"input {name!r} is {array.dtype}, which a device cannot hold; send numbers")
        layout.append((name, array.shape[1:], array.dtype))
    return tuple(layout)


def form_of(layout: Layout, rows: int) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return names, shapes and dtypes of a batch of ``rows``."""
    return {name: ((rows, *row), dtype) for name, row, dtype in layout}


def gather(parts: Sequence[Tensors], low: int, high: int, targets: Tensors) -> None:
    """Write rows ``low`` to ``high`` of all callers into ``targets``; what is left repeats the last row.

    Repeated and not zeroed: a row of zeros may be one that a model cannot take. Raises ``ValueError`` for a
    caller whose rows are of another shape, ``TypeError`` for another dtype.
    """
    for name, target in targets.items():
        at = filled = 0
        for part in parts:
            array = part[name]
            first, last = max(low - at, 0), min(high - at, len(array))
            if array.shape[1:] != target.shape[1:]:  # numpy would stretch it
                raise ValueError(
                    f"rows of input {name!r} have shapes {array.shape[1:]} and {target.shape[1:]}"
                )
            if first < last:
                np.copyto(target[filled : filled + last - first], array[first:last], casting="no")
                filled += last - first
            at += len(array)
        if filled != high - low:
            raise ValueError(f"input {name!r} holds {at} rows; the callers said there are at least {high}")
        target[filled:] = target[filled - 1]


def spans_in(block: Any, form: Form) -> dict[str, Span]:
    """Lay tensors side by side into a block."""
    spans, offset = {}, 0
    for name, (shape, dtype) in form.items():
        spans[name] = Span(block, offset, shape, dtype)
        offset += _padded(size_of(shape, dtype))
    return spans


def total(form: Form) -> int:
    """Return the bytes that the tensors of a form take side by side."""
    return sum(_padded(size_of(shape, dtype)) for shape, dtype in form.values())


class Pair:
    """Bytes on the device and as many page-locked ones on the host; both only grow."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._size = 0
        self._block: Any = None
        self._host: NDArray[np.uint8] = np.empty(0, np.uint8)

    def arrange(self, form: Form) -> tuple[dict[str, Span], dict[str, NDArray[Any]]]:
        """Return where the tensors lie on the device and on the host. Nothing may be on its way here."""
        needed = total(form)
        if needed > self._size:
            self._block, self._size = None, 0  # the old one first: both at once may be too much
            self._block = self._accelerator.block(needed)
            self._host = self._accelerator.host(needed)
            self._size = needed
        spans = spans_in(self._block, form)
        views = {
            name: self._host[span.offset : span.offset + span.size].view(span.dtype).reshape(span.shape)
            for name, span in spans.items()
        }
        return spans, views


class Slot:
    """What one batch in flight needs for itself."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.into, self.out = Pair(accelerator), Pair(accelerator)
        self.copied, self.computed, self.done = (accelerator.event() for _ in range(3))
        self.answers: dict[str, NDArray[Any]] = {}

    def collect(self, rows: int) -> dict[str, NDArray[Any]]:
        """Copy the answers of the first ``rows`` rows out: the next batch will write where they lie."""
        return {name: array[:rows].copy() for name, array in self.answers.items()}


def _padded(size: int) -> int:
    return -(-max(size, 1) // _ALIGNED) * _ALIGNED

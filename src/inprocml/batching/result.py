"""What a caller gets back, put together on its own thread: the worker has others to serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from inprocml.batching.calls import Call
from inprocml.batching.shapes import Shapes
from inprocml.values import Tensors

__all__ = ["Result", "assemble", "collect"]


class Result(NamedTuple):
    """One caller's answer.

    ``outputs`` holds only this caller's rows; ``queued`` is the seconds they waited for the device;
    ``inline`` says that the caller computed them itself; ``batch_rows`` is the size of their batch (of the
    largest, if there were several). ``batch`` is the batch's number in this process (of the first, if there
    were several), 0 where nothing was noted of the caller.
    """

    outputs: Tensors
    queued: float
    inline: bool
    batch_rows: int
    batch: int = 0


def collect(call: Call, shapes: Shapes) -> Result:
    """Return a call's answer, or raise what became of it."""
    outputs = call.answer()
    if shapes.follows:
        outputs = shapes.trimmed(outputs, call.inputs)
    return Result(outputs, call.started - call.arrived, False, call.batch_rows, call.batch)


def assemble(parts: Sequence[Call], shapes: Shapes) -> Result:
    """Put the answers to a call's pieces together."""
    try:
        answers = [collect(part, shapes) for part in parts]
    except BaseException:
        for part in parts:  # as ``raise_fault`` for the one that was raised
            part.error = None
        raise
    first = answers[0]
    if len(parts) == 1:
        return first
    outputs = {name: np.concatenate([one.outputs[name] for one in answers]) for name in first.outputs}
    return Result(outputs, first.queued, False, max(one.batch_rows for one in answers), first.batch)

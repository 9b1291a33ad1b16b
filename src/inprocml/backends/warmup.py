"""Before the first request: how many rows fit, and the model recorded for every batch size.

A request pays for nothing that can be done before: choosing algorithms, growing memory, recording.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from inprocml.backends.accelerator import Trouble
from inprocml.backends.slots import Layout, Slot, form_of, layout_of, spans_in, total
from inprocml.values import Tensors, repeated

if TYPE_CHECKING:
    from inprocml.backends.staged import Staged

__all__ = ["largest_that_fits", "record"]

_log = logging.getLogger(__name__)

_HEADROOM: Final = 0.10  # of the device's memory
_NEARLY: Final = 1e-3  # of the largest number: how far a recorded run may be from the run that it repeats


def largest_that_fits(staged: Staged, rows: Tensors, largest: int) -> tuple[int, ...]:
    """Return 1, 2, 4, ... and ``largest``, up to the last that leaves a tenth of the memory free.

    Each is run in as many slots as there are, so that all memory is there before the first request.
    """
    sizes: list[int] = []
    tried = [size for size in (1 << power for power in range(largest.bit_length())) if size < largest]
    for size in (*tried, largest):
        staged.release()  # what is cached after the run is then what the run needed
        error = _rehearse(staged, rows, size)
        if error is not None and staged.sort(error) is Trouble.STICKY:
            raise staged.lost() from error
        if error is not None and staged.accelerator.trouble(error) is not Trouble.MEMORY:
            raise error
        if error is not None or (sizes and not _roomy(staged)):
            break
        sizes.append(size)
    staged.release()
    if not sizes:
        raise staged.too_large()
    return tuple(sizes)


def record(staged: Staged, rows: Tensors, sizes: tuple[int, ...]) -> None:
    """Record the model for each of ``sizes``, the largest first: the smaller then need no more memory.

    Stops where the model cannot be recorded. A size that does not fit, or answers otherwise than the run
    that it repeats, is served without.
    """
    layout = layout_of(rows, staged.inputs)
    form = form_of(layout, sizes[-1])
    blocks: list[Any] = []
    error = staged.attempt(lambda: blocks.append(staged.block(total(form))))
    for size in reversed(sizes if error is None else ()):
        static = spans_in(blocks[0], form_of(layout, size))
        outcome = _recorded(staged, rows, layout, size, static)
        if outcome is Trouble.ORDINARY:
            _log.info("the model on %s is served without graphs: it cannot be recorded", staged.device)
            return


def _rehearse(staged: Staged, rows: Tensors, size: int) -> Exception | None:
    """Run ``size`` rows in every slot at once; returns what was raised."""
    layout, parts = layout_of(rows, staged.inputs), [repeated(rows, size)]
    for slot in staged.slots:
        error = staged.attempt(partial(staged.launch, slot, layout, parts, 0, size))
        if error is not None:
            return error
    for slot in staged.slots:
        error = staged.synchronise(slot)
        if error is not None:
            return error
    return None


def _recorded(
    staged: Staged, rows: Tensors, layout: Layout, size: int, static: dict[str, Any]
) -> Trouble | None:
    """Record one size and hold it against the plain run; returns what prevented it, ``None`` if nothing."""
    slot = staged.slots[0]
    error = _rehearse(staged, rows, size)
    expected = slot.collect(size) if error is None else {}
    made: list[bool] = []
    staged.release()  # a recorded run brings its own memory
    if error is None:
        error = staged.attempt(lambda: made.append(staged.record_graph(slot, layout, size, static)))
    if error is None:  # the slot is about to be filled again, and no event orders that with the recording
        error = staged.attempt(staged.drain)
    if error is None and made == [True]:
        error = _rehearse(staged, rows, size)
        if error is None and _close(slot, size, expected) and _roomy(staged):
            return None
    staged.forget_graph(layout, size)
    if error is None and made == [True]:  # it takes too much memory, or answers otherwise
        staged.release()
        return Trouble.MEMORY
    trouble = Trouble.ORDINARY if error is None else staged.sort(error)
    if trouble is Trouble.STICKY and error is not None:
        raise staged.lost() from error
    return trouble


def _roomy(staged: Staged) -> bool:
    free, whole = staged.accelerator.memory()
    return free >= _HEADROOM * whole


def _close(slot: Slot, size: int, expected: dict[str, NDArray[Any]]) -> bool:
    """Whether the slot holds what the plain run answered, but for the rounding of another algorithm."""
    for name, array in slot.collect(size).items():
        given = expected[name]
        if not np.issubdtype(given.dtype, np.inexact):
            same = np.array_equal(array, given)
        else:
            finite = given[np.isfinite(given)]
            most = float(np.abs(finite).max()) if finite.size else 0.0
            same = np.allclose(array, given, rtol=_NEARLY, atol=_NEARLY * most, equal_nan=True)
        if not same:
            _log.warning(
                "a recorded run of %d rows answers otherwise in output %r: served without", size, name
            )
            return False
    return True

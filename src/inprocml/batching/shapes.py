"""Which calls may share a batch, and what fills the shorter ones up.

A batch is one array, so every row in it is as long as the longest. Rows are therefore grouped by length
before they are joined: a text of 500 tokens would make fifteen of 20 tokens pay for 500 each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inprocml.values import Tensors

__all__ = ["LADDER", "Ragged", "Shapes", "lengthened"]

LADDER = (8, 16, 24, *(step << power for power in range(4, 24) for step in (2, 3)))
"""Lengths at which groups end: 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, ...

From 8 on, at most a third of what is computed is padding, and there are 12 shapes up to 512.
"""

_NONE: Mapping[str, Any] = MappingProxyType({})


class Ragged(NamedTuple):
    """How one input varies in length.

    ``axis`` (the rows are axis 0) is as long as its row needs; shorter rows end in ``pad``. ``ends`` are the
    lengths, ascending, at which one group ends and the next begins; ``()``: those of ``LADDER``.
    """

    pad: float = 0
    axis: int = 1
    ends: tuple[int, ...] = ()

    def end(self, length: int) -> int:
        """Return the greatest length of the group that ``length`` falls into; beyond all ends, itself."""
        ends = self.ends or LADDER
        place = bisect_left(ends, length)
        return ends[place] if place < len(ends) else length


class Shapes:
    """What a model's inputs look like from call to call.

    ``ragged`` names the inputs whose length varies; a number stands for ``Ragged`` with that padding.
    ``fixed`` promises that nothing else varies: otherwise calls of different sizes, such as those of
    pictures, are kept apart. ``whole`` pads to the end of the group rather than to the longest row there is:
    for what needs few shapes (CUDA graphs) or the same one every time. ``follows`` maps outputs to the inputs
    whose length their second axis has: an answer for each token.
    """

    __slots__ = ("_alike", "fixed", "follows", "ragged", "whole")

    def __init__(
        self,
        ragged: Mapping[str, Ragged | float] = _NONE,
        *,
        fixed: bool = False,
        whole: bool = False,
        follows: Mapping[str, str] = _NONE,
    ) -> None:
        self.ragged: Mapping[str, Ragged] = {
            name: how if isinstance(how, Ragged) else Ragged(how) for name, how in ragged.items()
        }
        for name, how in self.ragged.items():
            _check(name, how)
        strange = sorted(set(follows.values()) - set(ragged))
        if strange:
            raise ValueError(f"outputs follow the length of {', '.join(strange)}, which has a fixed one")
        self.fixed = fixed
        self.whole = whole
        self.follows = follows
        self._alike = fixed and not ragged

    def of(self, inputs: Tensors) -> Hashable:
        """Return what must be equal for two calls to share a batch: ``None`` where nothing varies.

        Sizes, and of a length that varies the end of its group. Names and dtypes are left to ``join``.
        ``ValueError`` for an input without the axis that is its length.
        """
        if self._alike:
            return None
        ragged, fixed = self.ragged, self.fixed
        key = []
        for name, array in inputs.items():
            how = ragged.get(name)
            if how is not None:
                axis = how.axis
                end = how.end(_length(name, array, axis))
                key.append((name, end) if fixed else (name, *_others(array, axis), end))
            elif not fixed:
                key.append((name, *array.shape[1:]))
        return tuple(key)

    def level(self, parts: Sequence[Tensors]) -> Sequence[Tensors]:
        """Return the tensors of several callers, brought to one length; the very same where they have it."""
        if not self.ragged:
            return parts
        longest = {name: self.longest(name, [part[name] for part in parts]) for name in self.ragged}
        return [
            {
                name: array if name not in longest else lengthened(array, longest[name], self.ragged[name])
                for name, array in part.items()
            }
            for part in parts
        ]

    def longest(self, name: str, arrays: Sequence[NDArray[Any]]) -> int:
        """Return the length that the arrays of the ragged input ``name`` are to have in one batch."""
        how = self.ragged[name]
        most = max(_length(name, array, how.axis) for array in arrays)
        return how.end(most) if self.whole else most

    def trimmed(self, outputs: Tensors, inputs: Tensors) -> Tensors:
        """Return a caller's outputs, those that follow a length cut back to that of its own ``inputs``."""
        if not self.follows:
            return outputs
        own = dict(outputs)
        for output, name in self.follows.items():
            length = _length(name, inputs[name], self.ragged[name].axis)
            array = own.get(output)
            if array is not None and array.ndim > 1 and array.shape[1] > length:
                own[output] = array[:, :length].copy()
        return own


def _others(array: NDArray[Any], axis: int) -> tuple[int, ...]:
    return array.shape[1:axis] + array.shape[axis + 1 :]


def lengthened(array: NDArray[Any], length: int, how: Ragged) -> NDArray[Any]:
    """Return ``array`` with its rows filled up to ``length``, itself where they have it."""
    axis = how.axis
    sides = array.shape
    if sides[axis] == length:
        return array
    longer = np.full((*sides[:axis], length, *sides[axis + 1 :]), how.pad, dtype=array.dtype)
    longer[(slice(None),) * axis + (slice(sides[axis]),)] = array
    return longer


def _length(name: str, array: NDArray[Any], axis: int) -> int:
    try:
        return int(array.shape[axis])
    except IndexError:
        raise ValueError(
            f"input {name!r} has shape {array.shape}; axis {axis} must be there: it is its length"
        ) from None


def _check(name: str, how: Ragged) -> None:
    if how.axis < 1:
        raise ValueError(f"input {name!r}: axis {how.axis} cannot be a length; axis 0 are the rows")
    if any(end < 1 for end in how.ends) or list(how.ends) != sorted(set(how.ends)):
        raise ValueError(f"input {name!r}: ends must be positive and ascending, not {how.ends}")

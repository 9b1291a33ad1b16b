"""Numbers that stand for pictures, sound and tokens, of the tensors that the model was given anyway.

In a request a glimpse is taken of each tensor: at most 1,024 of its values, and which ones depends on its
shape alone. What is computed of it is computed off the request's path, at pack time by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isqrt, prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.values import Medium, Tensors

__all__ = ["MOST_VALUES", "Glimpse", "Glimpses"]

MOST_VALUES = 1_024

Glimpse: TypeAlias = tuple[Any, ...]
"""What is kept of one row, medium by medium: an array of at most ``MOST_VALUES`` numbers, or two counts."""

_Floats = NDArray[np.float64]


class _Taken(NamedTuple):
    """How a glimpse is taken of one medium, and what is computed of it: by the name of the column."""

    take: Callable[[Tensors], Any]
    parts: dict[str, Callable[[Any], float]]


class Glimpses:
    """Takes glimpses of tensors, and makes columns ``FIELD.PART`` of them: float64, NaN for missing.

    Of a picture ``brightness`` and ``contrast``: mean and standard deviation of its tensor, in its own units.
    Of sound ``energy``, the mean of its spectrogram in its own units, and ``seconds``, how long it lasts. Of
    a text ``tokens``, how many there are, and ``unknown``, the share that the vocabulary lacks. Where
    several entries read one field, of the first. ``wanted`` names the columns that are counted; no others
    are made.
    """

    def __init__(self, media: Sequence[Medium], wanted: Collection[str] | None = None) -> None:
        self._taken: list[_Taken] = []
        self._seconds: dict[str, Callable[[Any], float]] = {}
        self._fields: dict[str, str] = {}  # that each column is made of
        for medium in media:
            take, measures = _MEASURED[medium.kind](medium)
            named = {f"{medium.field}.{part}": measure for part, measure in measures.items()}
            new = {name: measure for name, measure in named.items() if self._new(name, wanted)}
            if new:
                self._taken.append(_Taken(take, new))
            lasting = f"{medium.field}.seconds"
            if medium.seconds is not None and self._new(lasting, wanted):
                self._seconds[lasting] = medium.seconds
                self._fields[lasting] = medium.field
            self._fields |= dict.fromkeys(new, medium.field)

    def _new(self, name: str, wanted: Collection[str] | None) -> bool:
        return name not in self._fields and (wanted is None or name in wanted)

    def __bool__(self) -> bool:
        return bool(self._fields)

    def of(self, tensors: Tensors) -> Glimpse:
        """Take a glimpse of one row's tensors, without an axis for rows: copies, some microseconds."""
        return tuple([each.take(tensors) for each in self._taken])

    def numbers(self, glimpses: Sequence[Glimpse]) -> dict[str, _Floats]:
        """Return the columns of rows that glimpses were taken of, in their order."""
        return {
            name: np.fromiter((measure(glimpse[place]) for glimpse in glimpses), np.float64, len(glimpses))
            for place, each in enumerate(self._taken)
            for name, measure in each.parts.items()
        }

    def table(self, tensors: Tensors) -> dict[str, _Floats]:
        """Return the columns of many rows' tensors, rows first."""
        rows = range(len(next(iter(tensors.values()))))
        return self.numbers([self.of({name: each[row] for name, each in tensors.items()}) for row in rows])

    def beside(self, columns: Mapping[str, NDArray[Any]], numbers: Mapping[str, _Floats]) -> dict[str, Any]:
        """Return checked columns (``Transform.columns``) and, beside them, ``numbers`` of the same rows.

        A missing value has none, whatever tensor stands for it. A number is left out where a field has its
        very name. ``ValueError`` for numbers of more rows or of fewer.
        """
        made = dict(numbers)
        for name, seconds in self._seconds.items():
            values = columns[self._fields[name]]
            lasting = (np.nan if value is None else seconds(value) for value in values)
            made[name] = np.fromiter(lasting, np.float64, len(values))
        for name, column in made.items():
            values = columns[self._fields[name]]
            absent = np.fromiter((value is None for value in values), np.bool_, len(values))
            made[name] = np.where(absent, np.nan, column)
        return {**columns, **{name: column for name, column in made.items() if name not in columns}}


_Measured = tuple[Callable[[Tensors], Any], dict[str, Callable[[Any], float]]]


def _picture(medium: Medium) -> _Measured:
    tensor = medium.tensor
    return lambda tensors: _few(tensors[tensor]), {"brightness": _mean, "contrast": _deviation}


def _sound(medium: Medium) -> _Measured:
    """Of the clip's own frames alone, where they are told: padding depends on the rows beside it."""
    tensor, told = medium.tensor, medium.told

    def take(tensors: Tensors) -> Any:
        heard = tensors[tensor]
        return _few(heard if told is None else heard[:, : int(tensors[told])])

    return take, {"energy": _mean}


def _tokens(medium: Medium) -> _Measured:
    """How many there are, and how many of the first ``MOST_VALUES`` are unknown: padding comes behind."""
    tensor, told, unknown = medium.tensor, medium.told, medium.unknown

    def take(tensors: Tensors) -> tuple[int, int]:
        count = int(np.count_nonzero(tensors[told]))  # type: ignore[index]  # tokens have a mask
        if unknown is None:
            return count, 0
        return count, int(np.count_nonzero(tensors[tensor][: min(count, MOST_VALUES)] == unknown))

    many: dict[str, Callable[[Any], float]] = {"tokens": lambda found: found[0]}
    return take, many if unknown is None else many | {"unknown": _share}


_MEASURED = {"picture": _picture, "sound": _sound, "tokens": _tokens}


def _few(array: NDArray[Any]) -> NDArray[Any]:
    """Copy evenly spaced values along the last two axes, at most ``MOST_VALUES``: which, the shape says."""
    *planes, height, width = array.shape
    side = isqrt(max(1, MOST_VALUES // max(1, prod(planes))))
    return array[..., :: -(-height // side) or 1, :: -(-width // side) or 1].copy()


def _mean(values: NDArray[Any]) -> float:
    return float(values.astype(np.float64).mean()) if values.size else float("nan")


def _deviation(values: NDArray[Any]) -> float:
    return float(values.astype(np.float64).std()) if values.size else float("nan")


def _share(found: tuple[int, int]) -> float:
    count, unknown = found
    return unknown / min(count, MOST_VALUES) if count else 0.0

"""Numbers that stand for what cannot be counted itself: long texts, vectors and files, of checked columns.

The same function makes them of training rows and of served ones. A file is never decoded for it; what its
tensors tell is in ``glimpses``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.planes import MOST_PLANES, Plane, learnt
from inprocml.schema import Schema
from inprocml.schema.text import LONGEST

__all__ = ["heavy_fields", "planes_of", "scalars", "with_scalars"]

_SEED = 20130101
_Floats = NDArray[np.float64]


_Planes = Mapping[str, Plane]
_NONE: _Planes = MappingProxyType({})


def with_scalars(
    schema: Schema, columns: Mapping[str, NDArray[Any]], planes: _Planes = _NONE
) -> dict[str, NDArray[Any]]:
    """Return checked columns (``Transform.columns``) and, beside them, their ``scalars``."""
    return {**columns, **scalars(schema, columns, planes)}


def planes_of(schema: Schema, columns: Mapping[str, NDArray[Any]]) -> dict[str, Plane]:
    """Learn the planes of training's vectors, by field: of the first 32 that have one."""
    planes: dict[str, Plane] = {}
    for field in schema.fields:
        if field.kind == "vector" and len(planes) < MOST_PLANES:
            plane = learnt(_units(columns[field.name])[1])
            planes |= {} if plane is None else {field.name: plane}
    return planes


def heavy_fields(schema: Schema) -> tuple[str, ...]:
    """Return the fields of which a value may take kilobytes: files, sound, vectors, long texts."""
    kinds = {"content", "signal", "vector"}
    return tuple(field.name for field in schema.fields if field.kind in kinds or field.longest > LONGEST)


def scalars(
    schema: Schema, columns: Mapping[str, NDArray[Any]], planes: _Planes = _NONE
) -> dict[str, _Floats]:
    """Return columns named ``FIELD.PART``, float64 of shape ``(rows,)``, NaN where the value is missing.

    Of a text that may be long ``length``, in characters. Of a vector ``norm``, and ``direction``: a random
    Fourier feature of the vector over its norm, with a fixed seed, sqrt(2) cos(w u + b) (Rahimi and Recht,
    NIPS 2007); where its field has one of the ``planes`` also ``reconstruction``, how far the vector over its
    norm lies from it. Of a file ``bytes``; of sound also ``samples`` and ``level`` (root mean square) where
    it comes as numbers. A part is left out where a field has its very name.
    """
    made: dict[str, _Floats] = {}
    for field in schema.fields:
        column = columns[field.name]
        if field.kind == "vector":
            made |= _of_vectors(field.name, column, planes.get(field.name))
        elif field.kind == "text" and field.longest > LONGEST:
            made[f"{field.name}.length"] = _each(column, str, len)
        elif field.kind in {"content", "signal"}:
            made[f"{field.name}.bytes"] = _each(column, bytes, len)
        if field.kind == "signal":
            made[f"{field.name}.samples"] = _each(column, np.ndarray, len)
            made[f"{field.name}.level"] = _each(column, np.ndarray, _level)
    return {name: column for name, column in made.items() if name not in schema.names}


def _each(column: NDArray[Any], kind: type, measure: Callable[[Any], float]) -> _Floats:
    values = (measure(value) if isinstance(value, kind) else np.nan for value in column.tolist())
    return np.fromiter(values, np.float64, len(column))


def _level(samples: _Floats) -> float:
    if not len(samples):
        return 0.0
    most = float(np.abs(samples).max())
    return most and most * float(np.sqrt(np.mean((samples / most) ** 2)))


def _of_vectors(name: str, column: _Floats, plane: Plane | None) -> dict[str, _Floats]:
    norm, unit = _units(column)
    rng = np.random.default_rng(_SEED)
    weights, start = rng.normal(size=column.shape[1]), rng.uniform(0, 2 * np.pi)
    direction = np.sqrt(2) * np.cos((unit * weights).sum(axis=1) + start)
    made = {f"{name}.norm": norm, f"{name}.direction": direction}
    return made if plane is None else made | {f"{name}.reconstruction": plane.distances(unit)}


def _units(column: _Floats) -> tuple[_Floats, _Floats]:
    """Return norms and vectors over their norms; scaled by the largest, so that no square overflows.

    In one order in memory, whatever that of a table's was: else a row's sums would depend on it.
    """
    column = np.ascontiguousarray(column)
    most = np.abs(column).max(axis=1)
    whole = np.where(most > 0, most, 1.0)[:, None]
    scaled = column / whole
    root = np.sqrt((scaled**2).sum(axis=1))
    with np.errstate(over="ignore"):
        norm = most * root
    return norm, scaled / np.where(root > 0, root, 1.0)[:, None]

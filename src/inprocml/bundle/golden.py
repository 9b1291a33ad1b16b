"""Golden rows: what the bundle computed where it was packed, replayed wherever it is opened.

Features and outputs are kept as base64 of little-endian values: exact, short, and readable from any language.
Of the other tensors, which may be pictures, the digests are kept. What the transform makes must come out byte
for byte; outputs within the manifest's tolerance, because another runtime or processor may round differently.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.bundle.manifest import GoldenEntry
from inprocml.bundle.remedy import ANEW
from inprocml.errors import BackendFailed, Corrupt, InprocmlError, Unsupported
from inprocml.protocols import Backend
from inprocml.schema import parse
from inprocml.schema.canonical import canonical, sha256
from inprocml.transform import Transform
from inprocml.values import FEATURES, Row, Tensors

__all__ = [
    "Golden",
    "as_tensors",
    "read_golden",
    "replay_features",
    "replay_outputs",
    "tolerance",
]

GOLDEN = "golden.json"
_DTYPES = ("<f2", "<f4", "<f8")


@dataclass(frozen=True, slots=True)
class Golden:
    """Rows as JSON has them, the transform's tensors for them, and the decoder's tensor.

    ``digests`` are those of the tensors other than ``features``. As read from a file, ``tensors`` holds only
    the features, until ``replay_features`` has made the others again.
    """

    rows: tuple[Row, ...]
    tensors: Tensors
    outputs: NDArray[Any]
    digests: Mapping[str, str]

    def to_json(self) -> bytes:
        """Return the canonical bytes of ``golden.json``."""
        features = self.tensors.get(FEATURES)
        return canonical(
            {
                "rows": [dict(row) for row in self.rows],
                "features": None if features is None else _packed(features),
                "tensors": dict(self.digests),
                "outputs": _packed(self.outputs),
            }
        )

    @classmethod
    def of(cls, rows: tuple[Row, ...], tensors: Tensors, outputs: NDArray[Any]) -> Golden:
        """Return the golden rows of what was just computed."""
        digests = {name: _digest(array) for name, array in tensors.items() if name != FEATURES}
        return cls(rows, tensors, outputs, digests)


def read_golden(content: bytes, *, rows: int, width: int) -> Golden:
    """Read ``golden.json``; raises ``Corrupt`` unless it holds ``rows`` rows of ``width`` features."""
    document = parse(content, what=GOLDEN)
    if not isinstance(document, dict) or set(document) != {"rows", "features", "tensors", "outputs"}:
        raise Corrupt(f"{GOLDEN}: must hold rows, features, tensors and outputs, nothing else. {ANEW}")
    listed = document["rows"]
    if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
        raise Corrupt(f"{GOLDEN}: rows must be a list of objects. {ANEW}")
    tensors, digests = {}, document["tensors"]
    if width:
        tensors[FEATURES] = _unpacked(document["features"], FEATURES)
    if not isinstance(digests, dict) or not all(isinstance(told, str) for told in digests.values()):
        raise Corrupt(f"{GOLDEN}: tensors must be an object of digests. {ANEW}")
    outputs = _unpacked(document["outputs"], "outputs")
    found = tensors.get(FEATURES)
    features = found is None or (found.shape == (rows, width) and found.dtype == np.float32)
    if not features or len(listed) != rows or (not width and document["features"] is not None):
        raise Corrupt(f"{GOLDEN}: the manifest promises {rows} rows of {width} float32 features. {ANEW}")
    if len(outputs) != rows:
        raise Corrupt(f"{GOLDEN}: {len(outputs)} outputs for {rows} rows. {ANEW}")
    return Golden(tuple(listed), tensors, outputs, digests)


def tolerance(outputs: NDArray[Any], *, probabilities: bool, rows: int) -> GoldenEntry:
    """How far a replay may be off: 1e-3 on probabilities, else 1e-3 of a value plus 1e-4 of the largest.

    Wide enough for TF32 on a GPU (10 bits of mantissa), narrow against any wrong weight.
    """
    if probabilities:
        return GoldenEntry(rows=rows, absolute=1e-3, relative=0.0)
    scale = float(np.abs(outputs).max(initial=0.0))
    return GoldenEntry(rows=rows, absolute=1e-4 * scale if scale else 1e-6, relative=1e-3)


def replay_features(golden: Golden, transform: Transform) -> Golden:
    """Encode the golden rows again, row by row and as a batch; return them with every tensor there.

    Raises ``Corrupt`` unless they are byte-equal to what was packed.
    """
    try:
        batch = as_tensors(transform.transform(list(golden.rows)))
        single = [as_tensors(transform.transform_one(row)) for row in golden.rows]
    except InprocmlError as error:
        raise Corrupt(f"{GOLDEN}: its rows are refused by transform.json ({error}) {ANEW}") from error
    if set(batch) != {*golden.tensors, *golden.digests}:
        raise Corrupt(f"{GOLDEN}: holds other tensors than transform.json makes. {ANEW}")
    for spec in transform.tensors:
        name, array = spec.name, batch[spec.name]
        told = golden.tensors.get(name)
        rows = [row[name] for row in single]
        if spec.ragged:  # alone, a row need not be as long as beside others
            rows = [spec.lengthened(row, array.shape[spec.axis]) for row in rows]
        wrong = _first_other(array, rows)
        if wrong is None and told is not None:
            wrong = _first_other(told, list(array))
        elif wrong is None and _digest(array) != golden.digests[name]:
            wrong = 0
        if wrong is not None:
            raise Corrupt(
                f"{GOLDEN}: row {wrong} gives another tensor {name!r} here than where it was packed, so "
                "predictions would be skewed. Either the bundle was edited or this machine computes "
                f"differently. {ANEW}"
            )
    return replace(golden, tensors=batch)


def as_tensors(made: Any) -> dict[str, NDArray[Any]]:
    """Return what a transform gave as named tensors: an array alone is its ``features``."""
    return {FEATURES: made} if isinstance(made, np.ndarray) else dict(made)


def _first_other(array: NDArray[Any], rows: list[NDArray[Any]]) -> int | None:
    """The first row that differs in shape, type or bytes."""
    for place, (one, other) in enumerate(zip(array, rows, strict=False)):
        if one.dtype != other.dtype or one.shape != other.shape or one.tobytes() != other.tobytes():
            return place
    return None if len(array) == len(rows) else min(len(array), len(rows))


def _digest(array: NDArray[Any]) -> str:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    told = f"{little.dtype.str}{list(little.shape)}".encode()
    return sha256(told + little.tobytes())


def replay_outputs(
    golden: Golden, entry: GoldenEntry, backend: Backend, *, inputs: Mapping[str, str], output: str
) -> None:
    """Run the golden tensors on ``backend``; raises ``Corrupt`` naming the first row out of tolerance.

    ``BackendFailed`` when the backend itself raises: that is no word on the bundle.
    """
    try:
        answer = backend.run({given: golden.tensors[name] for name, given in inputs.items()})
    except InprocmlError:
        raise
    except Exception as error:
        raise BackendFailed(
            f"backend {backend.name} on {backend.device} cannot run the golden rows "
            f"({type(error).__name__}: {error}). Try device='cpu', or pack the model anew."
        ) from error
    found = answer.get(output)
    if found is None or found.shape != golden.outputs.shape or found.dtype.kind != "f":
        told = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
        raise Corrupt(
            f"{GOLDEN}: tensor {output!r} came out as {told}, not floating point of shape "
            f"{golden.outputs.shape}. {ANEW}"
        )
    expected = golden.outputs.astype(np.float64)
    apart = np.abs(found.astype(np.float64) - expected)
    sound = apart <= entry.absolute + entry.relative * np.abs(expected)  # False for NaN
    sound &= np.isfinite(expected)  # any answer is near enough to infinity
    wrong = np.flatnonzero(~sound.reshape(len(sound), -1).all(axis=1))
    if len(wrong):
        raise Corrupt(
            f"{GOLDEN}: row {wrong[0]} and {len(wrong) - 1} more of {len(sound)} come out up to "
            f"{_most(apart):.3g} from the packed answer on backend {backend.name} ({backend.device}); "
            f"allowed are {entry.absolute:.3g} + {entry.relative:.3g} of the value. Try device='cpu'; if "
            "that fails too, pack the model anew."
        )


def _most(apart: NDArray[np.float64]) -> float:
    """Largest difference, NaN counting as infinite."""
    return float(np.where(np.isnan(apart), np.inf, apart).max())


def _packed(array: NDArray[Any]) -> dict[str, object]:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "dtype": little.dtype.str,
        "shape": list(little.shape),
        "base64": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def _unpacked(member: object, where: str) -> NDArray[Any]:
    fault = f"{GOLDEN}: {where} is no array of base64, dtype and shape. {ANEW}"
    if not isinstance(member, Mapping) or set(member) != {"base64", "dtype", "shape"}:
        raise Corrupt(fault)
    text, dtype, shape = member["base64"], member["dtype"], member["shape"]
    if not isinstance(text, str) or not isinstance(shape, list) or not 1 <= len(shape) <= 2:
        raise Corrupt(fault)
    if not all(type(side) is int and side > 0 for side in shape):
        raise Corrupt(fault)
    if dtype not in _DTYPES:
        raise Unsupported(f"{GOLDEN}: {where} has a dtype other than {', '.join(_DTYPES)}. Upgrade inprocml.")
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise Corrupt(fault) from error
    if len(raw) != math.prod(shape) * np.dtype(dtype).itemsize:  # before anything of that shape is made
        raise Corrupt(f"{GOLDEN}: {where} holds {len(raw)} bytes, not what its shape says. {ANEW}")
    array = np.frombuffer(raw, dtype=dtype).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)

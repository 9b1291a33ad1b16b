"""Whether the packed model answers as the trained one does, measured before anyone relies on it.

Distance is absolute on probabilities. A regression has no natural scale, so there the distance of a row is
``|packed - trained| / max(|trained|, spread)``, where ``spread`` is the standard deviation of the trained
answers: an error is judged by the size of the number and by what tells one row from another, and a value near
zero does not inflate it.

The limit, 1e-4, is hundreds of times what float32 against float64 costs a sound export (1e-7 to 1e-6 in the
tests, on linear models and trees) and a hundredth of a displayed percent; a wrong weight, a missing softmax
or dropout left on are off by far more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.bundle import Classes, Output, Parity
from inprocml.errors import InprocmlError, PackError, ParityError
from inprocml.packing.sample import WHOLE, take
from inprocml.protocols import Backend
from inprocml.values import Tensors

__all__ = ["BATCHES", "LIMIT", "WHOLE", "measure", "score"]

LIMIT = 1e-4
BATCHES = (1, 2, 5)
_FEW = 20  # rows repeated at each small batch size
_NAMED = 5  # rows named in an error

Scorer = Callable[[Tensors], NDArray[Any]]


def score(
    backend: Backend, tensors: Tensors, *, inputs: Mapping[str, str], output: str, batch: int = WHOLE
) -> NDArray[Any]:
    """Run ``tensors`` on ``backend``, ``batch`` rows per call; return the output tensor.

    Raises ``PackError`` when the backend fails or gives another number of rows than it got.
    """
    parts = []
    for start in range(0, _count(tensors), batch):
        part = {
            given: np.ascontiguousarray(tensors[name][start : start + batch])
            for name, given in inputs.items()
        }
        rows = _count(part)
        try:
            answer = backend.run(part)[output]
        except InprocmlError:
            raise
        except Exception as error:
            told = " ".join(str(error).split())[:300]
            raise PackError(
                f"the packed model cannot run a batch of {rows} with {_told(tensors, inputs)} "
                f"({type(error).__name__}: {told}). Export it with these inputs and a dynamic batch axis."
            ) from error
        if answer.ndim == 0 or len(answer) != rows:
            raise PackError(
                f"the packed model answers {rows} rows with a tensor of shape {list(answer.shape)}: the "
                "batch axis is fixed or lost. Export it with a dynamic batch axis, first of input and output."
            )
        parts.append(answer)
    return np.concatenate(parts)


def _count(tensors: Tensors) -> int:
    return len(next(iter(tensors.values())))


def _told(tensors: Tensors, inputs: Mapping[str, str]) -> str:
    shapes = [(name, tensors[name]) for name in inputs]
    return ", ".join(f"{name} {array.dtype} [batch{_sides(array)}]" for name, array in shapes)


def _sides(array: NDArray[Any]) -> str:
    return "".join(f", {side}" for side in array.shape[1:])


def measure(
    answers: NDArray[Any],
    packed: Callable[[Tensors, int], NDArray[Any]],
    trained: Scorer,
    tensors: Tensors,
    *,
    output: Output,
    limit: float,
    reference: str,
    rows: NDArray[np.intp],
    batches: tuple[int, ...] = BATCHES,
) -> Parity:
    """Compare on ``tensors``, whole and in small batches; raises ``ParityError`` beyond ``limit``.

    ``answers`` are the packed model's, from batches of ``WHOLE``; ``packed(tensors, batch)`` runs it
    again in others. ``rows`` are the positions of ``tensors`` in the baseline, for the error.
    """
    expected = _comparable(trained(tensors), output, "trained")
    if not np.isfinite(expected).all():
        raise PackError("the trained model answers NaN or infinity on the sample. Mend it before packing.")
    found = _comparable(answers, output, "packed")
    if found.shape != expected.shape:
        raise PackError(
            f"the trained model gives {expected.shape[1]} scores per row, the packed one {found.shape[1]}. "
            "Choose the output tensor with tensor=."
        )
    apart = _distance(found, expected, output)
    few = take(tensors, slice(_FEW))
    first = slice(min(_FEW, _count(tensors)))
    for size in batches:
        again = _comparable(packed(few, size), output, "packed")
        apart[first] = np.maximum(apart[first], _distance(again, expected[first], output, expected))
    flips = (
        int((found.argmax(axis=1) != expected.argmax(axis=1)).sum()) if isinstance(output, Classes) else None
    )
    worst = float(apart.max())
    if not worst <= limit:  # NaN is not within any limit
        raise _too_far(apart, limit, reference, rows, flips)
    return Parity(
        reference=reference,
        rows=_count(tensors),
        batches=(*batches, min(WHOLE, _count(tensors))),
        unit="probability" if isinstance(output, Classes) else "relative",
        distance=worst,
        limit=limit,
        flips=flips,
    )


def _comparable(scores: NDArray[Any], output: Output, whose: str) -> NDArray[np.float64]:
    if isinstance(output, Classes):
        return output.probabilities(scores)
    flat = np.asarray(scores, dtype=np.float64).reshape(len(scores), -1)
    if flat.shape[1] != 1:
        raise PackError(f"the {whose} model gives {flat.shape[1]} numbers per row, but Regression() takes 1.")
    return flat


def _distance(
    found: NDArray[np.float64],
    expected: NDArray[np.float64],
    output: Output,
    population: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    apart = np.abs(found - expected)
    if not isinstance(output, Classes):
        spread = float(np.std(expected if population is None else population))
        apart = apart / np.maximum(np.abs(expected), spread or 1.0)
    return np.asarray(apart.max(axis=1))


def _too_far(
    apart: NDArray[np.float64], limit: float, reference: str, rows: NDArray[np.intp], flips: int | None
) -> ParityError:
    order = np.argsort(-np.nan_to_num(apart, nan=np.inf), kind="stable")
    worst = [int(i) for i in order[:_NAMED] if not apart[i] <= limit]
    places = tuple(int(rows[i]) for i in worst)
    distance = float(apart[order[0]])
    beyond = int((~(apart <= limit)).sum())
    flipped = f", {flips} change their most probable label" if flips else ""
    return ParityError(
        f"the packed model answers differently from {reference}: {beyond} of {len(apart)} sample rows are "
        f"more than {limit:.3g} apart, at most {distance:.3g}{flipped}; worst baseline rows: "
        f"{', '.join(map(str, places))}. Look at how these rows are scored by both. If the difference is "
        "acceptable, say so: pack(..., parity_limit=...).",
        rows=places,
        distance=distance,
        limit=limit,
    )

"""A faster arithmetic serves only after it was held against the exact one, on rows whose answers matter.

TF32 keeps 10 bits of a number, bfloat16 7, float16 10 but only up to 65504. Whether that is enough depends
on the weights, so it is measured on the golden rows, and a candidate beyond the bundle's own tolerance is
refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from inprocml.backends.checks import PRECISIONS, check_precision
from inprocml.errors import BackendError, BundleError, ParityError
from inprocml.protocols import Backend
from inprocml.values import Tensors

__all__ = ["Choice", "Variant", "Verdict", "choose"]

_log = logging.getLogger(__name__)

_FASTEST_FIRST: Final = ("bf16", "fp16", "tf32")  # bf16 before fp16: as fast, and it cannot overflow


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to compute a model; ``channels_last`` lays pictures out as tensor cores want them."""

    precision: str = "fp32"
    channels_last: bool = False

    def __str__(self) -> str:
        return f"{self.precision}, channels last" if self.channels_last else self.precision


class Verdict(NamedTuple):
    """The largest absolute difference of a variant from fp32, and why it was refused; "" if it was not."""

    variant: Variant
    distance: float
    refused: str


class Choice(NamedTuple):
    """The backend to serve with, which variant it is, and what was measured on the way."""

    backend: Backend
    variant: Variant
    verdicts: tuple[Verdict, ...]


def choose(
    wanted: str,
    open_variant: Callable[[Variant], Backend],
    rows: Tensors,
    *,
    absolute: float,
    relative: float,
) -> Choice:
    """Open a model in the precision that is ``wanted``, once it answers ``rows`` as fp32 does.

    Answers may be ``absolute + relative * abs(exact)`` apart, as a manifest's golden rows may. "auto" takes
    the fastest variant within that, at last fp32 itself, and says in the log what was refused; a precision
    by its name that is refused raises ``ParityError``. The exact model is closed before another is opened.
    Raises what ``open_variant`` and the fp32 run raise.
    """
    check_precision(wanted, ("auto", *PRECISIONS))
    exact = open_variant(Variant())
    if wanted == "fp32":
        return Choice(exact, Variant(), ())
    try:
        expected = exact.run(rows)
    finally:
        exact.close()
    verdicts: list[Verdict] = []
    for variant in _candidates(wanted, rows):
        backend, verdict, worst = _tried(variant, open_variant, rows, expected, absolute, relative)
        verdicts.append(verdict)
        if backend is not None:
            return Choice(backend, variant, tuple(verdicts))
        _log.warning("precision %s is refused: %s", variant, verdict.refused)
        if wanted != "auto":
            raise ParityError(
                f"precision {wanted!r} is refused: {verdict.refused}; use precision='fp32', or 'auto'",
                rows=worst,
                distance=verdict.distance,
                limit=absolute,
            )
    return Choice(open_variant(Variant()), Variant(), tuple(verdicts))


def _candidates(wanted: str, rows: Tensors) -> Iterator[Variant]:
    if wanted != "auto":
        yield Variant(wanted)
        return
    pictures = any(array.ndim == 4 for array in rows.values())
    for precision in _FASTEST_FIRST:
        if pictures:
            yield Variant(precision, channels_last=True)
        yield Variant(precision)


def _tried(
    variant: Variant,
    open_variant: Callable[[Variant], Backend],
    rows: Tensors,
    expected: Tensors,
    absolute: float,
    relative: float,
) -> tuple[Backend | None, Verdict, tuple[int, ...]]:
    """Open and measure one variant; the backend only if it may serve, and else the rows furthest apart."""
    backend: Backend | None = None
    try:
        backend = open_variant(variant)
        answers = backend.run(rows)
    except (BackendError, BundleError) as error:
        refused = f"it cannot be computed so ({type(error).__name__}: {error})"
        if backend is not None:
            backend.close()
        return None, Verdict(variant, np.inf, refused), ()
    except BaseException:
        if backend is not None:
            backend.close()
        raise
    distance, worst = _apart(answers, expected, absolute, relative)
    if not worst:
        return backend, Verdict(variant, distance, ""), ()
    backend.close()
    refused = (
        f"row {worst[0]} and {len(worst) - 1} more of {len(next(iter(rows.values())))} golden rows are up to "
        f"{distance:.3g} from fp32; allowed are {absolute:.3g} + {relative:.3g} of the value"
    )
    return None, Verdict(variant, distance, refused), worst


def _apart(
    answers: Tensors, expected: Tensors, absolute: float, relative: float
) -> tuple[float, tuple[int, ...]]:
    """Return the largest difference and the rows out of tolerance, worst first; what is no number is far."""
    most, excess = 0.0, np.zeros(0)
    for name, exact in expected.items():
        given = answers[name].astype(np.float64).reshape(len(exact), -1)
        told = exact.astype(np.float64).reshape(len(exact), -1)
        same = (given == told) | (np.isnan(given) & np.isnan(told))
        with np.errstate(invalid="ignore"):
            apart = np.where(same, 0.0, np.abs(given - told))
            beyond = np.where(same, 0.0, apart - absolute - relative * np.abs(told))
        apart, beyond = (np.where(np.isnan(each), np.inf, each) for each in (apart, beyond))
        most = max(most, float(apart.max(initial=0.0)))
        rows = beyond.max(axis=1, initial=0.0)
        excess = rows if not excess.size else np.maximum(excess, rows)
    order = np.argsort(-excess, kind="stable")
    return most, tuple(int(row) for row in order if excess[row] > 0)

"""What every exporter hands back, so that the rest of packing need not know where a model came from."""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from inprocml.errors import PackError
from inprocml.values import FEATURES, Tensors

__all__ = ["INPUT", "OWN_EXPORT", "Exported", "choose_tensor", "quietly"]

INPUT = FEATURES
"""Name of the input of every model of features alone that inprocml exports itself."""

OWN_EXPORT = (
    "Or export it to ONNX yourself, with one float32 [batch, width] input and a free batch axis, and pass "
    "the file as model=."
)
"""The way out for a model that an exporter refuses."""

_LOCK = threading.RLock()
_TALKERS = ("torch", "onnxscript", "onnx_ir", "skl2onnx")


@dataclass(frozen=True, slots=True)
class Exported:
    """A model ready to be packed.

    ``model`` holds the bytes of the file; ``inputs`` maps tensors of the transform to the model's inputs;
    ``outputs`` every output tensor and ``output`` the one to
    decode. ``trained`` gives the trained model's own scores for the transform's tensors, rows first, in
    the meaning of the output tensor; ``None`` when there is no trained model to ask. ``reference``
    names it for people. ``packages`` had a part in the export. ``classes`` are the values the trained
    model was fitted on, in the order of its scores. ``allow_loops`` is what whoever packs has allowed.
    """

    model: bytes
    runtime: Literal["onnx", "torch"]
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    output: str
    trained: Callable[[Tensors], NDArray[Any]] | None
    reference: str
    packages: tuple[str, ...]
    module: str | None = None
    classes: tuple[Any, ...] | None = None
    allow_loops: bool = False


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep an exporter's prints, warnings and log lines from the host, one export at a time.

    ``sys.stdout``, the warning filters and the loggers belong to the process, hence the lock; it is
    held only while an exporter or the trained model runs.
    """
    with (
        _LOCK,
        _loggers_silent(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _loggers_silent() -> Iterator[None]:
    """Take away the exporters' handlers: torch's hold on to the stderr they found at import."""
    families = tuple(f"{family}." for family in _TALKERS)
    names = {
        *_TALKERS,
        *(name for name in list(logging.root.manager.loggerDict) if name.startswith(families)),
    }
    kept = [(logger, logger.handlers, logger.propagate) for logger in map(logging.getLogger, names)]
    try:
        for logger, _, _ in kept:
            # children without handlers stop at their family's head, so nothing reaches the host's root
            logger.handlers = [logging.NullHandler()]
            logger.propagate = False
        yield
    finally:
        for logger, handlers, propagate in kept:
            logger.handlers, logger.propagate = handlers, propagate


def choose_tensor(wanted: str | None, outputs: tuple[str, ...]) -> str:
    """Return the output tensor to decode; raises ``PackError`` that lists those there are."""
    if wanted is None and len(outputs) == 1:
        return outputs[0]
    listed = ", ".join(repr(name) for name in outputs)
    if wanted is None:
        raise PackError(
            f"the model has {len(outputs)} outputs ({listed}). Say which holds the answer: "
            "Classes(..., tensor='name') or Regression(tensor='name')."
        )
    if wanted not in outputs:
        raise PackError(
            f"the model has no output {wanted!r}; it has {listed}. Name one of these with tensor=."
        )
    return wanted

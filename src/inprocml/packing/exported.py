"""What every exporter hands back, so that the rest of packing need not know where a model came from."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from inprocml.errors import PackError
from inprocml.values import Features

__all__ = ["INPUT", "Exported", "choose_tensor", "quietly"]

INPUT = "features"
"""Name of the input tensor of every model that inprocml exports itself."""

_LOCK = threading.RLock()


@dataclass(frozen=True, slots=True)
class Exported:
    """A model ready to be packed.

    ``model`` holds the bytes of the file; ``outputs`` every output tensor and ``output`` the one to
    decode. ``trained`` gives the trained model's own scores for features (rows, width), float32, in
    the meaning of the output tensor; ``None`` when there is no trained model to ask. ``reference``
    names it for people. ``packages`` had a part in the export.
    """

    model: bytes
    runtime: Literal["onnx", "torch"]
    input: str
    outputs: tuple[str, ...]
    output: str
    trained: Callable[[Features], NDArray[Any]] | None
    reference: str
    packages: tuple[str, ...]
    module: str | None = None


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep an exporter's prints and warnings from the host, one export at a time.

    ``sys.stdout`` and the warning filters belong to the process, hence the lock; it is held only while
    an exporter or the trained model runs.
    """
    with (
        _LOCK,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


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
        raise PackError(f"the model has no output {wanted!r}; it has {listed}. Name one of these with tensor=.")
    return wanted

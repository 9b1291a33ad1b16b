"""The reference: ONNX operators computed by plain numpy, slowly.

What the ONNX project itself defines as right, and so what every runtime here is compared with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inprocml.backends.audit import audit_model
from inprocml.errors import BackendFailed, BackendMissing, Corrupt, Unsupported
from inprocml.values import Tensors

__all__ = ["NumpyBackend"]


class NumpyBackend:
    """One ONNX model in ``onnx.reference.ReferenceEvaluator``: for tests and parity, too slow to serve.

    Raises ``Corrupt``, ``Untrusted`` and ``Unsupported`` as ``OnnxBackend`` does, ``BackendMissing`` without
    the ``onnx`` package.
    """

    name = "numpy"
    device = "cpu"

    def __init__(self, model: bytes, *, allow_loops: bool = False) -> None:
        self.mixes = audit_model(model, allow_loops=allow_loops).mixes
        try:
            import onnx
            from onnx.reference import ReferenceEvaluator
        except ImportError as error:
            raise BackendMissing(
                "the onnx package cannot be imported; pip install 'inprocml[reference]'"
            ) from error
        try:
            parsed = onnx.load_from_string(model)
            onnx.checker.check_model(parsed)
        except onnx.checker.ValidationError as error:
            raise _refused(str(error)) from error
        except Exception as error:  # google.protobuf.message.DecodeError, whose package we do not import
            raise Corrupt(
                "the ONNX model is not a well-formed protobuf message; fetch or pack it again"
            ) from error
        newest = onnx.defs.onnx_opset_version()
        if any(
            imported.domain in {"", "ai.onnx"} and imported.version > newest
            for imported in parsed.opset_import
        ):
            raise _refused("opset")  # the evaluator would fall back to the newest operators it knows
        try:
            self._evaluator: Any = ReferenceEvaluator(parsed)
        except (NotImplementedError, RuntimeError) as error:
            raise _refused("No Op registered") from error
        self.inputs = tuple(self._evaluator.input_names)
        self.outputs = tuple(self._evaluator.output_names)

    def run(self, inputs: Tensors) -> Tensors:
        """Compute one batch; what the evaluator raises is let through."""
        if self._evaluator is None:
            raise BackendFailed("the numpy backend is closed; open a new one")
        values = self._evaluator.run(None, dict(inputs))
        for name, value in zip(self.outputs, values, strict=True):
            if not isinstance(value, np.ndarray):
                raise BackendFailed(f"output {name!r} of the ONNX model is no tensor; export without ZipMap")
        # A copy: the evaluator may hand an input through, and the answer is the caller's to keep.
        return {name: np.array(value) for name, value in zip(self.outputs, values, strict=True)}

    def close(self) -> None:
        """Free the model."""
        self._evaluator = None


def _refused(text: str) -> Exception:
    if any(
        sign in text for sign in ("No Op registered", "opset", "IR version", "ir_version", "domain_version")
    ):
        return Unsupported(
            "the onnx package cannot run the model (operator set or operator); upgrade it; see the cause"
        )
    return Corrupt("the ONNX model is not valid; fetch or pack it again, see the cause")

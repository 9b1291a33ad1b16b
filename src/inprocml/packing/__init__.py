"""From a trained model to a bundle, or to other runtimes; build time only, serving never imports this."""

from __future__ import annotations

from inprocml.packing.about import About
from inprocml.packing.pack import pack
from inprocml.packing.transform_onnx import onnx_inputs, transform_to_onnx

__all__ = ["About", "onnx_inputs", "pack", "transform_to_onnx"]

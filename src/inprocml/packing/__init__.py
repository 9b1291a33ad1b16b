"""From a trained model to a bundle; build time only, serving never imports this."""

from __future__ import annotations

from inprocml.packing.pack import pack

__all__ = ["pack"]

"""The artifact on disk: what it must hold, how it is opened, how it is written.

``docs/reference/bundle-format.md`` is the written format.
"""

from __future__ import annotations

from inprocml.bundle.manifest import Manifest, Parity
from inprocml.bundle.outputs import Classes, Output, Regression
from inprocml.bundle.policy import Policy
from inprocml.bundle.read import Bundle

__all__ = ["Bundle", "Classes", "Manifest", "Output", "Parity", "Policy", "Regression"]

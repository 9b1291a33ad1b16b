"""Run a trained model inside your web process: one bundle, no skew, batched, hot-reloadable.

Names are resolved on first use (PEP 562): importing the package loads no framework, no runtime, no numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inprocml.lazy import lazily

if TYPE_CHECKING:
    from inprocml.bundle import Bundle, Classes, Regression
    from inprocml.errors import (
        BackendError,
        BackendFailed,
        BackendMissing,
        BadRequest,
        BodyTooLarge,
        BulkError,
        BundleError,
        CannotResume,
        Corrupt,
        DeadlineExceeded,
        DeviceLost,
        InprocmlError,
        InvalidRow,
        NotReady,
        Overloaded,
        PackError,
        ParityError,
        TransformError,
        Unavailable,
        UnknownVersion,
        Unsupported,
        Untrusted,
        WrongContentType,
    )
    from inprocml.model import Model
    from inprocml.monitoring import DriftReport, Monitoring
    from inprocml.packing import About, pack
    from inprocml.serving import Rollout
    from inprocml.store import Store
    from inprocml.transform import (
        Audio,
        Category,
        Custom,
        Derived,
        Flag,
        Hashed,
        Image,
        Numeric,
        Text,
        Timestamp,
        Transform,
        Vector,
    )
    from inprocml.values import Prediction, Refusal

__version__ = "0.1.0"

_HOME = {
    "About": "inprocml.packing",
    "Audio": "inprocml.transform",
    "Bundle": "inprocml.bundle",
    "Category": "inprocml.transform",
    "Classes": "inprocml.bundle",
    "Custom": "inprocml.transform",
    "Derived": "inprocml.transform",
    "DriftReport": "inprocml.monitoring",
    "Flag": "inprocml.transform",
    "Hashed": "inprocml.transform",
    "Image": "inprocml.transform",
    "Model": "inprocml.model",
    "Monitoring": "inprocml.monitoring",
    "Numeric": "inprocml.transform",
    "Prediction": "inprocml.values",
    "Refusal": "inprocml.values",
    "Regression": "inprocml.bundle",
    "Rollout": "inprocml.serving",
    "Store": "inprocml.store",
    "Text": "inprocml.transform",
    "Timestamp": "inprocml.transform",
    "Transform": "inprocml.transform",
    "Vector": "inprocml.transform",
    "pack": "inprocml.packing",
}

__all__ = [
    "About",
    "Audio",
    "BackendError",
    "BackendFailed",
    "BackendMissing",
    "BadRequest",
    "BodyTooLarge",
    "BulkError",
    "Bundle",
    "BundleError",
    "CannotResume",
    "Category",
    "Classes",
    "Corrupt",
    "Custom",
    "DeadlineExceeded",
    "Derived",
    "DeviceLost",
    "DriftReport",
    "Flag",
    "Hashed",
    "Image",
    "InprocmlError",
    "InvalidRow",
    "Model",
    "Monitoring",
    "NotReady",
    "Numeric",
    "Overloaded",
    "PackError",
    "ParityError",
    "Prediction",
    "Refusal",
    "Regression",
    "Rollout",
    "Store",
    "Text",
    "Timestamp",
    "Transform",
    "TransformError",
    "Unavailable",
    "UnknownVersion",
    "Unsupported",
    "Untrusted",
    "Vector",
    "WrongContentType",
    "__version__",
    "pack",
]

_LAZY = {name: _HOME.get(name, "inprocml.errors") for name in __all__ if name != "__version__"}
__getattr__, __dir__ = lazily(__name__, _LAZY)

"""Who is told of drift: callables of the host, and webhooks; never on the thread that counts.

Names are resolved on first use (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inprocml.monitoring.hooks.line import Hook, Hooks
    from inprocml.monitoring.hooks.signature import EVENT_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, verify
    from inprocml.monitoring.hooks.webhook import Webhook

_HOME = {
    "EVENT_HEADER": "signature",
    "Hook": "line",
    "Hooks": "line",
    "SIGNATURE_HEADER": "signature",
    "TIMESTAMP_HEADER": "signature",
    "Webhook": "webhook",
    "verify": "signature",
}

__all__ = [
    "EVENT_HEADER",
    "SIGNATURE_HEADER",
    "TIMESTAMP_HEADER",
    "Hook",
    "Hooks",
    "Webhook",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value  # the next access skips this function
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

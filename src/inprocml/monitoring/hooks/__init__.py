"""Who is told of drift: callables of the host, and webhooks; never on the thread that counts.

Names are resolved on first use (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inprocml.lazy import lazily

if TYPE_CHECKING:
    from inprocml.monitoring.hooks.line import Hook, Hooks
    from inprocml.monitoring.hooks.signature import EVENT_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, verify
    from inprocml.monitoring.hooks.webhook import Webhook

_HOME = {
    "EVENT_HEADER": "inprocml.monitoring.hooks.signature",
    "Hook": "inprocml.monitoring.hooks.line",
    "Hooks": "inprocml.monitoring.hooks.line",
    "SIGNATURE_HEADER": "inprocml.monitoring.hooks.signature",
    "TIMESTAMP_HEADER": "inprocml.monitoring.hooks.signature",
    "Webhook": "inprocml.monitoring.hooks.webhook",
    "verify": "inprocml.monitoring.hooks.signature",
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

__getattr__, __dir__ = lazily(__name__, _HOME)

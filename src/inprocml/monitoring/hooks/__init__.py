"""Who is told of drift: callables of the host, and webhooks; never on the thread that counts."""

from __future__ import annotations

from inprocml.monitoring.hooks.line import Hook, Hooks
from inprocml.monitoring.hooks.signature import EVENT_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, verify
from inprocml.monitoring.hooks.webhook import Webhook

__all__ = [
    "EVENT_HEADER",
    "SIGNATURE_HEADER",
    "TIMESTAMP_HEADER",
    "Hook",
    "Hooks",
    "Webhook",
    "verify",
]

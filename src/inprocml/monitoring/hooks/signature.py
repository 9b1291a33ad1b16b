"""Who sent a webhook, and when: HMAC-SHA256 over timestamp and body."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Mapping

__all__ = ["EVENT_HEADER", "SIGNATURE_HEADER", "TIMESTAMP_HEADER", "as_secret", "sign", "verify"]

TIMESTAMP_HEADER = "X-Inprocml-Timestamp"
"""When the request was signed: whole seconds since 1970."""
SIGNATURE_HEADER = "X-Inprocml-Signature"
"""``v1=`` and 64 hexadecimal digits; several, with commas between, while a secret is replaced."""
EVENT_HEADER = "X-Inprocml-Event"
"""The event's ``key``, such as ``0f3a...-opened``: the same when a request comes twice."""

_TIME = re.compile(r"[0-9]{1,12}", re.ASCII)
_SHORTEST = 16  # bytes
_MOST = 8  # signatures in one header


def as_secret(secret: str | bytes) -> bytes:
    """Return the key; ``TypeError`` for what is none, ``ValueError`` for one of fewer than 16 bytes."""
    if not isinstance(secret, str | bytes):
        raise TypeError(f"secret must be text or bytes, not {type(secret).__name__}")
    key = secret.encode() if isinstance(secret, str) else secret
    if len(key) < _SHORTEST:
        raise ValueError(
            f"the secret has {len(key)} bytes and must have {_SHORTEST}: use secrets.token_hex(32)"
        )
    return key


def sign(body: bytes, key: bytes, at: int) -> str:
    """Return the value of the signature's header, for a body sent ``at`` seconds since 1970."""
    return "v1=" + hmac.new(key, b"v1:%d:" % at + body, hashlib.sha256).hexdigest()


def verify(
    headers: Mapping[str, str], body: bytes, secret: str | bytes, now: float, *, tolerance: float = 300.0
) -> bool:
    """Return whether ``body`` was signed with ``secret``, not more than ``tolerance`` seconds from ``now``.

    For receivers: ``headers`` as the web framework gives them, names in any case; ``now`` is
    ``time.time()``. Compares in constant time, and never raises for what a request may hold. A request that
    was recorded can be sent again within the tolerance: remember ``X-Inprocml-Event``.
    """
    key = as_secret(secret)
    told = {str(name).lower(): str(value) for name, value in headers.items()}
    stamp = told.get(TIMESTAMP_HEADER.lower(), "")
    if not _TIME.fullmatch(stamp) or not math.isfinite(now) or abs(now - int(stamp)) > tolerance:
        return False
    wanted = sign(body, key, int(stamp)).encode()
    given = told.get(SIGNATURE_HEADER.lower(), "").split(",")[:_MOST]
    sound = [hmac.compare_digest(wanted, each.strip().encode("utf-8", "replace")) for each in given]
    return any(sound)

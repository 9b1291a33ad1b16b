"""An event, posted to a URL: signed, tried again for a while, and never followed elsewhere."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from inprocml.monitoring.hooks.signature import (
    EVENT_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    as_secret,
    sign,
)
from inprocml.monitoring.verdict import DriftEvent
from inprocml.native import lock_maker

if TYPE_CHECKING:
    import http.client

__all__ = ["Webhook"]

_log = logging.getLogger(__name__)

_PAUSES = (1.0, 4.0, 16.0)  # seconds between attempts
_AGAIN = {408, 425, 429}  # and all of 500: the receiver may do better later
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_HEAD = 1024  # bytes of an answer that are read: its status is in the first line


class Webhook:
    """Posts each event as JSON to ``url``; give it to ``Monitoring(on_drift=...)``.

    ``secret`` signs timestamp and body, see ``verify``; 16 bytes at least. ``timeout`` is in seconds, for one
    attempt as a whole. An answer of 2xx is success; after 408, 425, 429, 5xx or no answer it is tried again,
    after each of the ``pauses``, in seconds. Redirects are not followed and proxies not asked. ``http:`` is
    for this machine alone, unless ``allow_http``. Calling it never raises; ``delivered`` and ``failed`` count
    events, and the log says the first failure, without the URL's path. Raises ``ValueError`` or ``TypeError``
    for a URL or a secret that cannot be one, never repeating it.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | bytes,
        timeout: float = 10.0,
        allow_http: bool = False,
        pauses: Sequence[float] = _PAUSES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        import ssl

        limit: object = timeout
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit < math.inf:
            raise ValueError(f"timeout is {timeout!r} and must be a finite number of seconds, more than 0")
        self._parts = _parts(url, allow_http=allow_http)
        self._key = as_secret(secret)
        self._timeout = float(limit)
        self._pauses = tuple(float(pause) for pause in pauses)
        self._clock = clock
        self._tls = ssl.create_default_context() if self._parts.scheme == "https" else None
        self.delivered = 0
        self.failed = 0

    def __repr__(self) -> str:
        return f"Webhook('{self._parts.scheme}://{self._parts.hostname}/...')"

    def __call__(self, event: DriftEvent) -> None:
        """Post it, and try again for a while; returns when that is decided."""
        try:
            why = self._deliver(event)
        except Exception as error:  # noqa: BLE001 - told below, less what might repeat a secret
            why = type(error).__name__
        if why is None:
            self.delivered += 1
            return
        self.failed += 1
        if self.failed == 1:
            _log.warning("%r failed: %s; further failures are only counted", self, why)

    def _deliver(self, event: DriftEvent) -> str | None:
        """Return why it could not be delivered; None where it was."""
        import http.client

        body = event.to_json().encode("ascii")
        why = "it was not tried"
        for pause in (0.0, *self._pauses):
            _wait(pause)
            try:
                status = self._post(body, event.key)
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = f"no answer ({type(error).__name__})"
                continue
            if 200 <= status < 300:
                return None
            why = f"the answer was {status}"
            if status < 500 and status not in _AGAIN:
                return why
        return why

    def _post(self, body: bytes, name: str) -> int:
        """Return the status of one attempt; what goes wrong on the way passes through."""
        import http.client

        until = time.monotonic() + self._timeout
        host, port = self._parts.hostname or "", self._parts.port
        connection = (
            http.client.HTTPConnection(host, port, timeout=self._timeout)
            if self._tls is None
            else http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        )
        at = int(self._clock())
        headers = {
            "Content-Type": "application/json",
            "Connection": "close",
            "User-Agent": "inprocml",
            TIMESTAMP_HEADER: str(at),
            SIGNATURE_HEADER: sign(body, self._key, at),
            EVENT_HEADER: name,
        }
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        try:
            connection.connect()
            connection.sock.settimeout(max(until - time.monotonic(), 0.001))
            connection.request("POST", target, body, headers)
            return _status(connection, until)
        finally:
            connection.close()


def _status(connection: http.client.HTTPConnection, until: float) -> int:
    """Read the first line of the answer, and no more than it takes; a receiver may drip for ever."""
    from http.client import BadStatusLine

    head = b""
    while b"\n" not in head and len(head) < _HEAD:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        connection.sock.settimeout(left)
        came = connection.sock.recv(_HEAD)
        if not came:
            break
        head += came
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise BadStatusLine("no HTTP")
    return int(rest[:3])


def _parts(url: object, *, allow_http: bool) -> SplitResult:
    if not isinstance(url, str):
        raise TypeError(f"url must be text, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and (parts.port is None or parts.port > 0) and url.isascii()
    except ValueError:
        sound = False
    if not sound or not url.isprintable() or " " in url or parts.scheme not in {"http", "https"}:
        raise ValueError("url is no URL of a webhook: give https://host/path, in ASCII")
    if parts.username is not None or parts.fragment:
        raise ValueError("url holds a user or a fragment; the signature says who sends: leave these out")
    if parts.scheme == "http" and not allow_http and parts.hostname not in _LOCAL:
        raise ValueError(
            f"url goes to {parts.hostname} in the clear: use https, or allow_http=True in a network you trust"
        )
    return parts


def _wait(seconds: float) -> None:
    if seconds > 0:  # a native lock: also where greenlets were put in place of threads
        bell = lock_maker()()
        bell.acquire()
        bell.acquire(timeout=seconds)

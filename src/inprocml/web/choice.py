"""Which version a request asks for: the header a view may honour."""

from __future__ import annotations

from inprocml.errors import BadRequest

__all__ = ["VERSION_HEADER", "check_offered"]

VERSION_HEADER = "X-Model-Version"


def check_offered(wanted: str | None, offered: tuple[str, ...]) -> str | None:
    """Return the version that the header's value asks for, ``None`` for none.

    Raises ``BadRequest`` for one that is not offered; which there are is no affair of the client's.
    """
    if wanted is None or wanted in offered:
        return wanted
    raise BadRequest(f"{VERSION_HEADER} names a version that is not offered here; leave the header out")

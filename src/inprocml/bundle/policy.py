"""What the host demands of a bundle; nothing in a bundle can change it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

__all__ = ["Policy", "key_bytes", "key_text"]

_KIND: Final = "ed25519:"
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a bundle must fulfil before it is used, judged where it is written.

    ``trusted_keys`` are public keys as text, ``"ed25519:<base64>"``: a signature by one of them must be right
    wherever there is one. ``require_signature`` demands at least one; without it, unsigned bundles pass.
    ``allow_loops`` lets models loop (``Loop``, ``Scan``, ``If``), which no check before running can bound.
    Raises ``TypeError`` and ``ValueError`` that name the argument.
    """

    require_signature: bool = False
    trusted_keys: Collection[str] = ()
    allow_loops: bool = False

    def __post_init__(self) -> None:
        for name in ("require_signature", "allow_loops"):
            if not isinstance(getattr(self, name), bool):  # "no" would count as yes
                raise TypeError(f"{name} must be True or False, not {type(getattr(self, name)).__name__}")
        given: object = self.trusted_keys
        if not isinstance(given, tuple | list | set | frozenset):  # one text is a sequence too, of letters
            raise TypeError(
                f"trusted_keys must be a list of keys, not {type(given).__name__}: ['ed25519:...']"
            )
        keys = tuple(given)
        for key in keys:
            key_bytes(key)
        if self.require_signature and not keys:
            raise ValueError("require_signature needs trusted_keys: whose signature is it to be?")
        object.__setattr__(self, "trusted_keys", tuple(dict.fromkeys(keys)))


def key_text(public: bytes) -> str:
    """Return the text form of a public key of 32 bytes."""
    return _KIND + base64.b64encode(public).decode("ascii")


def key_bytes(key: object) -> bytes:
    """Return the 32 bytes of a public key as text; raises ``TypeError`` or ``ValueError``."""
    if not isinstance(key, str):
        raise TypeError(f"a public key is text, 'ed25519:<base64>', not {type(key).__name__}")
    try:
        public = base64.b64decode(key.removeprefix(_KIND).encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        public = b""
    if len(public) != _KEY_BYTES or key_text(public) != key:
        # not shown: it may be a private key, pasted in the wrong place
        raise ValueError(
            f"a text of {len(key)} characters is no public key: 'ed25519:' and the base64 of 32 bytes. Take "
            "the text that inprocml.bundle.signing.new_key returned."
        )
    return public

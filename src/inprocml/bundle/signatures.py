"""``signature.json``: who vouches for a bundle, and whether the host's policy is content with that.

A signature is Ed25519 (RFC 8032) over a fixed prefix and the exact bytes of ``manifest.json``, whose digests
cover every other file, and whose members say the name, the version and the format: none of them can be
exchanged under a signature.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inprocml.bundle.manifest import SIGNATURE
from inprocml.bundle.policy import Policy, key_bytes
from inprocml.errors import BackendMissing, Corrupt, Unsupported, Untrusted
from inprocml.schema import parse
from inprocml.schema.canonical import canonical
from inprocml.schema.sound import first_issue

__all__ = [
    "DOMAIN",
    "MOST_SIGNATURES",
    "holds",
    "no_cryptography",
    "read_signatures",
    "signers",
    "spell_signatures",
]

DOMAIN: Final = b"inprocml-bundle-signature-v1\n"
"""Begins every signed message, so that a signature made for anything else says nothing of a bundle."""

MOST_SIGNATURES: Final = 16
_FORMAT_VERSION: Final = 1
_SIGN_AGAIN = f"Delete {SIGNATURE} and sign the bundle again."
_SHOWN = 3

Text: TypeAlias = Annotated[str, Field(max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Signature(_Strict):
    key: Text
    signature: Text


class _Signatures(_Strict):
    format: Literal["inprocml-signature"] = "inprocml-signature"
    format_version: Literal[1] = _FORMAT_VERSION
    signatures: Annotated[tuple[_Signature, ...], Field(min_length=1, max_length=MOST_SIGNATURES)]


def spell_signatures(signatures: Mapping[str, bytes]) -> bytes:
    """Return the bytes of ``signature.json`` for key -> signature of 64 bytes."""
    listed = tuple(
        _Signature(key=key, signature=base64.b64encode(made).decode("ascii"))
        for key, made in sorted(signatures.items())
    )
    return canonical(_Signatures(signatures=listed).model_dump(mode="json"))


def read_signatures(content: bytes, *, where: str) -> dict[str, bytes]:
    """Return key -> signature; nothing is verified yet.

    Raises ``Corrupt`` for what ``spell_signatures`` would not write, ``Unsupported`` for a newer format.
    """
    document = parse(content, what=where)
    told = document.get("format_version") if isinstance(document, dict) else None
    if type(told) is int and told > _FORMAT_VERSION:
        raise Unsupported(
            f"{where}: signature format {told}. Upgrade inprocml (pip install --upgrade inprocml)."
        )
    try:
        listed = _Signatures.model_validate_json(content).signatures
        found = {entry.key: _decoded(entry) for entry in listed}
    except ValidationError as error:
        raise Corrupt(f"{where}: {first_issue(error)}. {_SIGN_AGAIN}") from error
    except (ValueError, binascii.Error) as error:
        raise Corrupt(f"{where}: holds what is no key or no signature of Ed25519. {_SIGN_AGAIN}") from error
    if spell_signatures(found) != content:
        raise Corrupt(f"{where}: names a key twice, or is not in canonical form. {_SIGN_AGAIN}")
    return found


def signers(manifest: bytes, signature: bytes | None, policy: Policy, *, where: str) -> tuple[str, ...]:
    """Return the trusted keys that signed ``manifest``, in the order of ``policy.trusted_keys``.

    ``signature`` are the bytes of ``signature.json``, None without. Raises ``Untrusted`` unless ``policy`` is
    fulfilled, and for a wrong signature by a trusted key in any case; ``Corrupt`` for a file that is none;
    ``BackendMissing`` where the library that verifies is not installed.
    """
    given = {} if signature is None else read_signatures(signature, where=f"{where}: {SIGNATURE}")
    trusted = tuple(key for key in policy.trusted_keys if key in given)
    for key in trusted:
        if not holds(key, given[key], manifest):
            raise Untrusted(
                f"{where}: the signature by {key} is not for this manifest: one of the two was exchanged or "
                "edited. Take the bundle from where it was signed again."
            )
    if policy.require_signature and not trusted:
        by = f"signed only by {', '.join(sorted(given)[:_SHOWN])}" if given else "not signed"
        raise Untrusted(
            f"{where}: {by}, and the policy requires a signature by one of its {len(policy.trusted_keys)} "
            "trusted keys. Sign it with one of them (inprocml.bundle.signing.sign), or trust its key."
        )
    return trusted


def holds(key: str, signature: bytes, manifest: bytes) -> bool:
    """Say whether ``signature`` is that of ``key`` for ``manifest``."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise no_cryptography() from error
    try:
        Ed25519PublicKey.from_public_bytes(key_bytes(key)).verify(signature, DOMAIN + manifest)
    except (InvalidSignature, ValueError):
        return False
    return True


def no_cryptography() -> BackendMissing:
    """Return the error that says what to install."""
    return BackendMissing("signatures need the cryptography package: pip install 'inprocml[sign]'")


def _decoded(entry: _Signature) -> bytes:
    key_bytes(entry.key)
    made = base64.b64decode(entry.signature.encode("ascii"), validate=True)
    if len(made) != 64:
        raise ValueError("a signature has 64 bytes")
    return made

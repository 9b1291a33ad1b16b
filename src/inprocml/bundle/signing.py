"""Signing bundles, and asking who signed: ``new_key``, ``save_key``, ``sign``, ``verify``.

Keys are Ed25519. A private key is a PEM file (PKCS 8, with a password if you like); a public key is one line
of text, ``ed25519:<base64>``, for the ``Policy`` of whoever loads. Needs ``pip install 'inprocml[sign]'``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from inprocml.bundle.archive import spell
from inprocml.bundle.folder import CAPS
from inprocml.bundle.manifest import SIGNATURE
from inprocml.bundle.parts import bundle_path, read_parts
from inprocml.bundle.place import place_file
from inprocml.bundle.policy import Policy, key_text
from inprocml.bundle.save import all_files
from inprocml.bundle.signatures import (
    DOMAIN,
    MOST_SIGNATURES,
    holds,
    no_cryptography,
    read_signatures,
    signers,
    spell_signatures,
)
from inprocml.errors import PackError, Untrusted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["new_key", "save_key", "sign", "verify"]

StrPath = str | os.PathLike[str]


def new_key(*, password: str | None = None) -> tuple[bytes, str]:
    """Return a new private key as PEM, encrypted if there is a ``password``, and its public key as text."""
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise no_cryptography() from error
    key = Ed25519PrivateKey.generate()
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        if not password:
            raise ValueError("password is empty; leave it out for a key without one")
        locked = serialization.BestAvailableEncryption(password.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    return pem, _public(key)


def save_key(path: StrPath, private_key: bytes) -> None:
    """Write a private key to the new file ``path``, readable by its owner alone (mode 0600).

    Raises ``PackError`` when the file exists or cannot be written.
    """
    place_file(Path(path), [private_key], mode=0o600)


def sign(path: StrPath, private_key: bytes, *, password: str | None = None) -> str:
    """Sign the bundle at ``path``, a folder or a single file, and return the public key as text.

    Every digest is checked first. The signature joins those of other keys and takes the place of this key's
    own; the bundle's digest stays. A folder gets the file ``signature.json``, a single file is written anew;
    either is done in one step. Raises ``BundleError`` for a bundle that is not sound, and ``PackError`` for a
    key that is none, a wrong password, a seventeenth signature, or a disk that refuses.
    """
    key = _private(private_key, password)
    parts = read_parts(bundle_path(path), lambda *_: None)
    where = f"{path}: {SIGNATURE}"
    given = {} if parts.signature is None else read_signatures(parts.signature, where=where)
    given[_public(key)] = key.sign(DOMAIN + parts.spelt)
    if len(given) > MOST_SIGNATURES:
        raise PackError(f"{where}: {MOST_SIGNATURES} signatures are the most. Delete the file and sign anew.")
    spelt = spell_signatures(given)
    assert len(spelt) <= CAPS[SIGNATURE]
    target = Path(path).resolve()  # a link to a bundle stays a link
    if target.is_dir():
        place_file(target / SIGNATURE, [spelt], replace=True, beside=target)
    else:
        place_file(target, spell(all_files(parts) | {SIGNATURE: spelt}), replace=True)
    return _public(key)


def verify(path: StrPath, *, policy: Policy | None = None) -> tuple[str, ...]:
    """Check every digest and signature of the bundle at ``path``; return the keys that signed it.

    With a ``policy``, those of its ``trusted_keys``, and ``Untrusted`` unless it is fulfilled. Without, every
    key there is, whoever's: that a signature is right says nothing of whom it belongs to. ``Untrusted`` for a
    wrong signature, ``BundleError`` for a bundle that is not sound. The model is not loaded.
    """
    parts = read_parts(bundle_path(path), lambda *_: None)
    if policy is not None:
        return signers(parts.spelt, parts.signature, policy, where=str(path))
    given = {} if parts.signature is None else read_signatures(parts.signature, where=f"{path}: {SIGNATURE}")
    for key, signature in given.items():
        if not holds(key, signature, parts.spelt):
            raise Untrusted(
                f"{path}: the signature by {key} is not for this manifest. Take the bundle from where it was "
                "signed again, or sign it anew."
            )
    return tuple(given)


def _private(pem: bytes, password: str | None) -> Ed25519PrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise no_cryptography() from error
    try:
        key = serialization.load_pem_private_key(pem, None if password is None else password.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):  # its message may quote the key
        raise PackError(
            "the private key cannot be read: it is no PEM, or its password is missing or wrong. Give the "
            "bytes that inprocml.bundle.signing.new_key returned."
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PackError(f"the private key is {type(key).__name__}, not Ed25519. Make one with new_key.")
    return key


def _public(key: Ed25519PrivateKey) -> str:
    return key_text(key.public_key().public_bytes_raw())

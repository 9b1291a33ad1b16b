"""``keygen`` and ``sign``: keys and signatures. A password comes from a file, never from the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from inprocml.cli.output import Commands, show_text

__all__ = ["declare"]

_CAP = 1 << 16  # bytes of a key or password file


def declare(commands: Commands) -> None:
    """Add the commands of this group."""
    keygen = commands.add_parser("keygen", help="make a key to sign with")
    keygen.add_argument("file", metavar="FILE", help="new file for the private key, readable by you alone")
    keygen.add_argument("--password-file", metavar="FILE", help="its first line encrypts the key")
    keygen.set_defaults(run=_keygen)

    sign = commands.add_parser("sign", help="sign a bundle")
    sign.add_argument("bundle", metavar="BUNDLE", help="its folder or file")
    sign.add_argument("--key", metavar="FILE", required=True, help="the private key that keygen wrote")
    sign.add_argument("--password-file", metavar="FILE", help="its first line decrypts the key")
    sign.set_defaults(run=_sign)


def _keygen(given: argparse.Namespace) -> int:
    from inprocml.bundle.signing import new_key, save_key

    private, public = new_key(password=_password(given))
    save_key(given.file, private)
    show_text(public)
    return 0


def _sign(given: argparse.Namespace) -> int:
    from inprocml.bundle.signing import sign

    public = sign(given.bundle, _head(given.key), password=_password(given))
    show_text(f"signed by {public}")
    return 0


def _password(given: argparse.Namespace) -> str | None:
    if given.password_file is None:
        return None
    lines = _head(given.password_file).decode("utf-8").splitlines()
    if not lines or not lines[0]:
        raise ValueError(f"{given.password_file}: its first line is empty; write the password there")
    return lines[0]


def _head(path: str) -> bytes:
    with Path(path).open("rb") as stream:
        return stream.read(_CAP)

"""``--key`` and ``--require-signature``: what the host demands of a bundle, the same for every command."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inprocml.bundle import Policy

__all__ = ["policy_of", "with_policy"]


def with_policy(command: argparse.ArgumentParser) -> None:
    """Give a command the arguments of a policy."""
    command.add_argument(
        "--key", action="append", default=[], help="a key to trust: ed25519:...; may be repeated"
    )
    command.add_argument("--require-signature", action="store_true", help="refuse what no --key has signed")


def policy_of(given: argparse.Namespace) -> Policy:
    """Return the policy that the arguments make; ``ValueError`` for keys that are none."""
    from inprocml.bundle import Policy

    return Policy(require_signature=given.require_signature, trusted_keys=tuple(given.key))

"""``show`` and ``verify``: one bundle, a folder or a single file, or a version of a store."""

from __future__ import annotations

import argparse

from inprocml.cli.output import Commands, show_json, show_text, with_json
from inprocml.cli.place import PLACE, open_bundle
from inprocml.cli.policy import policy_of, with_policy

__all__ = ["declare"]


def declare(commands: Commands) -> None:
    """Add the commands of this group."""
    show = commands.add_parser("show", help="print the card of a bundle")
    show.add_argument("bundle", metavar="BUNDLE", help=PLACE)
    show.set_defaults(run=_show)

    verify = commands.add_parser("verify", help="check every digest and signature of a bundle")
    verify.add_argument("bundle", metavar="BUNDLE", help=PLACE)
    with_policy(verify)
    with_json(verify)
    verify.set_defaults(run=_verify)


def _show(given: argparse.Namespace) -> int:
    show_text(open_bundle(given.bundle).card)
    return 0


def _verify(given: argparse.Namespace) -> int:
    from inprocml.bundle.signing import verify

    bundle = open_bundle(given.bundle, policy_of(given))
    # without keys to trust, the signatures must be right all the same, whoever made them
    signed = bundle.signed_by if given.key else verify(bundle.path)
    if given.json:
        show_json(
            {
                "name": bundle.name,
                "version": bundle.version,
                "digest": bundle.digest,
                "signed_by": list(signed),
                "trusted": bool(given.key and signed),
            }
        )
        return 0
    show_text(f"{bundle.name} {bundle.version} is sound: {bundle.digest}")
    of_whom = "a trusted key" if given.key else "a key that nobody said to trust"
    show_text("\n".join(f"signed by {key}, {of_whom}" for key in signed) or "not signed")
    return 0

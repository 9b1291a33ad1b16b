"""``versions``, ``history`` and ``diff``: what a store holds and what became of it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from inprocml.cli.output import Commands, show_json, show_table, show_text, with_json

if TYPE_CHECKING:
    from inprocml.store import Entry, StoredVersion

__all__ = ["declare", "entry_document", "entry_line"]

_METRICS = 4


def declare(commands: Commands) -> None:
    """Add the commands of this group."""
    listing = commands.add_parser("versions", help="list the versions of a store")
    listing.add_argument("store", metavar="STORE", help="the store's folder")
    listing.add_argument("--order-by", metavar="WHAT", help="created, size or a metric; the greatest first")
    listing.add_argument("--ascending", action="store_true", help="the smallest first")
    with_json(listing)
    listing.set_defaults(run=_versions)

    history = commands.add_parser("history", help="who moved which alias, when and why")
    history.add_argument("store", metavar="STORE", help="the store's folder")
    history.add_argument("--alias", help="of this alias only")
    with_json(history)
    history.set_defaults(run=_history)

    diff = commands.add_parser("diff", help="what one version has over another")
    diff.add_argument("store", metavar="STORE", help="the store's folder")
    diff.add_argument("old", metavar="OLD", help="a name, an alias or the beginning of a digest")
    diff.add_argument("new", metavar="NEW", help="a name, an alias or the beginning of a digest")
    with_json(diff)
    diff.set_defaults(run=_diff)


def _versions(given: argparse.Namespace) -> int:
    from inprocml.store import Store

    found = Store(given.store).versions(order_by=given.order_by, ascending=given.ascending)
    if given.json:
        show_json([_document(version) for version in found])
        return 0
    names = [given.order_by] if given.order_by not in {None, "created", "size"} else []
    names += [name for name in dict.fromkeys(name for v in found for name in v.metrics) if name not in names]
    head = ("version", "digest", "created", "size", *names[:_METRICS], "aliases")
    show_table(head, [_line(version, names[:_METRICS]) for version in found])
    for version in found:
        if version.broken:
            show_text(f"{version.name} is broken: {version.broken}")
    return 0


def _line(version: StoredVersion, metrics: list[str]) -> list[str]:
    if version.broken:
        return [version.name, "broken", *["-"] * (3 + len(metrics))]
    figures = [f"{version.metrics[name]:.6g}" if name in version.metrics else "-" for name in metrics]
    created = f"{version.created:%Y-%m-%dT%H:%M:%SZ}"
    return [
        version.name,
        version.digest[:19],
        created,
        f"{version.size:,}",
        *figures,
        ", ".join(version.aliases),
    ]


def _document(version: StoredVersion) -> dict[str, Any]:
    return {
        "version": version.name,
        "path": str(version.path),
        "digest": version.digest or None,
        "created": version.created.isoformat() if version.created else None,
        "size": version.size,
        "metrics": dict(version.metrics),
        "aliases": list(version.aliases),
        "broken": version.broken or None,
    }


def _history(given: argparse.Namespace) -> int:
    from inprocml.store import Store

    entries = Store(given.store).history(given.alias)
    if given.json:
        show_json([entry_document(entry) for entry in entries])
    else:
        head = ("serial", "when", "who", "action", "alias", "version", "digest", "why")
        show_table(head, [entry_line(entry) for entry in entries])
    return 0


def entry_line(entry: Entry) -> list[str]:
    """Return the cells of one move."""
    document = entry_document(entry)
    version = document["version"] or "-"
    if document["share"] is not None:
        version += f" at {document['share']:.0%}"
    digest = (document["digest"] or "-")[:19]
    return [str(entry.serial), entry.when, entry.who, entry.action, entry.alias, version, digest, entry.why]


def entry_document(entry: Entry) -> dict[str, Any]:
    """Return one move as JSON."""
    target = entry.target
    return {
        "serial": entry.serial,
        "when": entry.when,
        "who": entry.who,
        "why": entry.why,
        "action": entry.action,
        "alias": entry.alias,
        "version": target.version if target else None,
        "digest": target.digest if target else None,
        "share": entry.trials[entry.alias].share if entry.action == "trial" else None,
    }


def _diff(given: argparse.Namespace) -> int:
    from inprocml.store import Store

    found = Store(given.store).diff(given.old, given.new)
    if not given.json:
        show_text(repr(found))
        return 0
    show_json(
        {
            "old": _document(found.old),
            "new": _document(found.new),
            "rows": found.transform.rows,
            "fields": {
                name: {"verdict": field.verdict, "reasons": list(field.reasons)}
                for name, field in found.transform.fields.items()
            },
            "same_features": found.transform.same_features,
            "same_layout": found.transform.same_layout,
            "output": list(found.output),
            "metrics": {name: list(pair) for name, pair in found.metrics.items()},
            "packages": {name: list(pair) for name, pair in found.packages.items()},
            "provenance": {name: list(pair) for name, pair in found.provenance.items()},
            "parity": list(found.parity),
            "size": list(found.size),
        }
    )
    return 0

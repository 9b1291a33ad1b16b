"""``promote``, ``rollback``, ``trial`` and ``remove``: what an alias is to mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from inprocml.cli.output import Commands, show_json, show_text, with_json
from inprocml.cli.policy import policy_of, with_policy
from inprocml.cli.versions import entry_document

if TYPE_CHECKING:
    from inprocml.store import Entry

__all__ = ["declare"]


def declare(commands: Commands) -> None:
    """Add the commands of this group."""
    promote = commands.add_parser("promote", help="let an alias mean a version")
    promote.add_argument("store", metavar="STORE", help="the store's folder")
    promote.add_argument("version", metavar="VERSION", help="a name, an alias or the beginning of a digest")
    promote.add_argument("--alias", default="production", help="default: %(default)s")
    with_policy(promote)
    _told(promote)
    promote.set_defaults(run=_promote)

    rollback = commands.add_parser("rollback", help="let an alias mean what it meant before its last move")
    rollback.add_argument("store", metavar="STORE", help="the store's folder")
    rollback.add_argument("--alias", default="production", help="default: %(default)s")
    with_policy(rollback)
    _told(rollback)
    rollback.set_defaults(run=_rollback)

    trial = commands.add_parser("trial", help="set the share of requests that a candidate answers")
    trial.add_argument("store", metavar="STORE", help="the store's folder")
    trial.add_argument("version", metavar="VERSION", help="a name, an alias or the beginning of a digest")
    trial.add_argument("share", metavar="SHARE", type=float, help="from 0 (taken back) to 1")
    trial.add_argument("--alias", default="production", help="default: %(default)s")
    with_policy(trial)
    _told(trial)
    trial.set_defaults(run=_trial)

    remove = commands.add_parser("remove", help="let an alias mean nothing; no version is deleted")
    remove.add_argument("store", metavar="STORE", help="the store's folder")
    remove.add_argument("alias", metavar="ALIAS")
    _told(remove)
    remove.set_defaults(run=_remove)


def _told(command: argparse.ArgumentParser) -> None:
    command.add_argument("--why", default="", help="the reason, for the history")
    command.add_argument("--who", help="default: user@host")
    with_json(command)


def _promote(given: argparse.Namespace) -> int:
    from inprocml.store import Store

    store = Store(given.store, policy=policy_of(given))
    return _show(store.promote(given.version, alias=given.alias, why=given.why, who=given.who), given)


def _rollback(given: argparse.Namespace) -> int:
    from inprocml.store import Store

    store = Store(given.store, policy=policy_of(given))
    return _show(store.rollback(alias=given.alias, why=given.why, who=given.who), given)


def _trial(given: argparse.Namespace) -> int:
    from inprocml.store import Store

    store = Store(given.store, policy=policy_of(given))
    why, who = given.why, given.who
    entry = store.trial(given.version, given.share, alias=given.alias, why=why, who=who)
    if given.json:
        show_json(entry_document(entry))
    else:
        tried = entry.trials[given.alias]
        what = f"version {tried.version} is to answer {tried.share:g} of {given.alias}"
        show_text(f"{what}, in processes that try it (entry {entry.serial})")
    return 0


def _remove(given: argparse.Namespace) -> int:
    from inprocml.store import Store

    return _show(Store(given.store).remove(given.alias, why=given.why, who=given.who), given)


def _show(entry: Entry | None, given: argparse.Namespace) -> int:
    if given.json:
        show_json(entry and entry_document(entry))
    elif entry is None:
        show_text(f"{given.alias} means {given.version} already")
    elif entry.target is None:
        show_text(f"{entry.alias} means nothing now (entry {entry.serial})")
    else:
        meant = f"version {entry.target.version} ({entry.target.digest[:19]})"
        show_text(f"{entry.alias} means {meant} now (entry {entry.serial})")
    return 0

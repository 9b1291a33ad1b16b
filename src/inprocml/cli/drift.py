"""``drift``, ``quality`` and ``watch``: what the servers of this host have counted, and what to do."""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from inprocml.cli.following import Followed, with_counts
from inprocml.cli.output import Commands, plain, show_json, show_text, with_json
from inprocml.errors import BundleError, InprocmlError

if TYPE_CHECKING:
    from inprocml.cli.episodes import Episodes
    from inprocml.monitoring import DriftEvent, DriftReport, Known, QualityReport

__all__ = ["declare"]

_DRIFT, _FAILED = 3, 4  # exit codes beside those of all commands


def declare(commands: Commands) -> None:
    """Add the commands of this group."""
    drift = commands.add_parser("drift", help="report on the rows that were served; 3 if they drifted")
    with_counts(drift)
    drift.add_argument("--reference", choices=("train", "live"), default="train", help="default: %(default)s")
    drift.add_argument("--html", metavar="FILE", help="write one self-contained page as well")
    with_json(drift)
    drift.set_defaults(run=_drift)

    quality = commands.add_parser("quality", help="report on what labels said; 3 if answers are worse now")
    with_counts(quality, budget=False)
    quality.add_argument("--html", metavar="FILE", help="write one self-contained page as well")
    with_json(quality)
    quality.set_defaults(run=_quality)

    watch = commands.add_parser("watch", help="run a command at each new episode of drift")
    with_counts(watch)
    watch.add_argument("--once", action="store_true", help="look once: 0 nothing new, 3 drift, 4 it failed")
    watch.add_argument(
        "--every", type=float, default=5.0, metavar="SECONDS", help="between looks (default: %(default)s)"
    )
    with_json(watch)
    watch.add_argument(
        "--on-drift",
        metavar="COMMAND",
        nargs=argparse.REMAINDER,
        default=[],
        help="with its arguments, the last option; no shell; the event is JSON on its standard input",
    )
    watch.set_defaults(run=_watch)


def _drift(given: argparse.Namespace) -> int:
    from inprocml.model.watched import report_of
    from inprocml.monitoring import Reference

    followed = Followed(given)
    version, reference = followed.bundle.version, Reference(given.reference)
    report = followed.ask(lambda known: report_of(known, followed.model, version, reference))
    if report is None:
        raise BundleError(
            f"{followed.folder} has no counts of {followed.model} {version}. Serve rows with "
            "Monitoring(folder=...) set to it, and give --name if the model has another name there."
        )
    return _shown(report, given)


def _quality(given: argparse.Namespace) -> int:
    followed = Followed(given)
    report = followed.heard()
    if report is None:
        raise BundleError(
            f"{followed.folder} has no labels of {followed.model} {followed.bundle.version}. Serve rows with "
            "Monitoring(folder=...) set to it, and give --name if the model has another name there."
        )
    return _shown(report, given)


def _shown(report: DriftReport | QualityReport, given: argparse.Namespace) -> int:
    from inprocml.monitoring.verdict import State

    if given.html is not None:
        Path(given.html).write_text(report.html(), encoding="utf-8")
    if given.json:
        show_json(report.to_dict())
    else:
        show_text(report.text(max(40, shutil.get_terminal_size().columns)))
    return _DRIFT if report.state is State.DRIFT else 0


def _watch(given: argparse.Namespace) -> int:
    from inprocml.cli.episodes import Episodes

    if not 0 < given.every <= 86_400:
        raise ValueError(f"--every {given.every:g}: give seconds, more than 0 and a day at most")
    followed, command = Followed(given), given.on_drift
    with Episodes(followed.folder, followed.model, given.model) as episodes:
        code = _look(followed, episodes, command, given)  # what is wrong with the arguments ends it here
        while not given.once:
            threading.Event().wait(given.every)
            try:
                _look(followed, episodes, command, given)
            except (InprocmlError, OSError, ValueError) as error:  # a store that is being moved, a full disk
                _tell(f"this look failed: {type(error).__name__}: {error}")
    return code


def _look(followed: Followed, episodes: Episodes, command: list[str], given: argparse.Namespace) -> int:
    """Run the command for what is new; return the exit code of ``--once``."""
    ended, opened = followed.ask(_episodes, decide=True) or ((), ())
    worse = followed.worse()
    told = opened if worse is None else (*opened, worse)
    code = 0
    for event in episodes.new(followed.bundle.version, ended, told):
        _show(event, given)
        code = max(code, _DRIFT if episodes.run(command, event, quiet=given.json) == 0 else _FAILED)
    return code


def _episodes(known: Known) -> tuple[tuple[DriftEvent, ...], tuple[DriftEvent, ...]]:
    """Return the last episodes that are over, and those that are on."""
    alarm = known.evaluation.alarm
    return alarm.ended(known.now), alarm.episodes()


def _show(event: DriftEvent, given: argparse.Namespace) -> None:
    if given.json:
        sys.stdout.write(event.to_json() + "\n")
    else:
        over = ", over" if event.action == "closed" else ""
        what = f"drift of {event.model} {event.version} ({event.reference}{over}), {event.id}"
        why = event.why or "; ".join(found.why or found.name for found in event.findings)
        show_text(plain(f"{what}: {why}"))
    sys.stdout.flush()


def _tell(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"inprocml: {plain(text)}\n")

"""``bench`` and ``doctor``: what a model gives on this machine, and what machine and process do to it."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from inprocml.cli.output import Commands, show_json, show_text, with_json
from inprocml.cli.place import PLACE, open_bundle
from inprocml.cli.policy import policy_of, with_policy

if TYPE_CHECKING:
    from inprocml.bundle import Bundle
    from inprocml.sizing import Diagnosis, Subject

__all__ = ["declare"]

_MOST_ROWS = 65_536


def declare(commands: Commands) -> None:
    """Add the commands of this group."""
    bench = commands.add_parser("bench", help="measure a model on this machine and advise settings")
    bench.add_argument("bundle", metavar="BUNDLE", help=f"{PLACE}; of a STORE alone, its newest version")
    bench.add_argument("--version", help="a version of the store BUNDLE, instead of STORE@VERSION")
    bench.add_argument(
        "--slo-ms", type=_positive, metavar="MS", help="objective: answers within MS milliseconds"
    )
    bench.add_argument(
        "--percentile",
        type=_positive,
        default=99.0,
        help="for so many %% of the requests (default: %(default)g)",
    )
    load = bench.add_mutually_exclusive_group()
    load.add_argument("--rate", type=_positive, help="at so many requests a second")
    load.add_argument("--callers", type=_whole, help="of so many callers who ask again at once")
    bench.add_argument(
        "--max-batch-size",
        type=_whole,
        default=64,
        help="most rows tried in one batch (default: %(default)s)",
    )
    _with_run(bench, seconds=12.0)
    bench.add_argument("--svg", metavar="FILE", help="write latency against load to FILE")
    with_policy(bench)
    with_json(bench)
    bench.set_defaults(run=_bench)

    doctor = commands.add_parser(
        "doctor", help="say what this machine and process do to serving; 1 if broken"
    )
    doctor.add_argument("bundle", metavar="BUNDLE", nargs="?", help=f"{PLACE}; without, a small stand-in")
    _with_run(doctor, seconds=4.0)
    with_policy(doctor)
    with_json(doctor)
    doctor.set_defaults(run=_doctor)


def _with_run(command: argparse.ArgumentParser, *, seconds: float) -> None:
    command.add_argument("--device", default="cpu", help="cpu, cuda, tensorrt or auto (default: %(default)s)")
    command.add_argument("--threads", type=_whole, help="of the runtime (default: this machine's budget)")
    command.add_argument(
        "--seconds", type=_positive, default=seconds, help="to measure for, about (default: %(default)g)"
    )
    command.add_argument("--allow-loops", action="store_true", help="its model may loop")


def _bench(given: argparse.Namespace) -> int:
    from inprocml.sizing import BundleSubject, Objective, bench

    objective = Objective(
        slo=None if given.slo_ms is None else given.slo_ms / 1e3,
        percentile=given.percentile,
        rate=given.rate,
        callers=given.callers,
    )
    drawing = None if given.svg is None else Path(given.svg)
    if drawing is not None and (drawing.is_dir() or not drawing.absolute().parent.is_dir()):
        raise ValueError(f"--svg {given.svg}: give a file in a folder that is there")
    subject = BundleSubject.open(
        _opened(given),
        device=given.device,
        threads=given.threads,
        allow_loops=given.allow_loops,
        max_batch_size=given.max_batch_size,
    )
    with closing(subject):
        report = bench(subject, objective, max_batch_size=given.max_batch_size, seconds=given.seconds)
    if drawing is not None:
        drawing.write_text(report.svg(), encoding="utf-8")
    if given.json:
        show_json(report.to_dict())
    else:
        width = shutil.get_terminal_size().columns
        show_text(
            report.text(width=min(width, 120), ascii_only=not _draws("\N{BOX DRAWINGS LIGHT VERTICAL}"))
        )
    return 0 if report.met else 1


def _doctor(given: argparse.Namespace) -> int:
    from inprocml.sizing import BundleSubject

    if given.bundle is None:
        report = _diagnosed(given, None)
    else:
        subject = BundleSubject.open(
            open_bundle(given.bundle, policy_of(given)),
            device=given.device,
            threads=given.threads,
            allow_loops=given.allow_loops,
        )
        with closing(subject):
            report = _diagnosed(given, subject)
    if given.json:
        show_json(report.to_dict())
    else:
        show_text(str(report))
    return 0 if report.sound else 1


def _diagnosed(given: argparse.Namespace, subject: Subject | None) -> Diagnosis:
    """Measure at the interval that is set and at a shorter one: this process is the command's own."""
    from inprocml.sizing import diagnose
    from inprocml.sizing.doctor import SHORTER
    from inprocml.sizing.interpreter import BUSY

    intervals = (sys.getswitchinterval(), SHORTER)
    return diagnose(subject, seconds=given.seconds / len(BUSY) / len(intervals), intervals=intervals)


def _opened(given: argparse.Namespace) -> Bundle:
    """Open what BUNDLE says: a bundle, a version of a store, or a store's newest."""
    from inprocml.sources import MANIFEST
    from inprocml.store import Store

    policy = policy_of(given)
    place = Path(given.bundle)
    if given.version is not None:
        return Store(given.bundle, policy=policy).open(given.version)
    if place.is_dir() and not (place / MANIFEST).exists():
        store = Store(given.bundle, policy=policy)
        newest = store.versions(order_by="created")
        if newest:
            return store.open(newest[0])
    return open_bundle(given.bundle, policy)


def _draws(letter: str) -> bool:
    """Whether the terminal can spell a letter of the drawing."""
    try:
        letter.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _positive(told: str) -> float:
    value = float(told)
    if not math.isfinite(value) or value <= 0:
        raise ValueError(told)
    return value


def _whole(told: str) -> int:
    value = int(told)
    if not 1 <= value <= _MOST_ROWS:
        raise ValueError(told)
    return value


_positive.__name__, _whole.__name__ = "number above 0", f"whole number from 1 to {_MOST_ROWS}"  # in errors

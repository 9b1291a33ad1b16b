"""``predict``: a file of rows in, a file of answers out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from inprocml.cli.output import Commands, show_json, show_text, with_json
from inprocml.cli.place import split
from inprocml.cli.policy import policy_of, with_policy

if TYPE_CHECKING:
    from inprocml.model import Model

__all__ = ["declare"]


def declare(commands: Commands) -> None:
    """Add the command of this group."""
    predict = commands.add_parser("predict", help="answer files of rows; interrupted, it goes on")
    predict.add_argument("model", metavar="MODEL", help="a store, a bundle, or STORE@VERSION")
    predict.add_argument(
        "rows", metavar="INPUT", nargs="+", help="files of rows: .parquet, .csv, .jsonl; a folder"
    )
    predict.add_argument("--to", metavar="OUT.parquet", required=True, help="the file of answers")
    predict.add_argument(
        "--key-column", metavar="COLUMN", help="goes beside the answers, for the row's number"
    )
    predict.add_argument("--keep-refused", action="store_true", help="a row that is refused ends nothing")
    predict.add_argument(
        "--batch-size",
        type=int,
        default=1024,
        metavar="ROWS",
        help="that run together (default: %(default)s)",
    )
    predict.add_argument("--device", default="cpu", help="cpu, cuda, tensorrt or auto (default: %(default)s)")
    predict.add_argument("--threads", type=int, help="of the runtime (default: one per core)")
    with_policy(predict)
    with_json(predict)
    predict.set_defaults(run=_predict)


def _predict(given: argparse.Namespace) -> int:
    paths = [Path(path) for path in given.rows]
    with _model(given) as model:
        done = model.predict_many(
            paths, to=given.to, key=given.key_column, errors="keep" if given.keep_refused else "raise"
        )
    if given.json:
        show_json(
            {
                "path": str(done.path),
                "rows": done.rows,
                "refused": done.refused,
                "version": done.version,
                "answered": done.answered,
                "seconds": round(done.seconds, 3),
            }
        )
        return 0
    earlier = "" if done.answered == done.rows else f", {done.rows - done.answered:,} of them earlier"
    refused = f", {done.refused:,} refused" if given.keep_refused else ""
    rate = f" at {done.rows_per_second:,.0f} rows/s" if done.answered else ""
    show_text(f"{done.path}: {done.rows:,} rows{earlier}{refused}, by version {done.version}{rate}")
    return 0


def _model(given: argparse.Namespace) -> Model:
    """Declare the model."""
    from inprocml.model import Model
    from inprocml.store import Store

    policy = policy_of(given)
    if "://" in given.model:  # not repeated: it may hold a secret
        raise ValueError("MODEL is a folder on disk; a URL is followed with inprocml.Model(url)")
    place, version = split(given.model)
    return Model(
        place,
        version=None if version is None else Store(place, policy=policy).open(version).version,
        policy=policy,
        device=given.device,
        threads=given.threads,
        max_batch_size=given.batch_size,
    )

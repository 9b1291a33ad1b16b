"""``check``: whether a new version may take the place of an old one, for CI."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

from inprocml.cli.output import Commands, show_json, show_text, with_json
from inprocml.cli.place import PLACE, open_bundle
from inprocml.cli.policy import policy_of, with_policy

__all__ = ["declare"]


def declare(commands: Commands) -> None:
    """Add the command of this group."""
    check = commands.add_parser("check", help="compare a new version with an old one; 1 if it is worse")
    check.add_argument("new", metavar="NEW", help=PLACE)
    check.add_argument(
        "--against", metavar="OLD", required=True, help="likewise, the version to compare with"
    )
    check.add_argument("--data", metavar="FILE", help="rows of both: .csv, .parquet, .jsonl")
    check.add_argument("--label", metavar="COLUMN", help="the column of FILE that holds the truth")
    check.add_argument(
        "--limit",
        metavar="METRIC=AMOUNT",
        action="append",
        default=[],
        help="how much worse a metric may be; again for more (default: 1 %% of the old)",
    )
    check.add_argument(
        "--latency", type=_number, default=1.5, help="times the old one's (default: %(default)s)"
    )
    check.add_argument("--size", type=_number, default=2.0, help="times the old one's (default: %(default)s)")
    check.add_argument("--disagreement", type=_number, help="share of rows it may answer otherwise")
    check.add_argument(
        "--allow-breaking", action="store_true", help="it may refuse rows that the old one takes"
    )
    check.add_argument("--allow-loops", action="store_true", help="its model may loop")
    with_policy(check)
    with_json(check)
    check.set_defaults(run=_check)


def _check(given: argparse.Namespace) -> int:
    from inprocml.checking import Limits, check, read_rows

    limits = Limits(
        metrics=dict(map(_limit, given.limit)),
        latency=given.latency,
        size=given.size,
        disagreement=given.disagreement,
        breaking=given.allow_breaking,
    )
    policy = replace(policy_of(given), allow_loops=given.allow_loops)
    new, old = open_bundle(given.new, policy), open_bundle(given.against, policy)
    table, labels = None, None
    if given.data is not None:
        table, labels = read_rows(Path(given.data), old.transform.schema, given.label)
    elif given.label is not None:
        raise ValueError("--label names a column of --data; give both")
    report = check(
        new,
        against=old,
        table=table,
        labels=labels,
        column=given.label,
        limits=limits,
        allow_loops=policy.allow_loops,
    )
    if given.json:
        show_json(report.to_dict())
    else:
        show_text(repr(report))
    return 0 if report.passed else 1


def _limit(told: str) -> tuple[str, float]:
    name, _, amount = told.rpartition("=")
    if not name:
        raise ValueError(f"--limit {told!r}: give METRIC=AMOUNT, such as auc=0.005")
    try:
        return name, _number(amount)
    except ValueError:
        raise ValueError(
            f"--limit {told!r}: {amount!r} is no number of 0 or more; give METRIC=AMOUNT, such as auc=0.005"
        ) from None


def _number(told: str) -> float:
    value = float(told)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{told!r} is no number of 0 or more")
    return value

"""Rows that somebody has kept, through the version that serves; not counted as rows that were served."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inprocml.bulk import Block, Sifted, open_input, sift
from inprocml.bundle.outputs import Output
from inprocml.model.passage import Host, Passage
from inprocml.monitoring import Baseline, DriftReport, Health, Reference, layout_of, measured
from inprocml.monitoring.alarm import judge_at_once
from inprocml.monitoring.counting import Form, Tally
from inprocml.monitoring.glimpses import Glimpses
from inprocml.monitoring.scalars import with_scalars
from inprocml.schema.accepted import Accepted
from inprocml.serving import Servable
from inprocml.transform import Transform
from inprocml.values import Tensors

__all__ = [
    "Replay",
    "accepted_columns",
    "compared",
    "drift_of",
    "glimpses_of",
    "input_columns",
    "output_columns",
    "replayed",
    "tally_of",
]

_NAMES = 4096
"""Unseen values of a column that are counted exactly: a tally of given rows lives as long as the call."""


class Replay(NamedTuple):
    """A block of rows, encoded (``sifted``), and the outputs for its good rows, ``None`` without any."""

    sifted: Sifted
    outputs: Tensors | None


def replayed(passage: Passage, block: Block, tally: Tally, *, keep: bool) -> Replay:
    """Return what the version makes of a block, and count its rows on ``tally``.

    A row that is refused raises ``InvalidRow``, or is set apart where ``keep``.
    """
    servable = passage.servable
    transform, names = servable.transform, [field.name for field in servable.transform.schema.fields]
    sifted = sift(block, transform.transform, names, keep=keep)
    if not sifted.good:
        return Replay(sifted, None)
    outputs = _outputs(passage, sifted)
    columns = input_columns(transform, servable.baseline, sifted.table)
    glimpses = glimpses_of(transform, servable.baseline)
    if glimpses is not None:
        columns = glimpses.beside(columns, glimpses.table(sifted.tensors))
    tally.add(columns, _columns(servable, outputs))
    return Replay(sifted, outputs)


def _outputs(passage: Passage, sifted: Sifted) -> Tensors:
    made, size = sifted.tensors, passage.size()
    parts = [
        passage.servable.compute(
            {n: a[start : start + size] for n, a in made.items()}
            if type(made) is dict
            else made[start : start + size],
            None,
        )
        for start in range(0, sifted.good, size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _columns(servable: Servable, outputs: Tensors) -> Mapping[str, NDArray[Any]]:
    return output_columns(servable.output, outputs)  # type: ignore[arg-type]  # of a servable it is one


def input_columns(transform: Transform, baseline: Baseline, table: Any) -> dict[str, NDArray[Any]]:
    """Return rows as the baseline's columns, but for those of their tensors; raises ``InvalidRow``."""
    return with_scalars(transform.schema, transform.columns(table), baseline.planes)


def accepted_columns(transform: Transform, baseline: Baseline) -> Callable[[Any], dict[str, NDArray[Any]]]:
    """Return ``input_columns`` for rows that the transform has accepted, or a table of them: quicker."""
    accepted, schema = Accepted(transform.schema), transform.schema

    def columns(table: Any) -> dict[str, NDArray[Any]]:
        if not isinstance(table, list):
            return input_columns(transform, baseline, table)
        return with_scalars(schema, schema.wall(accepted.columns(table)), baseline.planes)

    return columns


def glimpses_of(transform: Transform, baseline: Baseline) -> Glimpses | None:
    """Return what makes the baseline's columns of tensors; ``None`` where it has none."""
    return Glimpses(transform.media, baseline.fields) or None


def output_columns(output: Output, outputs: Tensors) -> dict[str, NDArray[Any]]:
    """Return the model's outputs as the baseline's columns."""
    decoded = output.columns(outputs)
    if decoded.probabilities is None:
        return {"value": decoded.values}
    return {f"probability[{place}]": column for place, column in enumerate(decoded.probabilities.T)}


def compared(servable: Servable, tally: Tally) -> DriftReport:
    """Return how the rows counted differ from those of training, in one look."""
    state, findings = judge_at_once(tally.form.layout, tally.counts)
    series = {(each.name, each.role): (place, each) for place, each in enumerate(tally.form.layout.series)}
    told = []
    for found in findings:
        place, each = series[found.name, found.role]
        full = measured(found, each.bins)
        values, exact = tally.new_values(place)
        told.append(replace(full, new_values=values, new_values_exact=exact))
    return DriftReport(
        model=servable.name,
        version=servable.version,
        reference=Reference.TRAIN,
        state=state,
        at=time.time(),
        since=None,
        rows=tally.rows,
        findings=tuple(told),
        health=Health(seen=tally.rows, sampled=tally.rows, scope="table"),
    )


def tally_of(servable: Servable) -> Tally:
    """Return an empty one of the version's columns, for rows that are given."""
    monitor = servable.monitor  # knows what is private
    form = Form(layout_of(servable.baseline) if monitor is None else monitor.layout)
    return Tally(form, names=_NAMES)


def drift_of(host: Host, table: Any) -> DriftReport:
    """Return how the rows of a table, an iterator or files differ from those of training."""
    passage = Passage(host, None)
    try:
        servable = passage.servable
        tally = tally_of(servable)
        source = open_input(table, None, servable.transform.schema, passage.clock)
        try:
            for block in source.blocks(passage.size):
                replayed(passage, block, tally, keep=False)
        finally:
            source.close()
        return compared(servable, tally)
    finally:
        passage.end()

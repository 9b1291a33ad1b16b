"""The model card: a page of Markdown for people, rendered from the manifest.

Names and labels come from users' data, so every one is escaped: a card must not smuggle markup into a page
that shows it.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from inprocml.bundle.manifest import Manifest, Parity

__all__ = ["render_card"]

Cells: TypeAlias = tuple[tuple[str, str], ...]

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")
_SPACE = re.compile(r"\s+")


def render_card(manifest: Manifest, *, schema: Cells, notes: str | None = None) -> str:
    """Return the card of ``manifest``; ``schema`` lists (field, kind), ``notes`` is the author's Markdown."""
    sections = [
        f"# {_escaped(manifest.name)}, version {_escaped(manifest.version)}",
        f"Packed {manifest.created} by inprocml (bundle format {manifest.format_version}).",
        *([f"## Notes\n\n{notes.strip()}"] if notes and notes.strip() else []),
        "## Answers\n\n" + _answers(manifest),
        "## Fields\n\n" + _table(("field", "kind"), schema),
        *_section("Metrics, as given when packed", ("metric", "value"), _metrics(manifest)),
        *_section("Training labels", ("label", "rows"), _labels(manifest)),
        "## Packed model against trained model\n\n" + _parity(manifest.parity),
        "## Made with\n\n"
        + _table(
            ("package", "version"),
            (
                ("Python", manifest.provenance.python),
                ("platform", manifest.provenance.platform),
                *sorted(manifest.provenance.packages.items()),
                *((("commit", manifest.provenance.commit),) if manifest.provenance.commit else ()),
            ),
        ),
    ]
    return "\n\n".join(sections) + "\n"


def _answers(manifest: Manifest) -> str:
    if manifest.output.labels is None:
        return "One number per row."
    listed = ", ".join(_escaped(str(label)) for label in manifest.output.labels)
    return f"One of {len(manifest.output.labels)} labels, in the order of the scores: {listed}."


def _parity(parity: Parity) -> str:
    if parity.distance is None:
        return f"Not measured: {_escaped(parity.reference)}."
    flips = "" if parity.flips is None else f" {parity.flips} rows change their most probable label."
    return (
        f"Against {_escaped(parity.reference)} on {parity.rows} rows, at batch sizes "
        f"{', '.join(map(str, parity.batches))}: at most {parity.distance:.3g} apart ({parity.unit}), "
        f"allowed {parity.limit:.3g}.{flips}"
    )


def _metrics(manifest: Manifest) -> Cells:
    return tuple((name, f"{value:.6g}") for name, value in sorted(manifest.metrics.items()))


def _labels(manifest: Manifest) -> Cells:
    counted = zip(manifest.output.labels or (), manifest.label_counts or (), strict=False)
    return tuple((str(label), str(count)) for label, count in counted)


def _section(title: str, head: tuple[str, str], rows: Cells) -> list[str]:
    return [f"## {title}\n\n" + _table(head, rows)] if rows else []


def _table(head: tuple[str, str], rows: Cells) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    lines += [f"| {_escaped(left)} | {_escaped(right)} |" for left, right in rows]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    printable = "".join(c if c.isprintable() else " " for c in text)
    return _MARKUP.sub(r"\\\1", _SPACE.sub(" ", printable).strip())

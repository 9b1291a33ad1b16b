"""The model card: what a manifest says, for people, as Markdown in the bundle and as HTML in a notebook.

Names, labels and texts come from whoever packed, so every one is escaped: a card must not smuggle markup into
a page that shows it. The HTML is made from the manifest; Markdown from a file never becomes HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Self, TypeAlias

from inprocml.bundle.manifest import Manifest, Parity
from inprocml.drawing import folded, heading, link, paragraph, table
from inprocml.monitoring.quality import ClassTally, Tally
from inprocml.monitoring.quality.class_metrics import class_metrics
from inprocml.monitoring.quality.number_metrics import number_metrics
from inprocml.transform import Transform

__all__ = ["Card", "made_with", "render_card"]

Cells: TypeAlias = Sequence[Sequence[str]]

_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")
_SPACE = re.compile(r"\s+")
_PARAGRAPH = re.compile(r"\n\s*\n")


class Card(str):
    """The text of ``card.md``, which a notebook shows as tables; ``html`` is what it shows."""

    __slots__ = ("_fields", "_holdout", "_manifest")
    _manifest: Manifest
    _fields: Cells
    _holdout: Tally | None

    def __new__(
        cls, text: str, manifest: Manifest, transform: Transform, holdout: Tally | None = None
    ) -> Self:
        """Return the card with ``text``, Markdown, for the bundle of ``manifest``."""
        card = super().__new__(cls, text)
        card._manifest = manifest
        card._holdout = holdout
        card._fields = tuple((field.name, field.kind) for field in transform.schema.fields)
        return card

    def __reduce__(self) -> tuple[object, ...]:
        return (str, (str(self),))  # a copy is text: the manifest stays with the bundle

    @property
    def html(self) -> str:
        """The card as HTML, without script or style sheet; ``card.md`` itself stays text, folded away."""
        parts = [heading(_title(self._manifest)), paragraph(_packed(self._manifest))]
        for title, content in _sections(self._manifest, self._fields, self._holdout):
            if isinstance(content, str):
                shown = [paragraph(_printable(text)) for text in _PARAGRAPH.split(content)]
            else:
                head, *rows = content
                shown = [table(list(map(_printable, head)), [list(map(_html_cell, row)) for row in rows])]
            parts += [heading(title), *shown]
        return "".join([*parts, folded("card.md", str(self))])

    def _repr_html_(self) -> str:
        return self.html


def render_card(
    manifest: Manifest, *, schema: Cells, notes: str | None = None, holdout: Tally | None = None
) -> str:
    """Return the card of ``manifest``; ``schema`` lists (field, kind), ``notes`` is the author's Markdown.

    ``holdout``: counts of labelled rows that the model was not trained on.
    """
    sections = [f"# {_escaped(_title(manifest))}", _packed(manifest)]
    if notes and notes.strip():
        sections.append(f"## Notes\n\n{notes.strip()}")
    for title, content in _sections(manifest, schema, holdout):
        sections.append(f"## {title}\n\n" + _markdown(content))
    return "\n\n".join(sections) + "\n"


def made_with(manifest: Manifest) -> list[tuple[str, str]]:
    """Return what went into the bundle, name and value, as far as it is known."""
    made = manifest.provenance
    known = [
        ("author", made.author),
        ("commit", made.commit),
        ("seed", None if made.seed is None else str(made.seed)),
        ("Python", made.python),
        ("platform", made.platform),
        *sorted(made.packages.items()),
    ]
    return [(name, value) for name, value in known if value is not None]


def _title(manifest: Manifest) -> str:
    return f"{manifest.name}, version {manifest.version}"


def _packed(manifest: Manifest) -> str:
    return f"Packed {manifest.created} by inprocml (bundle format {manifest.format_version})."


def _sections(
    manifest: Manifest, schema: Cells, holdout: Tally | None
) -> list[tuple[str, str | list[Sequence[str]]]]:
    """Return title and content of each section that has any: plain text, or rows of a table, head first."""
    about, dataset = manifest.about, manifest.provenance.dataset
    links = [(name, _Address(address)) for name, address in sorted(about.links.items())]
    training = [("name", dataset.name or ""), ("rows", f"{dataset.rows:,}"), ("digest", dataset.digest)]
    sections: list[tuple[str, str | None, Cells]] = [
        ("Intended use", about.intended_use, ()),
        ("Limits", about.limits, ()),
        ("Answers", _answers(manifest), ()),
        ("Fields", None, [("field", "kind"), *schema]),
        ("Metrics, as given when packed", None, [("metric", "value"), *_metrics(manifest.metrics)]),
        ("Metrics per slice, as given when packed", None, _slices(manifest.slices)),
        ("Rows it was not trained on, measured when packed", None, _held_out(holdout)),
        ("Training labels", None, [("label", "rows"), *_labels(manifest)]),
        ("Packed model against trained model", _parity(manifest.parity), ()),
        ("Links", None, [("link", "address"), *links]),
        ("Training table", None, [("part", "value"), *training]),
        ("Made with", None, [("part", "value"), *made_with(manifest)]),
    ]
    return [
        (title, text if text is not None else list(rows))
        for title, text, rows in sections
        if text is not None or len(rows) > 1
    ]


def _markdown(content: str | list[Sequence[str]]) -> str:
    if isinstance(content, str):
        return "\n\n".join(_escaped(text) for text in _PARAGRAPH.split(content))
    head, *rows = content
    lines = [f"| {' | '.join(map(_escaped, head))} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines)


class _Address(str):
    """An address from a manifest: it holds nothing that ends a link or a cell (``manifest.LINK``)."""

    __slots__ = ()


def _cell(text: str) -> str:
    return f"<{text}>" if isinstance(text, _Address) else _escaped(text)


def _answers(manifest: Manifest) -> str:
    if manifest.output.labels is None:
        return "One number per row."
    listed = ", ".join(str(label) for label in manifest.output.labels)
    return f"One of {len(manifest.output.labels)} labels, in the order of the scores: {listed}."


def _parity(parity: Parity) -> str:
    if parity.distance is None:
        return f"Not measured: {parity.reference}."
    flips = "" if parity.flips is None else f" {parity.flips} rows change their most probable label."
    return (
        f"Against {parity.reference} on {parity.rows} rows, at batch sizes "
        f"{', '.join(map(str, parity.batches))}: at most {parity.distance:.3g} apart ({parity.unit}), "
        f"allowed {parity.limit:.3g}.{flips}"
    )


def _metrics(figures: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, f"{value:.6g}") for name, value in sorted(figures.items())]


def _held_out(holdout: Tally | None) -> list[Sequence[str]]:
    if holdout is None:
        return []
    found = class_metrics(holdout) if isinstance(holdout, ClassTally) else number_metrics(holdout)
    cells = [
        (name, f"{each[0]:.4g}", f"{each[1]:.4g} to {each[2]:.4g}")
        for name, each in sorted(found.items())
        if each is not None
    ]
    return [("metric", "value", "95 %"), *cells, ("rows", f"{holdout.labelled:,}", "")]


def _slices(slices: Mapping[str, Mapping[str, float]]) -> list[Sequence[str]]:
    """One row a slice, one column a metric that any slice has."""
    names = sorted({name for figures in slices.values() for name in figures})
    cells = [
        [name, *(f"{figures[metric]:.6g}" if metric in figures else "" for metric in names)]
        for name, figures in sorted(slices.items())
    ]
    return [["slice", *names], *cells]


def _labels(manifest: Manifest) -> list[tuple[str, str]]:
    counted = zip(manifest.output.labels or (), manifest.label_counts or (), strict=False)
    return [(str(label), str(count)) for label, count in counted]


def _html_cell(text: str) -> str:
    return link(text, text) if isinstance(text, _Address) else _printable(text)


def _printable(text: str) -> str:
    """One line, without what could reorder or hide it."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return _SPACE.sub(" ", shown).strip()


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", _printable(text))

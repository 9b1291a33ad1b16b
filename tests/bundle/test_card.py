"""The model card: readable, and inert."""

from __future__ import annotations

import pytest
from tests.bundle.kit import make_manifest

from inprocml.bundle.card import render_card
from inprocml.bundle.manifest import OutputEntry, Parity


def test_the_card_tells_what_the_manifest_says():
    card = render_card(make_manifest(label_counts=(30, 10)), schema=(("amount", "number"),))
    for part in ("# late, version 1", "| amount | number |", "| auc | 0.75 |", "| yes | 10 |", "at most 0"):
        assert part in card


def test_the_author_s_notes_stay_markdown():
    assert "\n## Notes\n\nUse *with care*.\n" in render_card(
        make_manifest(), schema=(), notes="\nUse *with care*.\n"
    )
    assert "Notes" not in render_card(make_manifest(), schema=(), notes="  ")


@pytest.mark.parametrize(
    "evil", ["<script>", "[x](javascript:1)", "a|b", "`x`", "a\n# b", "\u202ex", "![x](y)"]
)
def test_names_and_labels_cannot_carry_markup(evil):
    output = OutputEntry(kind="classes", labels=(evil, "b"), scores="logits")
    card = render_card(make_manifest(output=output), schema=((evil, "text"),))
    assert evil not in card
    assert card.count("\n") == render_card(make_manifest(), schema=(("x", "text"),)).count("\n")


def test_what_was_not_measured_is_said():
    parity = Parity(
        reference="not measured: no reference",
        rows=0,
        batches=(),
        unit="relative",
        distance=None,
        limit=1e-4,
        flips=None,
    )
    assert "Not measured" in render_card(make_manifest(parity=parity), schema=())

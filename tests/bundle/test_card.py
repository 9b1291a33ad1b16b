"""The model card: readable, and inert."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser

import pytest
from tests.bundle.kit import forge, make_manifest

from inprocml import Bundle, Category, Corrupt, Transform
from inprocml.bundle.card import Card, render_card
from inprocml.bundle.manifest import About, Dataset, OutputEntry, Parity, Provenance


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


EVIL = "<script>alert(1)</script>\u202e\"'><img src=x onerror=alert(1)> [x](javascript:1) | a\n# b"


def evil_manifest():
    made = Provenance(
        python=EVIL,
        platform=EVIL,
        packages={EVIL: EVIL},
        commit=None,
        author=EVIL,
        seed=1,
        dataset=Dataset(name=EVIL, digest="sha256:" + "0" * 64, rows=1),
    )
    return make_manifest(
        output=OutputEntry(kind="classes", labels=(EVIL, "b"), scores="logits"),
        label_counts=(1, 2),
        metrics={EVIL: 1.0},
        slices={EVIL: {EVIL: 1.0}},
        about=About(intended_use=EVIL, limits=EVIL, links={EVIL: "https://a.example/?q='\"&x=(y)"}),
        provenance=made,
    )


class Page(HTMLParser):
    """Elements and attributes as a browser would find them."""

    def __init__(self, text):
        super().__init__()
        self.found, self.attributes = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        self.attributes += attrs


def test_no_word_of_a_bundle_becomes_html():
    transform = Transform({"city": Category()}).fit({"city": ["a"]})
    card = Card(f"# card {EVIL}", evil_manifest(), transform)
    page = Page(card.html)
    assert page.found <= {"p", "table", "thead", "tbody", "tr", "th", "td", "a", "details", "summary", "pre"}
    assert {name for name, _ in page.attributes} <= {"style", "scope", "href", "rel"}
    assert [value for name, value in page.attributes if name == "href"] == ["https://a.example/?q='\"&x=(y)"]
    assert card == f"# card {EVIL}"  # as text it is what the file holds
    assert card.html == card._repr_html_()


def test_no_word_of_the_manifest_becomes_markdown():
    card = render_card(evil_manifest(), schema=((EVIL, "text"),))
    assert re.findall(r"(?<!\\)<(?!https://a)", card) == []
    assert re.findall(r"(?<!\\)[\[\]`*]", card) == []
    assert "\u202e" not in card
    assert [line for line in card.splitlines() if line.startswith("# ")] == ["# late, version 1"]


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "https://x.example/<b>", "HTTPS://x", "https://a@b"]
)
def test_a_forged_address_in_the_manifest_is_refused(store, address):
    forge(store / "1", lambda manifest: manifest["about"].update(links={"run": address}))
    with pytest.raises(Corrupt, match=r"manifest\.json: about\.links\.run"):
        Bundle.open(store / "1")


def test_a_notebook_shows_the_card_and_the_bundle(store):
    bundle = Bundle.open(store / "1")
    assert isinstance(bundle.card, str)
    assert copy.deepcopy(bundle.card) == json.loads(json.dumps(bundle.card)) == bundle.card
    assert (store / "1" / "card.md").read_text() == bundle.card
    assert "auc" in bundle._repr_html_()
    assert Page(bundle.card.html).found >= {"table", "details"}

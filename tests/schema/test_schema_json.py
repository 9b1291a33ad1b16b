"""JSON from a bundle: one spelling out, nothing ambiguous in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocml import Corrupt
from inprocml.schema import dump, parse

_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(_plain)
def test_what_is_written_is_read(document):
    text = dump(document)
    assert parse(text, what="it") == document
    assert parse(text.encode(), what="it") == document
    assert dump(parse(text, what="it")) == text


def test_one_spelling():
    assert dump({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'
    with pytest.raises(ValueError, match="JSON"):
        dump(float("nan"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a":1,"a":1}', "twice"),
        ('[{"a":{"b":1,"b":2}}]', "twice"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "NaN"),
        ("[1e400]", "beyond float64"),
        ("[-1e400]", "beyond float64"),
        ("[" * 33 + "]" * 33, "deeper than 32"),
        ('{"a":' * 33 + "1" + "}" * 33, "deeper than 32"),
        ("[" * 10**6, "deeper than 32"),
        ("[" + "1" * 5000 + "]", "not JSON"),
        ("{'a':1}", "not JSON"),
        ("[1,]", "not JSON"),
        ("\ufeff[]", "not JSON"),
        (b"\xff", "not JSON"),
        (b" " * (16 * 2**20 + 1), "larger than"),
    ],
)
def test_what_is_refused(text, why):
    with pytest.raises(Corrupt, match=why) as caught:
        parse(text, what="the card")
    assert str(caught.value).startswith("the card cannot be read")


def test_thirty_two_levels_are_fine():
    assert parse("[" * 32 + "]" * 32, what="it")

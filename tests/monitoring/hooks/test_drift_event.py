"""Events as documents: what is written is read back, and nothing else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.monitoring.hooks.receiver import event_of

from inprocml.errors import Corrupt, Unsupported
from inprocml.monitoring import DriftEvent
from inprocml.monitoring.verdict import Action, Finding, Measures, Reference, State, Test

NUMBERS = st.floats(allow_nan=False)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
COUNTS = st.integers(0, 2**63 - 1)


@st.composite
def findings(draw):
    bins = draw(st.integers(0, 4))
    return Finding(
        draw(TEXTS),
        draw(st.sampled_from(["input", "output"])),
        draw(st.sampled_from(State)),
        draw(NUMBERS),
        draw(NUMBERS),
        draw(st.none() | st.sampled_from(Test)),
        draw(NUMBERS),
        draw(st.none() | NUMBERS),
        draw(COUNTS),
        tuple(draw(st.lists(TEXTS, min_size=bins, max_size=bins))),
        tuple(draw(st.lists(COUNTS, min_size=bins, max_size=bins))),
        tuple(draw(st.lists(COUNTS, min_size=bins, max_size=bins))),
        Measures(psi=draw(st.none() | NUMBERS)),
        draw(st.dictionaries(TEXTS, COUNTS, max_size=3)),
        draw(TEXTS),
    )


@given(
    st.builds(
        DriftEvent,
        TEXTS,
        st.sampled_from(Action),
        TEXTS,
        TEXTS,
        st.sampled_from(Reference),
        NUMBERS,
        NUMBERS,
        st.lists(findings(), max_size=3).map(tuple),
    )
)
def test_what_was_written_is_read_back_exactly(event):
    assert DriftEvent.from_dict(json.loads(event.to_json())) == event


def test_the_kind_is_told_and_no_other_is_read():
    document = event_of().to_dict()
    assert document["kind"] == "drift_event@1"
    with pytest.raises(Unsupported, match="drift_event@2"):
        DriftEvent.from_dict(document | {"kind": "drift_event@2"})


@pytest.mark.parametrize(
    "change",
    [{"kind": None}, {"id": 3}, {"id": "x" * 2000}, {"action": "moved"}, {"findings": [{}]}, {"more": 1}],
)
def test_what_is_damaged_is_refused(change):
    with pytest.raises(Corrupt, match=r"drift event.*Give from_dict what to_dict returned, unchanged\.$"):
        DriftEvent.from_dict(event_of().to_dict() | change)

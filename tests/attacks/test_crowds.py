"""Documents that are well formed and far too much: refused before they cost anything."""

from __future__ import annotations

import json

import pytest

from inprocml import Category, Corrupt, Transform, TransformError
from inprocml.schema import parse
from inprocml.transform import Flag


def entries(count):
    return [
        {"kind": "flag@1", "name": f"f{number}", "field": None, "missing": None} for number in range(count)
    ]


def test_ten_thousand_entries_and_no_more():
    text = json.dumps({"kind": "transform@1", "fields": entries(10_000)})
    assert Transform.from_json(text).width == 10_000
    with pytest.raises(Corrupt, match="more than 10000 entries"):
        Transform.from_json(json.dumps({"kind": "transform@1", "fields": entries(10_001)}))
    with pytest.raises(ValueError, match="at most 10000 entries"):
        Transform({f"f{number}": Flag() for number in range(10_001)})


@pytest.mark.parametrize("part", ["[]", "{}", '{"a":1}', '["["]'])
def test_a_million_small_parts_are_not_even_parsed(part):
    text = "[" + f"{part}," * 1_000_001 + "0]"
    with pytest.raises(Corrupt, match="a million arrays and objects"):
        parse(text, what="it")


def test_depth_is_found_in_every_branch():
    deep = "[" * 32 + "]" * 32
    wide = ",".join(['{"a":[0]}'] * 1000)
    assert parse(deep, what="it") is not None
    for text in (f"[{wide},{deep}]", f'{{"a":[{wide}],"b":{deep}}}'):
        with pytest.raises(Corrupt, match="deeper than 32"):
            parse(text, what="it")


def test_what_could_not_be_read_again_is_not_written():
    fitted = Transform({"c": Category()}).fit({"c": ["[" * 4000 + str(number) for number in range(260)]})
    with pytest.raises(TransformError, match="Use max_categories"):
        fitted.to_json()

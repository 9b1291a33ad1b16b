"""Documents that are well formed and far too much: refused before they cost anything."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from inprocml import Category, Corrupt, Numeric, PackError, Transform, TransformError
from inprocml.monitoring.baseline import Baseline
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


def coded(count):
    values = [f"{number:07}" for number in range(count)]
    return {
        "kind": "coded@1", "name": "c", "field": None, "reads": "text", "categories": values,
        "labels": ["a", "b"],
        "rows": [[[0, 1.0]]] * count, "unseen": None, "missing": None,
    }  # fmt: skip


def numeric():
    fitted = Transform({"x": Numeric()}).fit({"x": [1.0, 2.0]})
    return json.loads(fitted.to_json())["fields"][0]


def number(place):
    counts = {"edges": [0.0], "counts": [1, 0, 0], "infinite": [0, 0]}
    return {"kind": "number@1", "name": f"n{place}", **counts}


def baseline_of(fields, **more):
    return {"kind": "baseline@1", "rows": 1, "fields": fields, "outputs": [], **more}


CROWDS = {
    "members nobody knows": lambda: [numeric() | {f"k{place}": 0 for place in range(300_000)}],
    "members nobody knows, inside": lambda: [
        {
            "kind": "formula@1",
            "name": "f",
            "outputs": [],
            "operands": [{f"k{one}": 0 for one in range(300_000)}],
        }
    ],
    "categories of two types": lambda: [coded(1) | {"categories": [0, "a"] * 300_000}],
    "edges that are none": lambda: [
        {"kind": "binned@1", "name": "b", "field": None, "missing": None, "log": False, "clip": None}
        | {"bins": None, "encoding": "onehot", "fill": None, "edges": ["x"] * 900_000}
    ],
    "values written down": lambda: [coded(250_001)],
    "places of features": lambda: [coded(20_000) | {"labels": [f"l{one}" for one in range(100_000)]}],
}
BASELINES = {
    "fields": lambda: baseline_of([number(place) for place in range(10_001)]),
    "fields that are none": lambda: baseline_of([{"kind": "number@1"}] * 300_000),
    "counts": lambda: baseline_of([number(0) | {"counts": [0] * 3_000_000}]),
    "members nobody knows": lambda: baseline_of([], **{f"k{place}": 0 for place in range(300_000)}),
}


def peak_and_refusal(read, text):
    """Bytes of memory at most, and what refused it."""
    tracemalloc.start()
    try:
        read(text)
    except Corrupt as refused:
        return tracemalloc.get_traced_memory()[1], refused
    finally:
        tracemalloc.stop()
    return 0, None


@pytest.mark.timeout(30)  # with the memory traced: without, none takes two seconds
@pytest.mark.parametrize("crowd", CROWDS)
def test_a_crowd_in_a_transform_is_read_or_refused_at_the_first_fault(crowd):
    text = json.dumps({"kind": "transform@1", "fields": CROWDS[crowd]()})
    peak, refused = peak_and_refusal(Transform.from_json, text)
    assert peak < 40 * len(text)
    assert (refused is None) == (crowd == "places of features")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("crowd", BASELINES)
def test_a_crowd_in_a_baseline_is_refused_at_the_first_fault(crowd):
    text = json.dumps(BASELINES[crowd]())
    peak, refused = peak_and_refusal(Baseline.from_json, text)
    assert refused is not None
    assert peak < 40 * len(text)


def test_ten_thousand_counted_fields_and_no_more():
    sound = json.dumps(baseline_of([number(place) for place in range(10_000)]))
    held = Baseline.from_json(sound)
    assert len(held.fields) == 10_000
    one = next(iter(held.fields.values()))
    with pytest.raises(PackError, match="10000"):
        Baseline(1, {f"n{place}": one for place in range(10_001)}, {}).to_json()

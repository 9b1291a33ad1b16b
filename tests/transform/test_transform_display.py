"""What a notebook and a terminal show of a transform and of a bundle."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.transform.transform_rows import FIELDS, training_rows

from inprocml import Bundle, Category, Hashed, Numeric, Timestamp, Transform
from inprocml.drawing import Markup, aligned, bars, table
from inprocml.schema import Field, Schema
from inprocml.transform.seen import sample

HOSTILE = "<script>alert('x')</script>\"&"
SVG = "{http://www.w3.org/2000/svg}"


def parsed(shown):
    """Well-formed, as HTML and as XML: a tag that was not escaped would stand in the tree."""
    return ET.fromstring(f"<div>{shown}</div>")


def pictures(shown):
    return {row[0].text: row[-1].find(f"{SVG}svg") for row in parsed(shown).iter("tr") if row[0].tag == "td"}


def heights(svg):
    """The heights of the bars that are drawn, as shares of the tallest."""
    bars_drawn = svg.findall(f"{SVG}path")[0].get("d").split("M")[1:]
    tall = [-float(bar.split("v")[1].split("h")[0]) for bar in bars_drawn]
    return [height / max(tall) for height in tall]


def test_a_fitted_transform_shows_its_entries_and_pictures():
    transform = Transform(FIELDS).fit(training_rows())
    found = pictures(transform._repr_html_())
    assert list(found) == list(FIELDS)
    assert all(svg is not None for svg in found.values())
    assert found["origin"].find(f"{SVG}title").text == "EWR 33%, JFK 33%, LGA 33%"
    assert heights(found["origin"]) == [1, 1, 1]
    assert "missing" in found["median"].get("aria-label")
    text = str(transform)
    assert f"{len(FIELDS)} entries, {transform.width} features" in text.splitlines()[0]
    assert [line.split()[0] for line in text.splitlines()[2:]] == list(FIELDS)
    assert "required" in text
    assert "optional" in text
    assert "categories (3): 2139, 10001, 60601" in text


def test_an_unfitted_transform_shows_its_declaration():
    transform = Transform({"a": Numeric(log=True), "b": Category(missing="slot")})
    assert str(transform).splitlines()[0] == "Transform: 2 entries, not fitted"
    assert "Numeric(log=True)" in str(transform)
    assert set(pictures(transform._repr_html_()).values()) == {None}


def test_pictures_stay_in_the_process_that_fitted():
    transform = Transform({"a": Numeric()}).fit([{"a": 1}, {"a": 2}])
    digest = transform.digest
    assert "<svg" in transform._repr_html_()
    for again in (copy.copy(transform), Transform.from_json(transform.to_json())):
        assert again.digest == digest
        assert "<svg" not in again._repr_html_()
        assert str(again) == str(transform)


def test_everything_is_escaped_and_nothing_is_loaded():
    fields = {HOSTILE: Category(), "n": Numeric(), "h": Hashed(buckets=2)}
    rows = [{HOSTILE: HOSTILE, "n": 1, "h": HOSTILE}]
    shown = Transform(fields).fit(rows)._repr_html_() + Transform(fields)._repr_html_()
    tags = {element.tag.removeprefix(SVG) for element in parsed(shown).iter()}
    assert tags == {"div", "p", "table", "thead", "tbody", "tr", "th", "td", "svg", "title", "path"}
    assert "http" not in shown.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert parsed(shown).find(".//td").text == HOSTILE
    colours = {element.get("fill") for element in parsed(shown).iter(f"{SVG}path")} - {None}
    assert colours == {"currentColor"}


def test_numbers_have_at_most_24_bars_and_one_outlier_hides_nothing():
    values = [float(value) for value in range(1000)]
    (svg,) = pictures(Transform({"a": Numeric()}).fit({"a": [*values, 1e30, -1e30]})._repr_html_()).values()
    assert len(heights(svg)) == 24
    assert min(heights(svg)) > 0.5
    (flat,) = pictures(Transform({"a": Numeric()}).fit({"a": [3, 3]})._repr_html_()).values()
    assert heights(flat) == [1]
    (wide,) = pictures(
        Transform({"a": Numeric(clip=(0, 1))}).fit({"a": [-1.7e308, 1.7e308]})._repr_html_()
    ).values()
    assert heights(wide) == [1, 1]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=300))
def test_every_number_is_in_one_bar(values):
    column = np.array(values, dtype=np.float64)
    seen = sample(Schema((Field("a", "number"),)), {"a": column}).seen["a"]
    assert sum(seen.counts) == len(values)
    assert 1 <= len(seen.counts) <= 24


def test_times_are_hours_of_the_week_or_months():
    monday = datetime(2013, 1, 7, 22, tzinfo=UTC)
    fields = (Field("t", "instant", timezone="Asia/Kolkata"), Field("w", "wallclock"))
    moments = [monday, monday + timedelta(days=1)]
    for column in (
        np.array([moment.astimezone(fields[0].zone) for moment in moments], dtype=object),
        np.array([moment.replace(tzinfo=None) for moment in moments], dtype="M8[us]"),
    ):
        counts = sample(Schema(fields[:1]), {"t": column}).seen["t"].counts
        # 22:00 UTC on Monday is 03:30 on Tuesday in Kolkata
        assert [place for place, count in enumerate(counts) if count] == [24 + 3, 48 + 3]
    dates = np.array([datetime(2013, 2, 3), None, datetime(2013, 2, 4)], dtype=object)  # noqa: DTZ001
    seen = sample(Schema(fields[1:]), {"w": dates}).seen["w"]
    assert seen.counts == (0, 2, *[0] * 10)
    assert "33% missing" in seen.caption


def test_columns_without_a_picture_are_left_out():
    schema = Schema(
        (Field("a", "vector", size=3), Field("b", "number"), Field("c", "text"), Field("d", "text"))
    )
    objects = np.empty(2, dtype=object)
    objects[:] = [[1], {}]
    columns = {
        "a": np.zeros((2, 3)),
        "b": np.array([np.nan]),
        "c": objects,
        "d": np.array([None], dtype=object),
    }
    assert sample(schema, columns).seen == {}


def test_the_sample_is_small_and_no_view_of_the_table():
    column = np.arange(100_000.0)
    kept = sample(Schema((Field("a", "number"),)), {"a": column}).columns["a"]
    assert len(kept) <= 2048
    assert kept.base is None


def test_a_bundle_shows_its_baseline(store):
    bundle = Bundle.open(store / "1")
    shown = bundle._repr_html_()
    found = pictures(shown)
    assert sum(svg is not None for svg in found.values()) == 2 + len(bundle.baseline.outputs)
    assert len(heights(found["amount"])) <= 24
    assert max(heights(found["amount"])[5:-5]) == 1  # values are normal: the tallest bar is in the middle
    assert len(heights(found["country"])) == 3
    assert bundle.digest in shown
    assert len(repr(bundle)) < 400


@pytest.mark.parametrize("kind", [Timestamp(parts=("hour",)), Numeric(), Category()])
def test_any_kind_of_baseline_is_drawn(kind):
    from inprocml.bundle.display import baseline_pictures
    from inprocml.monitoring.baseline import build_baseline

    values = ["2013-01-01T05:00:00"] * 3 if isinstance(kind, Timestamp) else [7, 7, 7]
    transform = Transform({"a": kind}).fit({"a": values})
    baseline = build_baseline(
        transform.schema, transform.columns({"a": values}), {"y": [np.inf, 1e308, -1e308], "z": [np.nan] * 3}
    )
    drawn = baseline_pictures(baseline.fields | baseline.outputs)
    assert heights(parsed(drawn["a"])[0]) == [1]
    assert len(heights(parsed(drawn["y"])[0])) > 1
    assert parsed(drawn["z"]).find(f".//{SVG}title").text == "no value; 100% missing"


def test_drawing_is_text_and_cells_are_escaped():
    assert parsed(bars([], "nothing")).find(f".//{SVG}title").text == "nothing"
    assert heights(parsed(bars([1, 0, 1000], ""))[0])[0] > 0
    assert parsed(table(["<a>"], [["<b>", Markup("<i>c</i>")]])).find(".//i").text == "c"
    assert aligned([["a", "bcd"], ["ef\n g", "h" * 99]]).splitlines()[1] == "ef g  " + "h" * 57 + "..."
    assert aligned([]) == ""

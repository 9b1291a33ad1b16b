"""Curves as text and as SVG: inside their frame, in order, escaped."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from inprocml.drawing import lines
from inprocml.sizing.plot import plot

NUMBERS = st.floats(0, 1e9)
SERIES = st.dictionaries(
    st.text(min_size=1, max_size=12), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12), max_size=5
)


@given(SERIES, st.integers(0, 150), st.booleans())
@settings(max_examples=80)
def test_no_line_of_the_field_is_wider_than_told(series, width, ascii_only):
    drawn = plot(
        {f"s{i}": points for i, points in enumerate(series.values())}, width=width, ascii_only=ascii_only
    )
    field = drawn.split("\n")[:-2]
    assert all(len(line) <= max(24, width) for line in field)
    assert not ascii_only or drawn.isascii()


def test_greater_values_are_higher_and_later_ones_to_the_right():
    drawn = plot({"one": [(0.0, 1.0), (50.0, 10.0), (100.0, 100.0)]}, width=40, height=11, ascii_only=True)
    spots = [(line.index("."), row) for row, line in enumerate(drawn.split("\n")[:11]) if "." in line[10:]]
    assert [row for _, row in spots] == [0, 5, 10]
    assert [column for column, _ in spots] == sorted((column for column, _ in spots), reverse=True)
    assert "100 |" in drawn.split("\n")[0]


def test_what_cannot_be_drawn_is_left_out():
    assert plot({"none": [(1.0, 0.0), (1.0, math.nan), (1.0, math.inf)]}) == "(nothing to draw)"
    assert plot({}) == "(nothing to draw)"


@given(SERIES)
@settings(max_examples=80)
def test_an_svg_is_whole_whatever_the_numbers(series):
    tree = ET.fromstring(lines(series, "caption", x="x", y="y", alone=True))
    for circle in tree.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.get("cx")) <= 720
        assert 0 <= float(circle.get("cy")) <= 380


def test_a_curve_never_runs_backwards_whatever_the_order_of_its_points():
    tree = ET.fromstring(lines({"p99": [(10.0, 1.0), (90.0, 3.0), (20.0, 2.0)]}, "caption", x="x", y="y"))
    across = [float(circle.get("cx")) for circle in tree.iter() if circle.get("cx")]
    assert across == sorted(across)


def test_names_are_escaped_and_nothing_is_loaded():
    drawn = lines({"<script>": [(1.0, 1.0)]}, '"><b>', x="<i>", y="&", alone=False)
    assert "<script>" not in drawn
    assert "<b>" not in drawn
    assert "<i>" not in drawn
    assert "href" not in drawn
    ET.fromstring(drawn)


def test_a_file_of_its_own_is_light_or_dark_as_the_page_is():
    assert "color-scheme:light dark" in lines({}, "c", x="", y="", alone=True)
    assert "color-scheme" not in lines({}, "c", x="", y="")

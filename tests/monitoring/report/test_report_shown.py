"""The report in a terminal, a notebook and on a page: sound whatever it holds, and bounded."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.monitoring.report.sample import NOW, flights
from tests.monitoring.report.test_drift_report import reports

from inprocml.drawing import bars, cells, compared, spark, typed
from inprocml.monitoring.report import DriftReport, Health, words
from inprocml.monitoring.report.shares import moves
from inprocml.monitoring.verdict import (
    Action,
    DriftEvent,
    Finding,
    Moment,
    Progress,
    Reference,
    State,
    Test,
)

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&amp;</td></table>",
    "x" * 100_000,
    "\N{RIGHT-TO-LEFT OVERRIDE}evil\N{HEBREW LETTER ALEF}",
    "two\nlines\r\t\x1b[31mred\x00",
    "\ud800 alone",
    "\N{CJK UNIFIED IDEOGRAPH-5B57}" * 40,
    "']]>--><style>*{display:none}</style>",
    "",
)
VOID = {"meta", "br", "img"}
ALLOWED = {
    *("html", "head", "body", "title", "meta", "div", "p", "span", "strong", "small", "br", "bdi"),
    *("table", "thead", "tbody", "tr", "th", "td", "details", "summary", "svg", "path"),
}


class Reader(HTMLParser):
    """Fails where a tag is unknown, left open, or could act; keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag, attrs):
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in {"src", "href"}
            assert "url(" not in (value or "") or name == "aria-label"
        if tag not in VOID and tag != "path":
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID and tag != "path":
            assert self.open.pop() == tag

    def handle_data(self, said):
        self.said.append(said)


def read(markup):
    reader = Reader()
    reader.feed(markup)
    reader.close()
    assert not reader.open
    return "".join(reader.said)


def hostile_report():
    report = flights(others=3)
    found = report["wind_gust"]
    findings = tuple(
        replace(
            found,
            name=name,
            why=name,
            labels=(*tuple(f"={name}{i}" for i in range(len(found.labels) - 2)), "unseen", "missing"),
            new_values=MappingProxyType({name: 3}),
        )
        for name in HOSTILE
    )
    slots = tuple(replace(slot, psi=MappingProxyType({HOSTILE[0]: 0.2})) for slot in report.timeline)
    return replace(report, model=HOSTILE[0], version=HOSTILE[4], findings=findings, timeline=slots)


def test_names_of_new_values_are_said_to_be_of_all_rows():
    report = flights()
    lower = "Unseen values of all rows so far, at least: N901ZZ (9)"
    assert lower in read(report.html())
    table = named(report, report["tailnum"].new_values, exact=True)
    table = replace(table, health=replace(table.health, scope="table"))
    assert "Unseen values: N901ZZ (9)" in read(table.html())


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 31, 32])
def test_what_may_be_more_is_said_to_be_at_least(exact, count):
    report = named(flights(), {f"N{place}": 400 - place for place in range(count)}, exact=exact)
    for shown in (" ".join(report.text().split()), read(report.html())):
        assert ("Unseen values of all rows counted so far: N0 (400)" in shown) == (count > 0 and exact)
        assert ("so far, at least: N0 (400)" in shown) == (count > 0 and not exact)
        assert (f" and {count - 5} more" in shown) == (count > 5 and exact and count < 32)
        assert (f" and at least {count - 5} more" in shown) == (count > 5 and not (exact and count < 32))


def named(report, values, *, exact):
    """The report, with these names of new values in the one column that has any."""
    one = replace(report["tailnum"], new_values=MappingProxyType(dict(values)), new_values_exact=exact)
    return replace(report, findings=tuple(one if f.name == "tailnum" else f for f in report.findings))


def test_a_person_sees_state_columns_time_amount_and_gaps_at_a_glance():
    report = flights()
    for shown in (str(report), read(report.html())):
        for said in (
            "Drift: tailnum, wind_gust",
            "since 09:05 UTC (4 h 30 min)",
            "late 3 against the training rows",
            "Of 35 columns 2 drifted, 1 to watch, 30 ok, 2 not judged. 95,992 rows compared.",
            "7.2 % unseen, 0.3 % in training, since 09:05",
            "unseen +6.9 points",
            "up 0.60 sigma",
            "Too few rows for a verdict (12 to 31 rows): visib, new_radar.",
            "12 rows were dropped before they were counted.",
        ):
            assert said in re.sub(r"\s+", " ", shown), said


@pytest.mark.parametrize("state", State)
def test_no_state_but_ok_says_that_all_is_well(state):
    report = replace(flights(others=0), state=state, findings=())
    assert ("No drift" in report.text()) == (state is State.OK)
    assert ("No drift" in read(report.body())) == (state is State.OK)


def test_a_notebook_shows_the_fragment_and_a_page_holds_it():
    report = flights()
    assert report._repr_html_() == report.body()
    assert report.body() in report.html()
    assert "<html" not in report.body()
    assert repr(report) == str(report) == report.text()
    assert "<script" not in report.html()


def test_hostile_names_stay_text_everywhere():
    report = hostile_report()
    said = read(report.html())
    assert "<script>alert(1)</script>" in said  # as text
    for shown in (report.html(), report.text()):
        assert not set(shown) & {"\N{RIGHT-TO-LEFT OVERRIDE}", "\x1b", "\x00", "\ud800"}
    assert len(report.html().encode()) <= 300_000
    assert all(cells(line) <= 80 for line in report.text(80).split("\n"))


@given(reports(), st.integers(0, 160), st.booleans())
@settings(max_examples=60)
@example(hostile_report(), 40, True)
def test_any_report_can_be_shown(report, width, ascii_only):
    read(report.html())
    drawn = report.text(width, ascii_only=ascii_only)
    assert all(cells(line) <= max(width, 40) for line in drawn.split("\n"))
    assert not ascii_only or drawn.isascii()


def wide_report(columns, name="column {}", bins=67):
    one = flights(others=0)["tailnum"]
    found = replace(
        one,
        labels=(*(f"=value {i}" for i in range(bins - 3)), "other", "unseen", "missing"),
        reference=tuple(range(1, bins + 1)),
        current=tuple(range(bins, 0, -1)),
    )
    findings = tuple(replace(found, name=name.format(i)) for i in range(columns))
    psi = MappingProxyType({found.name: 0.123 for found in findings})
    slots = tuple(Moment(NOW - 3600 * (167 - i), 100 + i, psi) for i in range(168))
    return replace(flights(others=0), findings=findings, timeline=slots)


@pytest.mark.parametrize("name", ["column {}", "&<>\"' {} " + "'" * 60, "\N{HEBREW LETTER ALEF}" * 50 + "{}"])
@pytest.mark.parametrize("columns", [300, 3000])
def test_a_page_is_at_most_300_kilobytes_and_says_what_it_leaves_out(columns, name):
    page = wide_report(columns, name).html()
    assert len(page.encode()) <= 300_000
    shown = page.count("<bdi>")
    said = read(page)
    assert shown >= 50
    if columns == 300 and len(name) < 20:
        assert all(f"column {i}" in said for i in range(300))
    if columns == 3000:
        assert re.search(r"\d+ more columns are in the report's JSON", said)


def test_a_wide_report_is_short_in_a_terminal():
    lines = wide_report(300).text(100).split("\n")
    assert len(lines) < 125
    assert any("and 260 more" in line for line in lines)


def test_a_terminal_without_block_letters_gets_ascii_of_the_same_shape():
    report = flights()
    plain = report.text(90, ascii_only=True)
    assert plain.isascii()
    assert len(plain.split("\n")) == len(report.text(90).split("\n"))


def test_what_merged_hosts_show_says_so():
    merged = flights(others=0).merge(flights(seed=1, others=0))
    assert "of 2 hosts compared" in str(merged)
    for said in (read(merged.body()), " ".join(str(merged).split())):
        assert "Of one slot, the largest PSI of any host." in said


def test_words_are_made_where_the_decision_left_none():
    report = flights(others=0)
    bare = tuple(replace(found, why="") for found in report.findings)
    said = str(replace(report, findings=bare))
    assert re.search(r"tailnum: 7\.\d % unseen, 0 % training, since 09:05", said)
    assert "wind_gust: up 0.60 sigma against training, since 11:35" in said


@pytest.mark.parametrize(
    ("test", "effect", "said"),
    [
        (Test.LOCATION, -0.31, "down 0.31 sigma"),
        (Test.SCALE, 0.2, "spread 20 % wider"),
        (Test.SCALE, -0.2, "spread 20 % narrower"),
        (Test.SHAPE, 0.12, "shape, moderate (PSI 0.12)"),
        (Test.MISSING, 0.1, "missing +10.0 points"),
        (Test.OUT_OF_RANGE, 0.004, "out of range +0.4 points"),
    ],
)
def test_amounts_are_told_in_units_of_their_test(test, effect, said):
    report = flights(others=0)
    found = replace(report["wind_gust"], test=test, effect=effect)
    if test is Test.SHAPE:  # the test saw larger bins than the table
        found = replace(found, effect=2 * effect, measures=replace(found.measures, psi=effect))
    assert said in str(replace(report, findings=(found,)))


def test_a_calm_column_of_times_is_not_said_to_have_moved():
    """A part of a week is far from all weeks, and no verdict."""
    report = flights(others=0)
    calm = replace(report["wind_gust"], state=State.OK, test=Test.SHAPE, effect=5.0, why="")
    calm = replace(calm, measures=replace(calm.measures, psi=5.0))
    said = str(replace(report, findings=(calm,), timeline=()))
    assert "judged by whole days" in said
    assert "major" not in said


def test_a_calm_column_has_no_time_since_when():
    report = flights(others=0)
    calm = replace(report["carrier"], since=NOW - 7200)
    assert "11:35" not in str(replace(report, findings=(calm,), timeline=()))
    assert "11:35" not in read(replace(report, findings=(calm,), timeline=()).body())


def test_of_what_was_not_judged_no_amount_is_told():
    report = flights(others=0)
    few = replace(report["wind_gust"], state=State.INSUFFICIENT, effect=0.9, why="")
    assert "sigma" not in str(replace(report, findings=(few,)))
    assert "sigma" not in read(replace(report, findings=(few,)).body())


def test_an_order_that_categories_lack_is_not_told():
    report = flights(others=0)
    moved = replace(report["tailnum"], test=Test.LOCATION, effect=0.5)
    assert "sigma" not in str(replace(report, findings=(moved,)))


def test_what_is_older_than_a_day_has_its_date():
    report = replace(flights(others=0), since=NOW - 3 * 86_400)
    assert "since 2026-11-18 13:35 UTC (3 days 0 h)" in str(report)
    assert "since ? UTC (?)" in str(replace(report, since=1e300))


def test_an_empty_report_is_one_too():
    report = DriftReport("late", "3", Reference.LIVE, State.WARMING, NOW, None, 0, health=Health())
    assert "Warming up: no verdict yet" in str(report)
    assert "against an earlier healthy period" in read(report.html())


def test_bars_of_two_sides_are_on_one_scale():
    drawn = compared([1, 1], [30, 10], "then and now", width=100, height=22)
    filled, line = re.findall(r' d="([^"]+)"', drawn)[:2]
    assert filled == "M0 22H0V8.667H50V8.667H100V22z"
    assert line == "M0 22V2H50V15.33H100V22"


@given(st.lists(st.floats(0, 1e9), max_size=50), st.booleans())
def test_a_line_of_bars_has_a_letter_a_count_and_hides_none(counts, ascii_only):
    drawn = spark(counts, ascii_only=ascii_only)
    assert len(drawn) == len(counts)
    assert [letter == " " for letter in drawn] == [count == 0 for count in counts]


def test_a_bar_that_is_taller_than_any_number_is_as_tall_as_all():
    assert spark([1e300, 0.0], most=1e-300) == "\u2588 "


def test_the_picture_in_the_docs_is_what_the_code_draws():
    path = Path(__file__).parents[3] / "scripts" / "drift_picture.py"
    spec = importlib.util.spec_from_file_location("drift_picture", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    drawn = typed(script.example().text(), "A drift report in a terminal")
    ET.fromstring(drawn)
    assert script.PICTURE.read_text("utf-8") == drawn, "run scripts/drift_picture.py"


def test_a_finding_needs_no_bins_to_be_shown():
    found = Finding("x", "input", State.DRIFT, 9.0, 5.0, Test.SHAPE, 0.3, None, 10, (), (), ())
    report = replace(flights(others=0), findings=(found,))
    assert "shape, major" in read(report.html())
    assert "shape, major" in str(report)


def test_where_the_reference_has_too_few_rows_no_row_of_now_is_asked_for():
    report = flights()
    found = report.findings[-1]
    before = (10,) + (0,) * (len(found.labels) - 1)
    few = replace(found, name="young", state=State.INSUFFICIENT, rows=300, reference=before)
    said = str(replace(report, findings=(few,)))
    assert "Too little is known of training: young." in said
    assert "Too few rows for a verdict (300" not in said


def learning(**told):
    kept = {"done": 123, "wanted": 500, "block_rows": 100, "block_seconds": 60.0, "left": 9.2 * 86_400} | told
    return replace(flights(others=0), state=State.WARMING, progress=Progress(**kept))


def everywhere(report):
    """The text and the page, each as one line."""
    return [re.sub(r"\s+", " ", said) for said in (str(report), read(report.html()), read(report.body()))]


def test_warming_up_says_how_far_it_is_how_long_it_takes_and_what_is_judged_meanwhile():
    for said in everywhere(learning()):
        assert "123 of 500 blocks so far (a block is 100 rows and 60 s, at least); about 9 days more" in said
        assert "Judged meanwhile: values that training never saw (unseen, out of range)" in said
    for said in everywhere(replace(learning(wanted=1535), reference=Reference.LIVE)):
        assert "compared with from block 1,535 on: 123 so far" in said
        assert "Judged meanwhile" not in said
    for said in everywhere(flights(others=0)):
        assert "blocks so far" not in said


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (None, ", at least)."),
        (100.0, "about a minute more"),
        (5e3, "about 83 minutes"),
        (8e4, "about 22 hours"),
    ],
)
def test_the_time_left_is_one_round_number(left, said):
    assert said in everywhere(learning(left=left))[0]


def test_what_a_column_lacks_for_a_verdict_is_said():
    report = flights(others=0)
    few = replace(report["visib"], state=State.INSUFFICIENT, rows=312, why="visib: needs 1,000 rows, has 312")
    for said in everywhere(replace(report, findings=(few,))):
        assert "visib (needs 1,000 rows, has 312)" in said
        assert said.count("needs 1,000 rows") == 1


def test_rows_of_one_process_are_said_to_be_its_own():
    report = flights(others=0)
    for said in everywhere(replace(report, health=replace(report.health, scope="worker"))):
        assert "Of this process alone: what other processes of this host count could not be added" in said
    for scope in ("host", "hosts", "table"):
        for said in everywhere(replace(report, health=replace(report.health, scope=scope))):
            assert "this process" not in said


def test_rows_are_said_to_be_of_a_window():
    report = flights(others=0)
    found = replace(report["carrier"], begins=NOW - 86_400, ends=NOW - 60, rows=81_204)
    hour = replace(found, name="hour", begins=NOW - 7_200, ends=NOW - 3_600)
    shown = replace(report, findings=(found, hour), timeline=())
    assert re.search(r"carrier .* 81,204 +last 23 h 59 min", shown.text(160))
    assert re.search(r"hour .* 81,204 +11:35 to 12:35", shown.text(160))
    assert "81,204last 23 h 59 min" in read(shown.html())
    assert "of\n" not in replace(report, timeline=()).text(160)  # no window is known


def test_episodes_that_are_over_are_told():
    over = DriftEvent(
        "e1", Action.CLOSED, "late", "3", Reference.TRAIN, NOW, NOW, (), "<b>: drift; back to training"
    )
    report = replace(flights(others=0), ended=(over, replace(over, id="e2", why="")))
    for said in everywhere(report):
        assert "<b>: drift; back to training" in said
        assert "e2: over" in said


def test_noise_is_drawn_low_and_what_is_beyond_the_threshold_full():
    report = flights(others=0)
    slots = tuple(
        replace(slot, z=MappingProxyType({"tailnum": 1.2 + place / 100, "wind_gust": 0.5}))
        for place, slot in enumerate(report.timeline)
    )
    quiet = replace(report, timeline=slots)
    (line,) = [line for line in str(quiet).split("\n") if "largest z" in line]
    assert set(line.split()[-1]) <= {"▁", "▂", "▃"}
    assert "full height is 5.7, the threshold" in str(quiet)
    loud = replace(slots[-1], z=MappingProxyType({"tailnum": 41.0}))
    (line,) = [
        line for line in str(replace(report, timeline=(*slots[:-1], loud))).split("\n") if "largest z" in line
    ]
    assert line.endswith("█")
    assert "full height is 5.7, the threshold" in read(quiet.html())


def test_bars_beyond_the_full_height_end_there():
    (high,) = re.findall(r"v(-[\d.]+)h", bars([50.0], "far", most=5.0))
    (same,) = re.findall(r"v(-[\d.]+)h", bars([5.0], "at it", most=5.0))
    (half,) = re.findall(r"v(-[\d.]+)h", bars([2.5], "half", most=5.0))
    assert high == same == str(2 * float(half)).removesuffix(".0")


@pytest.mark.parametrize("columns", [20, 33])
def test_of_all_that_drifted_it_is_said_what_changed_up_to_twenty(columns):
    report = wide_report(columns)
    findings = tuple(replace(found, why=f"{found.name}: changed so") for found in report.findings)
    shown = replace(report, findings=findings)
    assert str(shown).count(": changed so") == 20
    assert ("\n  and 13 more\n" in str(shown)) == (columns == 33)
    assert ("and 13 more" in read(shown.html())) == (columns == 33)


def test_names_of_new_values_windows_and_moved_shares_are_the_same_in_a_terminal_and_on_a_page():
    report = flights()
    moved = [found for found in report.findings if found.state in {State.DRIFT, State.WATCH}]
    moved = [replace(found, begins=NOW - 7200, ends=NOW) for found in moved]
    others = [replace(found, begins=NOW - 86_400, ends=NOW) for found in report.findings[len(moved) :]]
    report = replace(report, findings=(*moved, *others))
    (tailnum,) = [found for found in moved if found.new_values]
    page, text = read(report.html()), " ".join(report.text(78).split())
    most = max(tailnum.new_values, key=lambda name: (tailnum.new_values[name], name))
    for said in (page, text):
        assert "Unseen values of all rows so far, at least: " in said
        assert f"{most} ({tailnum.new_values[most]:,})" in said
        assert "last 2 h" in said
        assert "last 24 h" in said, "of columns that did not move"
        for move in moves(moved[0], 3):
            assert move.label.removeprefix("=") in said


def test_a_window_that_began_a_day_ago_says_both_dates():
    found = replace(flights().findings[-1], begins=NOW - 28 * 3600, ends=NOW - 4 * 3600)
    assert words.window(found, NOW) == "2026-11-20 09:35 to 2026-11-21 09:35"


def test_a_narrow_terminal_says_of_which_slots_its_timeline_is():
    slot = flights().timeline[-1]
    slots = tuple(replace(slot, until=NOW - 3600 * ago, rows=100 + ago) for ago in reversed(range(30)))
    text = " ".join(replace(flights(), timeline=slots).text(40).split())
    assert "23 h until 13:35 UTC, 24 slots; at most 123 rows" in text
    assert "30 slots" in " ".join(replace(flights(), timeline=slots).text(80).split())


def test_a_timeline_in_which_nothing_is_told_says_so_and_draws_nothing():
    quiet = tuple(replace(moment, psi={}, z={}) for moment in flights().timeline)
    report = replace(flights(), timeline=quiet)
    for said in (read(report.html()), " ".join(report.text(90).split())):
        assert "No slot shows more than chance does, or has rows enough to tell." in said
        assert "largest" not in said

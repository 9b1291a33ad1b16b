"""The report of quality: text, page and JSON of the same; reports of hosts add up."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.monitoring.quality.test_quality import DAY, START, TWO, played
from tests.monitoring.report.test_report_shown import HOSTILE, Reader

from inprocml.drawing import cells, intervals
from inprocml.errors import Corrupt, Unsupported
from inprocml.monitoring.quality import Quality, QualityReport, Settings, reference, report_of
from inprocml.monitoring.quality.report import clock
from inprocml.monitoring.verdict import State


def known(rows=3_000, seed=9):
    random = np.random.default_rng(seed)
    scores = random.random(rows)
    truths = np.where(random.random(rows) < scores, "late", "ok")
    return reference(("ok", "late"), scores, truths)


def report_two(*, days=16, slices=None, model="late", seed=0, share=lambda scores: scores):
    quality = Quality(Settings(**TWO, reference=known(), slices=slices or {}))
    now = played(quality, days, share=share, seed=seed)
    return replace(quality.report(now), model=model, version="3", scope="host", workers=2)


def report_numbers():
    random = np.random.default_rng(2)
    truths = random.normal(0, 1, 500)
    before = reference((), truths + random.normal(0, 0.5, 500), truths)
    quality = Quality(Settings(kind="regression", reference=before, slices={"a": (1.5, 2.0)}))
    for day in range(12):
        at, ids = START + day * DAY, [f"{day}-{row}" for row in range(100)]
        answers, truths = random.normal(0, 1, 100), random.normal(0, 1, 100)
        quality.predicted(ids, answers, at, slices={"a": [1.5, 2.0] * 50})
        for name, truth in zip(ids, truths.tolist(), strict=True):
            quality.feedback(name, truth, at + DAY)
    return quality.report(START + 12 * DAY)


SLICED = {"carrier": ("UA", "AA")}


def empty():
    return Quality(Settings(**TWO)).report(START)


REPORTS = [report_two(), report_two(share=lambda scores: scores * 0.6), report_numbers(), empty()]


@pytest.mark.parametrize("report", REPORTS, ids=["fine", "worse", "numbers", "empty"])
def test_json_holds_all_of_it_exactly(report):
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    again = QualityReport.from_dict(document)
    assert again.to_dict() == report.to_dict()
    assert (again.state, again.why, again.metrics, again.cohorts) == (
        report.state,
        report.why,
        report.metrics,
        report.cohorts,
    )
    assert document["metrics"].keys() == report.metrics.keys()
    assert again.since == report.since
    assert again == report


def test_reports_are_equal_by_their_content():
    assert report_two() == report_two()
    assert report_two() != report_two(seed=1)
    assert report_numbers() == report_numbers() != empty()
    one, other = report_two(slices=SLICED), report_two(slices=SLICED)
    assert one == other
    assert one.settings == other.settings
    other.counters.delays[0] += 1
    assert one != other
    other.counters.delays[0] -= 1
    next(iter(other.counters.cohorts.values())).counts[0] += 1
    assert one != other
    assert one.counters != "counters"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one.counters)


PARTS = ["kind", "at", "model", "scope", "workers", "settings", "counters"]


@given(st.sampled_from(PARTS), st.sampled_from([None, -1, "x", [], {}, 1e300, True, [{}], {"kind": 1}]))
def test_what_is_no_report_is_refused(part, wrong):
    document = REPORTS[0].to_dict()
    if part == "kind" and isinstance(wrong, str):
        with pytest.raises(Unsupported, match="quality_report@1"):
            QualityReport.from_dict(document | {part: wrong})
        return
    if (part, wrong) == ("model", "x"):
        return
    with pytest.raises(
        Corrupt, match=r"the report of quality.*Give from_dict what to_dict returned, unchanged\.$"
    ):
        QualityReport.from_dict(document | {part: wrong})
    with pytest.raises(Corrupt):
        QualityReport.from_dict({name: value for name, value in document.items() if name != part})


@pytest.mark.parametrize(
    "wrong", [{"classes": ["ok"]}, {"budget": "0.5"}, {"slices": {"a": 1}}, {"recent": 0}]
)
def test_settings_that_cannot_be_are_refused(wrong):
    document = REPORTS[0].to_dict()
    document["settings"] |= wrong
    with pytest.raises(Corrupt):
        QualityReport.from_dict(document)


@pytest.mark.parametrize("number", [10**9, 2**40, 2**62])
def test_cohorts_of_a_time_that_no_calendar_has_are_refused(number):
    document = json.loads(json.dumps(REPORTS[0].to_dict()))
    document["counters"]["cohorts"][0]["number"] = number
    with pytest.raises(
        Corrupt, match=r"the report of quality.*Give from_dict what to_dict returned, unchanged\.$"
    ):
        QualityReport.from_dict(document)


def leaves(value, path=()):
    """Yield where the numbers, texts and flags of a document are; of a long list, some."""
    if isinstance(value, dict | list):
        places = value if isinstance(value, dict) else [*range(min(len(value), 6)), *range(6, len(value), 97)]
        for place in places:
            yield from leaves(value[place], (*path, place))
    else:
        yield path


ODD = [0, 1, -1, 2, 7, 10**6, 10**9, 10**11, 2**31, 2**53, 2**62, 2**63 - 1, 0.0, 0.5, 1e-300, 1e12, 1e300]
ODD += [None, True, "", "x", "\ud800", []]
DOCUMENTS = [json.loads(json.dumps(report.to_dict())) for report in (report_two(slices=SLICED), *REPORTS[1:])]
LEAVES = []  # of each document, by what they are: a thousand counts are drawn no more often than a name
for found in DOCUMENTS:
    kinds = {}
    for path in leaves(found):
        kinds.setdefault(tuple(step for step in path if isinstance(step, str)), []).append(path)
    LEAVES.append([kinds[kind] for kind in sorted(kinds)])


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_what_is_read_is_shown(data):
    place = data.draw(st.integers(0, len(DOCUMENTS) - 1))
    document = json.loads(json.dumps(DOCUMENTS[place]))
    for paths in data.draw(st.lists(st.sampled_from(LEAVES[place]), min_size=1, max_size=3)):
        path, inner = data.draw(st.sampled_from(paths)), document
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = data.draw(st.sampled_from(ODD))
    try:
        report = QualityReport.from_dict(document)
    except (Corrupt, Unsupported):
        return
    report.text()
    report.text(40, ascii_only=True)
    report.html()
    report.merge(report).to_dict()


@pytest.mark.parametrize("place", [0, 99, 300, 499, 700, 703])
def test_more_rows_than_integers_sum_are_refused(place):
    for count in (2**53, 2**63 - 1):
        document = json.loads(json.dumps(REPORTS[0].to_dict()))
        document["counters"]["cohorts"][0]["tally"]["counts"][place] = count
        with pytest.raises(Corrupt, match="the report of quality"):
            QualityReport.from_dict(document)


def test_hosts_add_up_and_figures_are_computed_again():
    one, other = report_two(seed=0), report_two(seed=1)
    both = one.merge(other)
    assert (both.scope, both.hosts, both.workers) == ("hosts", 2, 4)
    assert (both.model, both.version) == ("late", "3")
    total = one.counters + other.counters
    assert both.counters.document() == total.document()
    assert both.metrics == report_of(one.settings, total, max(one.at, other.at)).metrics
    assert QualityReport.from_dict(both.to_dict()).to_dict() == both.to_dict()
    assert one.merge().to_dict() == one.to_dict()


@pytest.mark.parametrize(
    "other", [report_two(model="fraud"), report_numbers(), report_two(slices={"carrier": ("UA",)})]
)
def test_reports_on_different_things_do_not_add_up(other):
    with pytest.raises(ValueError, match="do not add up"):
        REPORTS[0].merge(other)


@pytest.mark.parametrize("report", REPORTS, ids=["fine", "worse", "numbers", "empty"])
@pytest.mark.parametrize("width", [40, 100])
def test_text_is_as_wide_as_it_may_be(report, width):
    for ascii_only in (False, True):
        text = report.text(width, ascii_only=ascii_only)
        assert max(cells(line) for line in text.splitlines()) <= width
        assert text.isascii() or not ascii_only
        assert str(report.state) in text
    assert str(report) == report.text()


def test_text_says_figures_and_expectations():
    said = str(REPORTS[0])
    assert "quality of late 3: ok" in said
    for word in ("accuracy", "AUC", "Brier score", "95 %", "expected", "2 of which live"):
        assert word in said
    assert REPORTS[1].state is State.DRIFT
    assert "worse than promised" in str(REPORTS[1])


class Wider(Reader):
    def handle_starttag(self, tag, attrs):
        if tag not in {"circle", "text"}:
            super().handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        if tag not in {"circle", "text"}:
            super().handle_endtag(tag)


@pytest.mark.parametrize("report", REPORTS, ids=["fine", "worse", "numbers", "empty"])
def test_the_page_is_sound_and_bounded(report):
    page, reader = report.html(), Wider()
    reader.feed(page)
    assert not reader.open
    assert len(page.encode()) <= 300_000
    assert "script" not in page.replace("default-src", "")
    assert report.body() in page
    assert report._repr_html_() == report.body()


def test_what_a_figure_is_of_is_said_on_the_page_and_in_the_terminal():
    """The period of figures and of the calibration; how many rows are awaited; between what figures vary."""
    quality = Quality(Settings(**TWO, reference=known(), usual=0.9, labels_within=2 * DAY))
    played(quality, 12, seed=1, rows=300)
    quality.predicted([f"late-{row}" for row in range(170)], [0.3] * 170, START + 12 * DAY)
    report = quality.report(START + 12.5 * DAY)
    mature = [each for each in report.cohorts if each.mature][-report.settings.recent :]
    period = f"{clock(mature[0].start)} to {clock(mature[-1].until)} UTC"
    rows = sum(each.predicted for each in report.cohorts if each.number > mature[-1].number)
    assert rows >= 170
    page, text = report.html(), " ".join(report.text(400).split())
    for said in (page, text):
        assert f"How good answers were, {period}" in said
        assert f"of the {rows:,} predictions since " in said
        assert "in the newest one; between " in said
    assert f"Calibration, {period}" in page
    labels = sum(each.labelled for each in mature)
    assert f"{labels:,} labels, {period}" in page


def test_figures_over_time_are_dots_on_an_axis_that_says_what_it_spans():
    drawn = intervals([(0.93, 0.92, 0.94), None, (0.95, 0.94, 0.96)], "accuracy")
    heights = [float(found) for found in re.findall(r'cy="([^"]+)"', drawn)]
    assert len(heights) == 2
    assert heights[0] - heights[1] > 20, "0.93 and 0.95 do not look alike"
    assert all(f">{end}</text>" in drawn for end in ("0.92", "0.96"))
    assert REPORTS[0].html().count("<circle") > len([c for c in REPORTS[0].cohorts if c.mature])
    assert intervals([], "nothing").startswith("<svg")
    assert "nan" not in intervals([(1.0, 1.0, 1.0)], "certain")


def test_a_page_has_the_calibration_and_the_cohorts():
    page = REPORTS[0].html()
    assert "Calibration" in page
    assert "Over time" in page
    assert "reference" in page
    assert "Calibration" not in REPORTS[2].html()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_that_others_named_becomes_markup(hostile):
    slices = {hostile or "a": (hostile, "UA")}
    quality = Quality(Settings(**TWO, slices=slices))
    ids = [f"{row}" for row in range(100)]
    quality.predicted(ids, [0.7] * 100, START, slices={hostile or "a": [hostile] * 100})
    for name in ids:
        quality.feedback(name, "late", START)
    report = replace(quality.report(START + DAY), model=hostile, version=hostile)
    page, reader = report.html(), Wider()
    reader.feed(page)
    assert not reader.open
    assert "<script>alert" not in page
    assert len(page.encode()) <= 300_000
    text = report.text(80)
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_what_was_mended_is_not_told_again_when_longer_windows_are_full():
    quality, told = Quality(Settings(**TWO, reference=known(), usual=0.9, labels_within=2 * DAY)), {}
    for day in range(40):
        worse = 0.5 if 4 <= day < 8 else 1.0
        now = played(
            quality, 1, share=lambda scores, worse=worse: scores * worse, first=day, seed=day, rows=400
        )
        report = quality.report(now + DAY)
        told[day] = report.state
        if report.state is State.OK and day >= 8:  # never of labels that were not as promised
            rows, since = re.match(r"(\d+) labels since (.{16}) UTC are as", report.why).groups()
            began = datetime.strptime(since + "+0000", "%Y-%m-%d %H:%M%z").timestamp()
            assert began >= START + 8 * DAY
            assert 50 <= int(rows) <= 400
    assert {told[day] for day in range(6, 8)} == {State.DRIFT}
    assert {told[day] for day in range(12, 40)} == {State.OK}


def test_a_weak_change_that_lasts_is_told_though_days_waver():
    quality = Quality(Settings(**TWO, reference=known(20_000), usual=0.9, labels_within=2 * DAY))
    states = []
    for day in range(48):
        worse = 0.93 if day >= 16 else 1.0
        now = played(
            quality, 1, share=lambda scores, worse=worse: scores * worse, first=day, seed=day, rows=600
        )
        states.append(quality.report(now + DAY).state)
    assert State.DRIFT not in states[:16]
    assert states[40:].count(State.DRIFT) >= 6


def test_since_is_the_day_from_which_answers_are_worse_and_not_that_of_a_window():
    """Windows double as days pass, and what they begin with was fine."""
    quality, told = Quality(Settings(**TWO, reference=known(20_000), usual=0.9, labels_within=2 * DAY)), []
    for day in range(26):
        worse = 0.6 if day >= 11 else 1.0
        now = played(
            quality, 1, share=lambda scores, worse=worse: scores * worse, first=day, seed=day, rows=500
        )
        report = quality.report(now + DAY)
        assert (report.since is None) == (report.state not in {State.DRIFT, State.WATCH})
        if report.since is not None:
            told.append(report.since)
            assert QualityReport.from_dict(report.to_dict()).since == report.since
    assert len(told) > 10
    first = (START + 11 * DAY) // DAY * DAY
    assert set(told[2:]) == {first}


def test_since_stays_as_it_was_told():
    report = report_two(share=lambda scores: scores * 0.6)
    told = report_of(report.settings, report.counters, report.at, report.since - 3 * DAY)
    again = replace(told, model=report.model, version=report.version)
    assert again.since == report.since - 3 * DAY
    assert clock(again.since) in again.why
    assert report.merge(again).since == again.since

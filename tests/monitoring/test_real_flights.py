"""Real flights of 2013: the months of training replayed say nothing; what a person would name is named."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from examples.flask_app import flights
from examples.flask_app.train import transform
from inprocml.monitoring import Reference, build_baseline, layout_of
from inprocml.monitoring.alarm import Alarm, with_unrest
from inprocml.monitoring.counting import Form, Tally
from inprocml.monitoring.sample import with_sample
from inprocml.monitoring.verdict import Action, State
from inprocml.monitoring.watching.apart import with_stretches
from inprocml.monitoring.watching.joint import Together


class Late:
    """A model trained on January to June, and its baseline."""

    def __init__(self):
        self.table = flights.load()
        self.trained_on, self.later = flights.split(self.table)
        self.transform = transform()
        features = self.transform.fit_transform(self.trained_on)
        self.model = LogisticRegression(max_iter=50).fit(features[:, :4], self.trained_on["late"])
        columns, outputs = self.seen(self.trained_on)
        counted = build_baseline(self.transform.schema, columns, outputs)
        self.baseline = with_unrest(counted, columns, outputs)
        self.baseline = with_stretches(with_sample(self.baseline, columns, outputs), columns, outputs)

    def seen(self, frame):
        scores = self.model.predict_proba(self.transform.transform(frame)[:, :4])
        return self.transform.columns(frame), {"probability": scores[:, 1]}

    def replay(self, frame):
        """Return the alarm after these flights, as they left hour by hour, and its events."""
        at = pd.to_datetime(frame["time_hour"], utc=True)
        order = np.argsort(at, kind="stable")
        columns, outputs = self.seen(frame.iloc[order])
        hours = at.iloc[order].dt.floor("h").astype("datetime64[s, UTC]").astype("int64").to_numpy()
        layout = layout_of(self.baseline)
        alarm, events = Alarm(layout, model="late", version="1"), []
        starts = np.flatnonzero(np.diff(hours, prepend=0))
        for start, end in zip(starts, [*starts[1:], len(hours)], strict=True):
            tally = Tally(Form(layout))
            tally.add(
                {name: column[start:end] for name, column in columns.items()},
                {name: column[start:end] for name, column in outputs.items()},
            )
            events += alarm.add(tally.counts, tally.rows, float(hours[start]) + 3599)
        return alarm, events, float(hours[-1]) + 3599

    def together(self, frame, change=lambda places: places, every=12):
        """Return what all columns together show of these flights: looked at each so many hours."""
        at = pd.to_datetime(frame["time_hour"], utc=True)
        columns, outputs = self.seen(frame)
        hours = at.astype("datetime64[s, UTC]").astype("int64").to_numpy() // 3600
        layout, places = layout_of(self.baseline), change(self.baseline.places(columns, outputs))
        sampled = Together(layout, self.baseline, np.random.default_rng(0))
        found = []
        for hour in range(hours.min(), hours.max() + 1):
            sampled.add([each[hours == hour] for each in places], hour * 3600.0)
            if (hour + 1 - hours.min()) % every == 0:
                sampled._looked = 0  # as if it had last looked long ago
                found.append(sampled.due((hour + 1) * 3600.0)(lambda: None))
        return [look for look in found if look and look[Reference.TRAIN].state is not State.WARMING]


@pytest.fixture(scope="module")
def late():
    return Late()


def found(alarm, now):
    return {each.name: each for each in alarm.findings(Reference.TRAIN, now)}


def test_the_months_of_training_are_no_news(late):
    alarm, events, now = late.replay(late.trained_on)
    assert events == []
    assert alarm.state(Reference.TRAIN, now) is State.OK
    assert not [each.name for each in found(alarm, now).values() if each.state is State.WATCH]


def test_months_of_training_differ_and_the_baseline_knows(late):
    location, _, _ = late.baseline.unrest["input", "dep_delay"]
    assert 0.1 < np.sqrt(location) < 0.25  # June is half a sigma later than the half year
    assert ("input", "tailnum") not in late.baseline.unrest


def test_july_to_december_names_what_a_person_would(late):
    alarm, events, now = late.replay(late.later)
    first = events[0]
    assert (first.action, first.reference) == (Action.OPENED, Reference.TRAIN)
    assert [each.name for each in first.findings] == ["tailnum"]
    assert "unseen, 0.2 % expected from training" in first.findings[0].why
    assert datetime.fromtimestamp(first.at, UTC) < datetime(2013, 8, 1, tzinfo=UTC)
    assert datetime.fromtimestamp(first.since, UTC) < datetime(2013, 7, 8, tzinfo=UTC)
    drifting = {name for name, each in found(alarm, now).items() if each.state is State.DRIFT}
    assert {"tailnum", "dest"} <= drifting  # aircraft never seen; the destinations of December


def test_a_shuffled_table_has_no_unrest(late):
    shuffled = late.trained_on.sample(frac=1, random_state=3)
    columns, outputs = late.seen(shuffled)
    counted = build_baseline(late.transform.schema, columns, outputs)
    assert dict(with_unrest(counted, columns, outputs).unrest) == {}


# --- all columns together -----------------------------------------------------------------------------------


def between(frame, first, last):
    days = pd.to_datetime(frame["time_hour"], utc=True).dt.tz_convert("America/New_York").dt.date.astype(str)
    return frame[(days >= first) & (days <= last)]


def test_the_stormiest_weeks_of_training_are_no_news_to_all_columns_together(late):
    """The blizzards of 8 February and 8 March: no days of training differ more from all of it."""
    weeks = between(late.table, "2013-02-05", "2013-02-13"), between(late.table, "2013-03-05", "2013-03-11")
    found = [look for week in weeks for look in late.together(week)]
    apart = [each for look in found for each in look.values() if each.apart]
    assert len(apart) >= 5
    assert max(each.auc for each in apart) > 0.75
    assert {each.state for look in found for each in look.values()} == {State.OK}


def test_arrivals_that_no_longer_go_with_departures_are_found_by_all_columns_together(late):
    place = [each.name for each in layout_of(late.baseline).series].index("sched_arr")

    def turned(places):
        ranks = np.argsort(np.argsort(places[place], kind="stable"))
        return [np.sort(each)[::-1][ranks] if k == place else each for k, each in enumerate(places)]

    found = late.together(between(late.table, "2013-05-13", "2013-05-15"), turned, every=24)
    assert {look[Reference.TRAIN].state for look in found} == {State.WATCH}
    assert all("sched_arr" in dict(look[Reference.TRAIN].columns) for look in found)
    assert all(look[Reference.TRAIN].reach > 0.7 for look in found)

"""The example application, on real flights: trained, packed, asked."""

from __future__ import annotations

import importlib
import json

import pytest

from examples.flask_app import flights
from examples.flask_app.train import train, transform

AFTER_PUSH_BACK = {"dep_time", "arr_time", "arr_delay", "air_time", "late"}


@pytest.fixture(scope="module")
def table():
    return flights.load()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = tmp_path_factory.mktemp("example") / "late"
    train(store, rows=5_000)
    return store


@pytest.fixture
def client(store, monkeypatch):
    monkeypatch.setenv("LATE_MODEL", str(store))
    app = importlib.reload(importlib.import_module("examples.flask_app.app"))
    yield app.app.test_client()
    app.late.close()


def test_nothing_is_used_that_is_known_only_after_push_back():
    assert set(transform().fields) == set(flights.FIELDS)
    assert not set(flights.FIELDS) & AFTER_PUSH_BACK


def test_training_and_test_flights_are_of_different_months(table):
    first, second = flights.split(table, train_rows=1000)
    assert len(first) == 1000
    assert set(first["month"]) <= {1, 2, 3, 4, 5, 6}
    assert set(second["month"]) == {7, 8, 9, 10, 11, 12}
    assert not first[[*flights.FIELDS, "late"]].isna().any(axis=None)


def test_it_answers_better_than_always_saying_on_time(client, table):
    later = flights.split(table)[1].sample(n=300, random_state=7)
    answers = [
        client.post("/late", data=json.dumps(row), content_type="application/json")
        for row in flights.as_rows(later)
    ]
    assert {answer.status_code for answer in answers} == {200}
    right = sum(
        (answer.json["late"] == "late") == known for answer, known in zip(answers, later["late"], strict=True)
    )
    assert right / 300 > 1 - later["late"].mean() + 0.03
    assert all(0 <= answer.json["p"] <= 1 for answer in answers)


def test_the_page_and_the_probes(client):
    assert client.get("/").status_code == 200
    assert client.get("/_ml/live").status_code == 200
    assert client.post("/late", json={}).status_code == 422

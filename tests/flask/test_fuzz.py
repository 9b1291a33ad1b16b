"""Whatever a client sends, the answer is an answer or a problem document, and the next request is fine."""

from __future__ import annotations

import json

import flask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import pack_small

from inprocml import Model, Prediction
from inprocml.flask import predicts

GOOD = {"amount": 80.0, "country": "us"}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    store = tmp_path_factory.mktemp("fuzz") / "fraud"
    pack_small(store)
    model = Model(store)
    app = flask.Flask("fuzz")
    app.testing = True  # what the view raises would come through here

    @app.post("/")
    @predicts(model)
    def score(prediction: Prediction) -> dict[str, object]:
        return {"value": prediction.value, "p": prediction.probability}

    yield app.test_client()
    model.close()


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=20)
    | st.sampled_from(["us", "de", "nan", "1.5", "\x00", "\ud800", "e\u0301", "🛫"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
rows = st.dictionaries(st.sampled_from(["amount", "country", "other", "Amount", ""]), values, max_size=5)


def check(client, response):
    assert response.status_code in {200, 400, 413, 415, 422}, response.data
    if response.status_code != 200:
        assert response.mimetype == "application/problem+json"
        assert response.json["status"] == response.status_code
    again = client.post("/", json=GOOD)
    assert again.status_code == 200
    assert again.json["value"] == "fraud"


@settings(max_examples=300)
@given(body=rows | values)
def test_any_json(client, body):
    check(client, client.post("/", data=json.dumps(body), content_type="application/json"))


@settings(max_examples=200)
@given(body=st.binary(max_size=200))
def test_any_bytes(client, body):
    check(client, client.post("/", data=body, content_type="application/json"))


@settings(max_examples=100)
@given(start=st.integers(0, 40), cut=st.binary(max_size=8))
def test_a_good_body_with_a_hole(client, start, cut):
    good = json.dumps(GOOD).encode()
    check(
        client, client.post("/", data=good[:start] + cut + good[start + 1 :], content_type="application/json")
    )


@settings(max_examples=100)
@given(content_type=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_any_content_type(client, content_type):
    check(client, client.post("/", data=json.dumps(GOOD), headers={"Content-Type": content_type}))


@settings(max_examples=300)
@given(row=rows)
def test_an_answer_is_given_only_to_a_row_of_the_right_types(client, row):
    response = client.post("/", data=json.dumps(row), content_type="application/json")
    fits = set(row) <= {"amount", "country"} and type(row.get("country")) is str
    if response.status_code == 200:
        assert fits
        assert row.get("amount") is None or type(row["amount"]) in {int, float}

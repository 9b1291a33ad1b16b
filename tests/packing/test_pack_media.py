"""A model of a picture, a text and a clip: packed, opened, and asked through a web view."""

from __future__ import annotations

import json
from pathlib import Path

import flask
import pytest
from tests.transform.media_content import RATE, base64, picture, samples, tokenizer_file, wav

import inprocml
from inprocml import Audio, Classes, Image, Text, Transform
from inprocml.flask import predicts

torch = pytest.importorskip("torch")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(16, 4)
        self.last = torch.nn.Linear(3 * 6 * 8 + 4 + 12 * 11 + 8, 2)

    def forward(self, photo, note_ids, note_mask, call, features):
        mask = note_mask.unsqueeze(-1).to(torch.float32)
        said = (self.words(note_ids) * mask).sum(1)
        return self.last(torch.cat([photo.flatten(1), said, call.flatten(1), features], 1))


ROWS = [
    {
        "photo": picture(i),
        "note": ["the flight is late", "caf\u00e9", None][i % 3],
        "call": wav(samples(i)) if i % 2 else samples(i, 50 + i),
    }
    for i in range(24)
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    fields = {
        "photo": Image(size=(6, 8)),
        "note": Text(tokenizer=tokenizer_file(), max_length=9, missing="empty"),
        "call": Audio(sample_rate=RATE, seconds=0.1, n_fft=256, hop=80, mels=12, lengths=True),
        "grams": Text(buckets=8, field="note", missing="empty"),
    }
    store = tmp_path_factory.mktemp("store") / "media"
    inprocml.pack(
        store,
        transform=Transform(fields).fit(ROWS),
        model=Net().eval(),
        output=Classes(["fine", "poor"], scores="logits"),
        baseline=ROWS,
    )
    return store


def test_one_row_and_many_are_answered_alike(packed):
    model = inprocml.Model(packed)
    many = model.predict_many(ROWS)
    for row, answer in zip(ROWS, many, strict=True):
        one = model.predict(row)
        assert one.value == answer.value
        assert one.probability == pytest.approx(answer.probability, abs=1e-5)
    model.close()


def test_no_file_and_no_long_text_is_in_the_baseline(packed):
    (baseline,) = packed.rglob("baseline.json")
    text = baseline.read_text()
    assert "flight" not in text
    fields = {field["name"]: field for field in json.loads(text)["fields"]}
    assert {"photo.bytes", "note.length", "call.samples", "call.level"} <= set(fields)
    assert {"photo", "note", "call"}.isdisjoint(fields)
    assert {fields[name]["kind"] for name in fields} == {"number@1"}  # no value of any field


def test_a_view_takes_base64_up_to_the_size_that_it_says(packed):
    model = inprocml.Model(packed)
    app = flask.Flask("media")

    @app.post("/small")
    @predicts(model, max_body=1_000)
    def small(prediction):
        return {"value": prediction.value}

    @app.post("/large")
    @predicts(model, max_body=10_000_000)
    def large(prediction):
        return {"value": prediction.value}

    row = {"photo": base64(ROWS[0]["photo"]), "note": "late", "call": samples()}
    client = app.test_client()
    assert client.post("/small", json=row).status_code == 413
    answer = client.post("/large", json=row)
    assert answer.status_code == 200
    assert answer.json["value"] == model.predict({**row, "photo": ROWS[0]["photo"]}).value
    refused = client.post("/large", json=row | {"photo": base64(b"GIF89a"), "call": [2]})
    assert refused.status_code == 422
    assert set(refused.json["issues"]) == {"photo", "call"}
    model.close()

"""Models of pictures, sound, texts and vectors: what has changed in them is named, and nothing else."""

from __future__ import annotations

import random
import sys
from io import BytesIO

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image as Pillow
from tests.transform.media_content import RATE, samples, tokenizer_file, wav

import inprocml
from inprocml import Audio, Image, Model, Monitoring, Regression, Text, Transform, Vector
from inprocml.monitoring.glimpses import Glimpses
from inprocml.monitoring.verdict import State

ENTRIES = {
    "photo": Image(size=(12, 16), missing="empty"),
    "note": Text(tokenizer=tokenizer_file(), max_length=16, pad_to=(4, 8, 16), pad_token="[PAD]"),
    "call": Audio(sample_rate=RATE, seconds=0.1, n_fft=256, hop=80, mels=12),
    "v": Vector(size=6),
}
COUNTED = {
    "photo.bytes",
    "photo.brightness",
    "photo.contrast",
    "note.length",
    "note.tokens",
    "note.unknown",
    "call.bytes",
    "call.samples",
    "call.level",
    "call.energy",
    "call.seconds",
    "v.norm",
    "v.direction",
    "v.reconstruction",
}

NEW = {
    "photo.brightness",
    "photo.contrast",
    "note.tokens",
    "note.unknown",
    "call.energy",
    "call.seconds",
    "v.reconstruction",
}


def picture(seed, light=1.0):
    """A picture of 31 x 20 pixels; ``light`` scales what is between 40 and 140 of 255."""
    noise = np.random.default_rng(seed).uniform(40, 140, (5, 7, 3)) * light
    file = BytesIO()
    Pillow.fromarray(noise.astype(np.uint8)).resize((31, 20)).save(file, "PNG")
    return file.getvalue()


def vector(seed, within=(0, 1)):
    rng = np.random.default_rng(seed)
    made = rng.normal(size=6) * 0.05
    made[list(within)] += rng.normal(size=2) * 2
    return made.tolist()


def row(seed):
    draw = random.Random(seed)
    return {
        "photo": None if seed % 20 == 0 else picture(seed),
        "note": " ".join(draw.choices(["the", "flight", "is", "late", "Zug"], [8, 8, 8, 8, 1], k=6)),
        "call": wav([0.5 * sample for sample in samples(seed, 400 + seed % 200)]),
        "v": vector(seed),
    }


ROWS = [row(seed) for seed in range(400)]


def graph():
    """The mean of a picture, and the first number of the vector."""
    photo = helper.make_tensor_value_info("photo", TensorProto.FLOAT, ["n", 3, 12, 16])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 6])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])
    nodes = [
        helper.make_node("Flatten", ["photo"], ["flat"]),
        helper.make_node("ReduceMean", ["flat", "axes"], ["light"], keepdims=1),
        helper.make_node("ReduceMean", ["features", "axes"], ["where"], keepdims=1),
        helper.make_node("Add", ["light", "where"], ["y"]),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    made = helper.make_graph(nodes, "g", [photo, features], [out], [axes])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "seen"
    transform = Transform(ENTRIES).fit(ROWS)
    inprocml.pack(path, transform=transform, model=graph(), output=Regression(), baseline=ROWS)
    return path


@pytest.fixture
def model(store, tmp_path):
    with Model(store, monitoring=Monitoring(folder=tmp_path)) as made:
        yield made


def counts(model):
    """What was counted of this process's requests, and what of training."""
    monitor = model._servable(model._process()).monitor
    layout = monitor.layout
    total = monitor.ask(lambda known: known.total.counts.copy())
    named = [each.name for each in layout.series]
    return dict(zip(named, layout.parts(total), strict=True)), dict(
        zip(named, layout.parts(layout.reference()), strict=True)
    )


def same_bins(found):
    live, training = found
    assert live.keys() >= COUNTED
    for name in COUNTED:
        np.testing.assert_array_equal(live[name], training[name], err_msg=name)


def test_rows_of_training_fall_into_their_own_bins_served_one_by_one(model):
    for each in ROWS:
        model.predict(each)
    same_bins(counts(model))
    assert model.drift().health.sampled == len(ROWS)


async def test_and_so_where_they_are_awaited(model):
    for each in ROWS:
        await model.apredict(each)
    same_bins(counts(model))


@pytest.mark.parametrize("how", ["a table", "an iterator"])
def test_and_so_where_many_come_at_once(model, how):
    answers = list(model.predict_many(ROWS if how == "a table" else iter(ROWS)))
    assert len(answers) == len(ROWS)
    same_bins(counts(model))


def test_and_so_where_they_are_compared_afterwards(model):
    report = model.drift(ROWS)
    assert (report.state, report.rows) == (State.OK, 400)
    assert {found.name for found in report.findings} >= COUNTED
    for found in report.findings:
        assert found.current == found.reference, found.name
    assert model.skew(ROWS).drift.state is State.OK


def told(model, **changes):
    """The names of what has drifted where fields of the rows of training were changed."""
    served = [
        {**each, **{name: change(place) for name, change in changes.items()}}
        for place, each in enumerate(ROWS)
    ]
    return {found.name for found in model.drift(served).drifted if found.role == "input"}


def test_darker_pictures_are_named(model):
    named = told(model, photo=lambda place: picture(place, light=0.6))
    assert "photo.brightness" in named
    assert {name.partition(".")[0] for name in named} == {"photo"}


def test_pictures_that_stay_away_are_told_from_dark_ones(model):
    found = model.drift([{**each, "photo": None} for each in ROWS])["photo.brightness"]
    assert (found.state, found.measures.missing) == (State.DRIFT, 1.0)


def test_a_microphone_with_less_gain_is_named(model):
    named = told(model, call=lambda place: wav([0.2 * s for s in samples(place, 400 + place % 200)]))
    assert "call.energy" in named
    assert named <= {"call.energy"}  # as many bytes, as many seconds


def test_clips_that_are_cut_short_are_named(model):
    named = told(model, call=lambda place: wav([0.5 * s for s in samples(place, 200 + place % 100)]))
    assert "call.seconds" in named


def test_texts_in_another_language_are_named(model):
    words = ["der", "Flug", "ist", "spat", "Zug"]
    named = told(model, note=lambda place: " ".join(random.Random(place).choices(words, k=6)))
    assert "note.unknown" in named
    assert {name.partition(".")[0] for name in named} == {"note"}


def test_vectors_that_leave_the_plane_of_training_are_named(model):
    named = told(model, v=lambda place: vector(place, within=(3, 4)))
    assert "v.reconstruction" in named
    assert "v.norm" not in named


def test_rows_that_are_served_later_are_named_too(model):
    for place in range(400):
        model.predict({**ROWS[place], "photo": picture(place, light=0.6)})
    live, training = counts(model)
    assert live["photo.brightness"].sum() == 400
    assert np.abs(live["photo.brightness"] - training["photo.brightness"]).sum() > 400
    np.testing.assert_array_equal(live["call.energy"], training["call.energy"])


def test_a_model_that_was_packed_before_there_was_any_of_this_serves_on(tmp_path, monkeypatch):
    packing = sys.modules["inprocml.packing.pack"]
    monkeypatch.setattr(packing, "Glimpses", lambda _: Glimpses(()))
    monkeypatch.setattr(packing, "planes_of", lambda *_: {})
    transform = Transform(ENTRIES).fit(ROWS)
    bundle = inprocml.pack(
        tmp_path / "old", transform=transform, model=graph(), output=Regression(), baseline=ROWS
    )
    assert b"planes" not in (bundle.path / "baseline.json").read_bytes()
    with Model(tmp_path / "old", monitoring=Monitoring(folder=tmp_path / "counts")) as old:
        for each in ROWS[:30]:
            old.predict(each)
        list(old.predict_many(ROWS[30:60]))
        live, _ = counts(old)
        assert {name for name in COUNTED if name in live} == COUNTED - NEW
        assert all(live[name].sum() == 60 for name in live)
        assert old.drift(ROWS).state is State.OK


def test_tensors_that_nobody_expected_cost_no_request(model, caplog):
    monitor = model._servable(model._process()).monitor
    monitor.saw(ROWS[0], {"y": np.ones((1, 1), np.float32)}, "id", {})
    assert "rows could not be noted" in caplog.text
    assert monitor.noted({"photo": np.zeros(3)}) == {}
    monitor.saw_table(ROWS[:2], [{"y": np.ones((2, 1), np.float32)}], [{}])
    assert monitor.numbers()["failed"] == 2  # and none of them is counted as missing
    model.predict(ROWS[0])
    assert model.drift().health.sampled == 1

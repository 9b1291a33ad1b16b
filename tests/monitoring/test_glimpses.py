"""Numbers of tensors, of the few values that a request keeps: the same for a row alone and for a table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transform.media_content import RATE, picture, samples, tokenizer_file, wav

from inprocml import Audio, Image, Text, Transform
from inprocml.monitoring.glimpses import MOST_VALUES, Glimpses
from inprocml.values import Medium

ENTRIES = {
    "photo": Image(size=(6, 8), missing="empty"),
    "note": Text(
        tokenizer=tokenizer_file(), max_length=16, pad_to=(4, 8, 16), pad_token="[PAD]", missing="empty"
    ),
    "call": Audio(
        sample_rate=RATE, seconds=0.2, pad_to=(0.05, 0.1, 0.2), n_fft=256, hop=80, mels=12, missing="empty"
    ),
}
PHOTOS = [picture(seed) for seed in range(3)]
ROWS = st.fixed_dictionaries(
    {
        "photo": st.none() | st.sampled_from(PHOTOS),
        "note": st.none() | st.lists(st.sampled_from(["the", "late", "Zug"]), max_size=20).map(" ".join),
        "call": st.none()
        | st.builds(samples, st.integers(0, 3), st.integers(1, 1600))
        | st.builds(samples, st.integers(0, 3), st.integers(1, 1600)).map(wav),
    }
)
TRANSFORM = Transform(ENTRIES).fit([{"photo": PHOTOS[0], "note": "the", "call": samples()}])
GLIMPSES = Glimpses(TRANSFORM.media)
NAMES = ["photo.brightness", "photo.contrast", "note.tokens", "note.unknown", "call.energy", "call.seconds"]


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=6))
def test_a_row_alone_has_the_numbers_that_it_has_beside_others(rows):
    columns = TRANSFORM.columns(rows)
    whole = GLIMPSES.beside(columns, GLIMPSES.table(TRANSFORM.transform(rows)))
    alone = GLIMPSES.numbers([GLIMPSES.of(TRANSFORM.transform_one(row)) for row in rows])
    served = GLIMPSES.beside(columns, alone)
    assert sorted(whole.keys() - columns.keys()) == sorted(NAMES)
    for name in NAMES:
        assert whole[name].dtype == np.float64
        np.testing.assert_array_equal(whole[name], served[name])
        missing = [row[name.partition(".")[0]] is None for row in rows]
        assert np.isnan(whole[name]).tolist() == missing  # never a wrong one


def numbers(rows):
    return GLIMPSES.beside(TRANSFORM.columns(rows), GLIMPSES.table(TRANSFORM.transform(rows)))


def test_what_the_numbers_are():
    tensors = TRANSFORM.transform([{"photo": PHOTOS[1], "note": "Zug the late Zug", "call": samples(1, 800)}])
    found = numbers([{"photo": PHOTOS[1], "note": "Zug the late Zug", "call": samples(1, 800)}])
    assert found["photo.brightness"] == pytest.approx(tensors["photo"].mean(), rel=1e-6)
    assert found["photo.contrast"] == pytest.approx(tensors["photo"].std(), rel=1e-6)
    assert found["note.tokens"] == 6  # two of them the tokenizer's own
    assert found["note.unknown"] == pytest.approx(2 / 6)
    assert found["call.seconds"] == 0.1
    own = tensors["call"][0, :, : int(tensors["call_lengths"][0])]
    assert found["call.energy"] == pytest.approx(own.mean(), rel=1e-6)  # all: they are few


def test_a_file_of_sound_lasts_as_long_as_its_header_says():
    clip = samples(2, 1000)
    found = numbers(
        [{"photo": None, "note": None, "call": clip}, {"photo": None, "note": None, "call": wav(clip)}]
    )
    assert found["call.seconds"].tolist() == [0.125, 0.125]
    assert found["call.energy"][0] == found["call.energy"][1]


SIDES = st.integers(0, 700)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), SIDES, SIDES)
def test_a_glimpse_is_small_whatever_the_shape(channels, height, width):
    tensor = np.broadcast_to(np.float32(0.25), (channels, height, width))
    glimpses = Glimpses([Medium("picture", "photo", "photo")])
    glimpse = glimpses.of({"photo": tensor})
    assert glimpse[0].size <= MOST_VALUES
    assert glimpse[0].base is None  # holds nothing else in memory
    assert (glimpse[0].size > 0) == (tensor.size > 0)
    (brightness,) = glimpses.numbers([glimpse])["photo.brightness"]
    assert brightness == 0.25 if tensor.size else np.isnan(brightness)


def test_a_glimpse_sees_all_of_a_picture():
    tensor = np.zeros((1, 96, 96), np.float32)
    for row in range(0, 96, 48):
        for column in range(0, 96, 48):
            part = tensor.copy()
            part[:, row : row + 48, column : column + 48] = 1.0
            glimpses = Glimpses([Medium("picture", "photo", "photo")])
            (brightness,) = glimpses.numbers([glimpses.of({"photo": part})])["photo.brightness"]
            assert brightness == pytest.approx(0.25)


def test_no_frames_one_pixel_and_no_tokens():
    media = [
        Medium("picture", "photo", "photo"),
        Medium("sound", "call", "call", told="call_lengths"),
        Medium("tokens", "note", "ids", told="mask", unknown=0),
    ]
    made = {
        "photo": np.full((3, 1, 1), 0.5, np.float32),
        "call": np.zeros((12, 0), np.float32),
        "call_lengths": np.array(0),
        "ids": np.zeros(4, np.int64),  # padding is no unknown token, though it has its id
        "mask": np.zeros(4, np.int64),
    }
    glimpses = Glimpses(media)
    found = {name: column[0] for name, column in glimpses.numbers([glimpses.of(made)]).items()}
    assert (found["photo.brightness"], found["photo.contrast"]) == (0.5, 0.0)
    assert (found["note.tokens"], found["note.unknown"]) == (0, 0)
    assert np.isnan(found["call.energy"])


def test_unknown_tokens_of_a_very_long_text_are_those_of_its_beginning():
    glimpses = Glimpses([Medium("tokens", "note", "ids", told="mask", unknown=1)])
    ids = np.concatenate([np.ones(512, np.int64), np.full(5_000, 7)])
    found = glimpses.numbers([glimpses.of({"ids": ids, "mask": np.ones(5_512, np.int64)})])
    assert (found["note.tokens"][0], found["note.unknown"][0]) == (5_512, 0.5)


def test_only_what_is_counted_is_made():
    assert not Glimpses(TRANSFORM.media, ["photo.bytes", "note.length"])  # as packed before there was more
    some = Glimpses(TRANSFORM.media, ["note.unknown", "call.seconds"])
    rows = [{"photo": PHOTOS[0], "note": "the Zug", "call": samples()}]
    assert len(some.of(TRANSFORM.transform_one(rows[0]))) == 1
    made = some.beside(TRANSFORM.columns(rows), some.table(TRANSFORM.transform(rows)))
    assert made.keys() - set(ENTRIES) == {"note.unknown", "call.seconds"}


def test_of_several_entries_that_read_one_field_the_first():
    entries = {"photo": Image(size=(6, 8)), "small": Image(size=(2, 2), colours="L", field="photo")}
    transform = Transform(entries).fit([{"photo": PHOTOS[0]}])
    rows = [{"photo": PHOTOS[0]}]
    found = Glimpses(transform.media).table(transform.transform(rows))
    assert list(found) == ["photo.brightness", "photo.contrast"]
    assert found["photo.brightness"] == pytest.approx(transform.transform(rows)["photo"].mean(), rel=1e-6)


def test_a_field_of_that_name_comes_first():
    glimpses = Glimpses([Medium("picture", "photo", "photo")])
    columns = {"photo": np.array([b"x"], object), "photo.brightness": np.array([7.0])}
    found = glimpses.beside(columns, glimpses.table({"photo": np.ones((1, 3, 2, 2), np.float32)}))
    assert found["photo.brightness"].tolist() == [7.0]
    assert found["photo.contrast"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("model", "unknown"),
    [
        ({"type": "WordLevel", "vocab": {"the": 0, "[UNK]": 5}, "unk_token": "[UNK]"}, 5),
        ({"type": "Unigram", "vocab": [["the", -1.0], ["<unk>", 0.0]], "unk_id": 1}, 1),
        ({"type": "BPE", "vocab": {"t": 0, "h": 1}, "merges": [], "unk_token": None}, None),
        ({"type": "BPE", "vocab": {"t": 0, "?": 3}, "merges": [], "unk_token": "?"}, 3),
    ],
)
def test_which_token_stands_for_what_a_vocabulary_lacks(model, unknown):
    file = tokenizer_file(model=model, added_tokens=[], post_processor=None)
    transform = Transform({"note": Text(tokenizer=file, max_length=4, special=False)}).fit([{"note": "t"}])
    (medium,) = transform.media
    assert medium.unknown == unknown
    made = Glimpses(transform.media).table(transform.transform([{"note": "t"}]))
    assert ("note.unknown" in made) == (unknown is not None)

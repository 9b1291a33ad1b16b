"""Hostile files and hostile documents, through the transform: refused by field, before they cost anything."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transform.media_content import GOOD, RATE, base64, fitted, picture, samples, tokenizer_file, wav

from inprocml import Audio, Corrupt, Image, InvalidRow, Text, Transform, TransformError, Unsupported

TRANSFORM = fitted()
DOCUMENT = json.loads(TRANSFORM.to_json())
PLACES = {field["name"]: place for place, field in enumerate(DOCUMENT["fields"])}
JPEG, PNG, WEBP, WAV = picture(9, "JPEG"), picture(9), picture(9, "WEBP"), wav(samples(9))


def reason(field, value, transform=TRANSFORM):
    """Why a row with ``value`` is refused, by the row path and by the table's alike."""
    row = {**GOOD, field: value}
    with pytest.raises(InvalidRow) as one:
        transform.transform_one(row)
    with pytest.raises(InvalidRow) as many:
        transform.transform([row])
    assert one.value.issues == many.value.issues
    assert set(one.value.issues) == {field}
    return one.value.issues[field]


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def vast(width=10_000, height=10_000):
    """A PNG that claims a hundred megapixels in some hundred bytes."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_a_hundred_megapixels_are_refused_by_their_header():
    tracemalloc.start()
    assert "at most 50000000 pixels" in reason("photo", vast())
    assert "at most 50000000 pixels" in reason("photo", base64(vast()))
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


@pytest.mark.parametrize("content", [JPEG, PNG, WEBP, picture(9, "BMP")], ids=["JPEG", "PNG", "WEBP", "BMP"])
def test_a_picture_cut_short_is_refused_wherever_it_is_cut(content):
    for end in range(0, len(content) - 12, max(1, len(content) // 23)):
        assert reason("photo", content[:end]).startswith("must ")


@settings(max_examples=200)
@given(st.sampled_from([JPEG, PNG, WEBP]), st.data())
def test_a_damaged_picture_is_encoded_or_refused(content, data):
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        made = TRANSFORM.transform_one({**GOOD, "photo": bytes(damaged)})
    except InvalidRow as refused:
        assert set(refused.issues) == {"photo"}
    else:
        assert made["photo"].shape == (3, 6, 8)


@pytest.mark.parametrize("end", [0, 4, 11, 12, 30, 43, 44, 46, len(WAV) - 2])
def test_a_clip_cut_short_is_refused(end):
    assert reason("call", WAV[:end]).startswith("must ")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (wav(samples(), rate=RATE * 2), f"must have {RATE} samples per second"),
        (wav(samples(), channels=2), "must have one channel"),
        (wav(samples(0, 801)), "at most 800 samples"),
        (samples(0, 801), "at most 800 samples"),
        ([1.5], "from -1 to 1"),
        ([float("nan")], "finite"),
        ([10**400], "finite"),
        ([[0.0]], "list of numbers"),
        ([True], "list of numbers"),
        ([], "at least one sample"),
        ("not base64!", "base64"),
        (b"ID3\x04" + bytes(100), "WAV"),
        ({}, "bytes or base64"),
    ],
)
def test_a_clip_that_is_none_is_refused(value, why):
    assert why in reason("call", value)


def test_files_beyond_their_limit_are_refused_before_they_are_decoded():
    small = Transform(
        {
            "photo": Image(size=(2, 2), max_bytes=100),
            "call": Audio(sample_rate=RATE, seconds=1, max_bytes=100),
        }
    ).fit([{"photo": picture(0, "PNG", 1, 1), "call": [0.0]}])
    row = {"photo": "A" * 10**7, "call": [0.0] * 101}
    with pytest.raises(InvalidRow) as refused:
        small.transform_one(row)
    assert refused.value.issues == {
        "photo": "must have at most 100 bytes",
        "call": "must have at most 100 numbers",
    }


def test_a_text_that_is_too_long_is_refused():
    assert reason("note", "a" * 20_001) == "must have at most 20000 characters"
    assert TRANSFORM.transform_one({**GOOD, "note": "a" * 20_000})["note_lengths"] == 3
    assert "surrogate" in reason("note", "\ud800")


LONG = Text(tokenizer=tokenizer_file(), characters=400_000, lengths=True)


@pytest.mark.parametrize(
    "text",
    ["a", "\u0301", "\u0301\u0323", "\u1100\u1161", " ", "\ufdfa", "[CLS]", "##", "\0", "\U0010ffff"],
    ids=ascii,
)
def test_texts_made_to_be_slow_are_encoded_or_refused(text):
    """What is quadratic in so long a text does not end before the test is stopped."""
    transform = Transform({"note": LONG}).fit([{"note": ""}])
    row = {"note": (text * 400_000)[:400_000]}
    try:
        made = transform.transform_one(row)
    except InvalidRow as refused:
        assert refused.issues == {"note": "must have at most 64 combining marks on one letter"}
    else:
        assert 0 < made["note_lengths"] <= 128


def with_field(name, **changes):
    document = json.loads(json.dumps(DOCUMENT))
    field = document["fields"][PLACES[name]]
    for key, value in changes.items():
        if value is ...:
            del field[key]
        else:
            field[key] = value
    return json.dumps(document)


FILE = json.loads(tokenizer_file())
SLOW = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("note", {"tokenizer": ""}),
        ("note", {"tokenizer": "{}"}),
        ("note", {"tokenizer": 7}),
        ("note", {"tokenizer": "/etc/passwd"}),
        ("note", {"tokenizer": "\ud800"}),
        ("note", {"tokenizer": "[" * 100_000}),
        ("note", {"tokenizer": json.dumps(FILE | {"pre_tokenizer": SLOW})}),
        ("note", {"tokenizer": json.dumps(FILE) + " " * 12 * 2**20}),
        ("note", {"max_length": 2}),
        ("note", {"max_length": 10**9}),
        ("note", {"max_length": True}),
        ("note", {"pad_token": "absent"}),
        ("note", {"characters": 10**12}),
        ("note", {"missing": "slot"}),
        ("note", {"lengths": ...}),
        ("note", {"buckets": 3}),
        ("note", {"field": ""}),
        ("grams", {"buckets": 0}),
        ("grams", {"buckets": 10**9}),
        ("grams", {"ngrams": [1, 99]}),
        ("grams", {"ngrams": [2]}),
        ("grams", {"norm": "l1"}),
        ("grams", {"tokenizer": "t.json"}),
        ("photo", {"size": [10**9, 10**9]}),
        ("photo", {"size": [4096, 4096]}),
        ("photo", {"size": [0, 1]}),
        ("photo", {"size": [8.0, 8.0]}),
        ("photo", {"kernel": "exec"}),
        ("photo", {"mean": [0.1]}),
        ("photo", {"std": [0.0, 1.0, 1.0]}),
        ("photo", {"std": [1e-300, 1.0, 1.0]}),
        ("photo", {"background": [1, 2, 300]}),
        ("photo", {"formats": ["EPS"]}),
        ("photo", {"formats": []}),
        ("photo", {"max_pixels": 10**12}),
        ("photo", {"max_bytes": 10**12}),
        ("photo", {"upright": 1}),
        ("photo", {"format": "PNG"}),
        ("call", {"sample_rate": 0}),
        ("call", {"sample_rate": 10**7}),
        ("call", {"seconds": 1e9}),
        ("call", {"seconds": -1.0}),
        ("call", {"seconds": 1e308}),
        ("call", {"hop": 0}),
        ("call", {"n_fft": 2**20}),
        ("call", {"n_fft": 512}),
        ("call", {"mels": 13}),
        ("call", {"low": 4000.0}),
        ("call", {"floor": 0.0}),
        ("call", {"channels": "left"}),
        ("call", {"arrays": {}}),
        ("call", {"arrays": None}),
        ("call", {"arrays": {"window": 1, "first": 2, "taps": 3}}),
        ("call", {"max_bytes": 0}),
    ],
)
def test_a_document_that_no_transform_wrote_is_corrupt(name, changes):
    with pytest.raises(Corrupt):
        Transform.from_json(with_field(name, **changes))


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("first", [0] * 11),
        ("first", [10**6] * 12),
        ("first", [-1] * 12),
        ("window", {"shape": [256], "base64": "AAAA"}),
        ("window", {"shape": [10**12], "base64": ""}),
        ("window", {"shape": [256], "base64": base64(struct.pack("<d", float("nan")) * 256)}),
        ("taps", {"shape": [12, 10**9], "base64": ""}),
        ("taps", {"shape": [12, 1], "base64": base64(struct.pack("<d", 1e300) * 12)}),
    ],
)
def test_arrays_that_no_transform_wrote_are_corrupt(part, value):
    arrays = DOCUMENT["fields"][PLACES["call"]]["arrays"]
    with pytest.raises(Corrupt):
        Transform.from_json(with_field("call", arrays=arrays | {part: value}))


def test_a_kind_of_another_release_is_unsupported():
    for kind in ("text@2", "image@9", "audio@0", "video@1"):
        with pytest.raises(Unsupported, match="image@1"):
            Transform.from_json(with_field("photo", kind=kind))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 300),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=9),
    st.sampled_from(["RGB", "L", "crop", "cut", "none", "char", "l2", "empty", "[UNK]"]),
    st.lists(st.integers(-1, 300) | st.floats(0, 2), max_size=4),
)


@settings(max_examples=300)
@given(st.sampled_from(["note", "grams", "photo", "call"]), st.data())
def test_a_changed_document_is_refused_or_still_a_transform(name, data):
    field = DOCUMENT["fields"][PLACES[name]]
    keys = [key for key in field if key not in {"kind", "name"}]
    changes = data.draw(st.dictionaries(st.sampled_from(keys), VALUES, min_size=1, max_size=3))
    try:
        read = Transform.from_json(with_field(name, **changes))
    except Corrupt:
        return
    assert json.loads(read.to_json())["fields"][PLACES[name]].keys() == field.keys()
    try:
        made = read.transform([GOOD])
    except InvalidRow as refused:
        assert set(refused.issues) <= set(GOOD) | {changes.get("field"), name}
    else:
        for spec, array in zip(read.tensors, made.values(), strict=True):
            assert array.ndim == 1 + len(spec.shape)
            sizes = zip(array.shape, (1, *spec.shape), strict=True)
            assert all(wanted in {size, None} for size, wanted in sizes)  # None: as long as the row is


def test_a_tokenizer_too_large_for_a_bundle_is_refused_when_fitting():
    words = {f"{place:0>60}": place for place in range(200_000)}
    model = {"type": "WordLevel", "vocab": words, "unk_token": f"{0:0>60}"}
    with pytest.raises(TransformError, match="t: tokenizer.json must have at most 12582912 bytes"):
        Transform({"t": Text(tokenizer=tokenizer_file(model=model))}).fit([{"t": "late"}])

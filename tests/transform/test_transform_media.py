"""Text, pictures and sound as entries of a transform: every door, missing, JSON, names."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from io import BytesIO

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from tests.transform.media_content import (
    FIELDS,
    GOOD,
    RATE,
    base64,
    fitted,
    picture,
    rows,
    samples,
    tokenizer_file,
    wav,
)

from inprocml import Audio, Category, Image, InvalidRow, Numeric, Text, Transform, TransformError
from inprocml.datasets import Collate

TRANSFORM = fitted()
NAMES = ["n", "photo", "note", "call"]
SHAPES = {
    "features": ((25,), "float32"),
    "photo": ((3, 6, 8), "float32"),
    "photo_mask": ((), "int64"),
    "thumb": ((1, 3, 3), "float32"),
    "thumb_mask": ((), "int64"),
    "note_ids": ((7,), "int64"),
    "note_mask": ((7,), "int64"),
    "note_lengths": ((), "int64"),
    "call": ((12, 11), "float32"),
    "call_lengths": ((), "int64"),
}


def told(tensors):
    """What a door says, to the byte."""
    return {name: (array.shape, str(array.dtype), array.tobytes()) for name, array in tensors.items()}


def row_by_row(transform, table):
    ones = [transform.transform_one(row) for row in table]
    return told({spec.name: np.stack([one[spec.name] for one in ones]) for spec in transform.tensors})


def objects(values):
    column = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        column[place] = value
    return column


def doors(table):
    columns = {name: [row.get(name) for row in table] for name in NAMES}
    arrays = {name: objects(values) for name, values in columns.items()}
    yield "list of rows", table
    yield "columns of lists", columns
    yield "columns of object arrays", arrays
    yield (
        "DataFrame",
        pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in arrays.items()}),
    )


def test_the_tensors_are_as_declared():
    assert {spec.name: (spec.shape, spec.dtype) for spec in TRANSFORM.tensors} == SHAPES
    made = TRANSFORM.transform_one(GOOD)
    assert {name: (array.shape, str(array.dtype)) for name, array in made.items()} == SHAPES
    many = TRANSFORM.transform(rows())
    assert {name: (array.shape[1:], str(array.dtype)) for name, array in many.items()} == SHAPES
    assert all(array.flags.c_contiguous and len(array) == len(rows()) for array in many.values())


def test_every_door_gives_the_same_bytes():
    expected = row_by_row(TRANSFORM, rows())
    for name, table in doors(rows()):
        assert told(TRANSFORM.transform(table)) == expected, name
    assert told(Transform(FIELDS).fit_transform(rows())) == expected


def frames(columns):
    yield "pandas", pd.DataFrame(columns)
    yield "polars", pl.DataFrame(columns)
    yield "pyarrow", pa.table(columns)
    yield "pandas on pyarrow", pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype)
    yield "pandas from pyarrow", pa.table(columns).to_pandas()


@pytest.mark.parametrize("gap", [False, True])
def test_frames_of_every_make_give_the_same_bytes(gap):
    table = [GOOD | {"photo": picture(i), "call": samples(i), "n": float(i)} for i in range(3)]
    if gap:
        table[1] = {"n": 1.0}
    expected = row_by_row(TRANSFORM, table)
    columns = {name: [row.get(name) for row in table] for name in NAMES}
    files = columns | {"call": [None if call is None else wav(call) for call in columns["call"]]}
    texts = {
        name: [base64(value) if isinstance(value, bytes) else value for value in values]
        for name, values in files.items()
    }
    for given_columns in (columns, files, texts):
        for name, frame in frames(given_columns):
            assert told(TRANSFORM.transform(frame)) == expected, name


def test_torch_is_given_the_same_bytes():
    pytest.importorskip("torch")
    batch = Collate(TRANSFORM)(rows())
    assert told({name: tensor.numpy() for name, tensor in batch.items()}) == row_by_row(TRANSFORM, rows())


def test_views_show_no_file_and_no_text():
    assert "description" in TRANSFORM.Row.model_json_schema()["properties"]["photo"]
    assert "it is read as empty" in json.dumps(TRANSFORM.Row.model_json_schema())
    shown = TRANSFORM._repr_html_() + repr(TRANSFORM)
    assert "flight" not in shown
    assert "shape" not in shown
    assert len(shown) < 20_000
    difference = TRANSFORM.diff(fitted(photo=Image(size=(6, 9), missing="empty")))
    assert {change.what for change in difference.declared} == {"size", "fit", "mean", "std"}


def test_a_change_that_refuses_other_files_is_breaking():
    photo, call = FIELDS["photo"], FIELDS["call"]
    same = TRANSFORM.diff(fitted(photo=replace(photo, mean=None), call=replace(call, log="decibel")))
    assert same.rows == "compatible"
    other = TRANSFORM.diff(fitted(photo=replace(photo, formats=("PNG", "BMP", "JPEG"))))
    assert other.fields["photo"].verdict == "breaking"
    assert other.fields["photo"].reasons == ("formats changed: other files are refused",)
    rate = TRANSFORM.diff(fitted(call=replace(call, seconds=0.2)))
    assert {name for name, field in rate.fields.items() if field.verdict == "breaking"} == {"call"}
    assert (
        TRANSFORM.diff(fitted(photo=replace(photo, max_bytes=10_000))).fields["photo"].verdict == "breaking"
    )


def test_a_row_is_the_same_through_json_and_bare():
    plain = TRANSFORM.transform_one(GOOD)
    sent = json.loads(json.dumps(TRANSFORM.render([GOOD], [0])[0]))
    assert isinstance(sent["photo"], str)
    assert isinstance(sent["call"], list)
    assert told(TRANSFORM.transform_one(sent)) == told(plain)
    assert told(TRANSFORM.transform_one({**GOOD, "call": wav(samples())})) == told(plain)
    assert told(TRANSFORM.transform_one({**GOOD, "call": np.array(samples())})) == told(plain)
    assert told(TRANSFORM.transform_one({**GOOD, "photo": memoryview(GOOD["photo"])})) == told(plain)


def test_rendered_rows_of_every_make_give_the_same_bytes():
    rendered = json.loads(json.dumps(TRANSFORM.render(rows(), range(len(rows())))))
    assert row_by_row(TRANSFORM, rendered) == row_by_row(TRANSFORM, rows())


def test_missing_is_empty_and_told():
    nothing, empty = TRANSFORM.transform_one({}), TRANSFORM.transform_one({**GOOD, "note": ""})
    assert not nothing["photo"].any()
    assert nothing["photo_mask"] == nothing["thumb_mask"] == nothing["call_lengths"] == 0
    assert nothing["note_ids"].tobytes() == empty["note_ids"].tobytes()
    assert nothing["note_lengths"] == 2  # what the tokenizer adds to every text
    silent = TRANSFORM.transform_one({**GOOD, "call": [0.0] * 10})
    assert silent["call"].tobytes() == nothing["call"].tobytes()
    assert silent["call_lengths"] == 1
    assert TRANSFORM.transform_one(GOOD)["photo_mask"] == 1
    assert not nothing["features"][1:].any()


def test_what_is_required_is_refused_by_name():
    transform = Transform(
        {"a": Image(size=(2, 2)), "b": Text(buckets=3), "c": Audio(sample_rate=RATE, seconds=0.1)}
    )
    transform.fit([{"a": picture(), "b": "x", "c": [0.0]}])
    assert [spec.name for spec in transform.tensors] == ["features", "a", "c"]
    with pytest.raises(InvalidRow) as refused:
        transform.transform_one({"b": None})
    assert refused.value.issues == dict.fromkeys("abc", "is missing")
    with pytest.raises(InvalidRow, match="row 0"):
        transform.transform({"a": [None], "b": [np.nan], "c": [pd.NA]})


def test_the_values_are_those_of_the_libraries():
    made = Transform({"p": Image(size=(20, 31))}).fit_transform([{"p": picture()}])["p"][0]
    pixels = np.asarray(Pillow.open(BytesIO(picture())))
    assert np.array_equal(made, (pixels.transpose(2, 0, 1) / 255).astype(np.float32))
    ids = TRANSFORM.transform_one(GOOD)
    assert ids["note_ids"].tolist() == [2, 4, 5, 6, 7, 3, 0]
    assert ids["note_mask"].tolist() == [1, 1, 1, 1, 1, 1, 0]
    assert ids["note_lengths"] == 6
    assert TRANSFORM.transform_one({**GOOD, "note": "late " * 50})["note_lengths"] == 7


def test_text_is_read_in_normal_form_c():
    composed = TRANSFORM.transform_one({**GOOD, "note": "caf\u00e9"})
    apart = TRANSFORM.transform_one({**GOOD, "note": "cafe\u0301"})
    assert told(composed) == told(apart)
    assert composed["note_ids"].tolist()[:4] == [2, 8, 9, 3]


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "note": st.none() | st.text(max_size=200) | st.text("té é\u0301\ud800[]#", max_size=20),
                "call": st.none()
                | st.lists(st.floats(-1, 1), min_size=1, max_size=20)
                | st.binary(max_size=60)
                | st.lists(st.floats() | st.integers() | st.booleans(), max_size=4),
                "photo": st.none()
                | st.sampled_from([picture(4), base64(picture(5)), "====", "AAAA", b""])
                | st.binary(max_size=50),
                "n": st.none() | st.floats(-9, 9) | st.text(max_size=2),
            },
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_rows_are_encoded_alike_or_refused_alike_by_every_door(table):
    refused = set()
    for row in table:
        try:
            TRANSFORM.transform_one(row)
        except InvalidRow as error:
            refused |= set(error.issues)
    for name, door in doors(table):
        if refused:
            with pytest.raises(InvalidRow) as error:
                TRANSFORM.transform(door)
            assert set(error.value.issues) == refused, name
        else:
            assert told(TRANSFORM.transform(door)) == row_by_row(TRANSFORM, table), name


def test_a_bad_row_of_a_table_is_found_and_counted():
    bad = {"n": 1.0, "photo": b"GIF89a", "note": 3, "call": [2.0]}
    with pytest.raises(InvalidRow) as refused:
        TRANSFORM.transform([GOOD, GOOD, bad, GOOD, bad])
    assert refused.value.row == 2
    assert set(refused.value.issues) == {"photo", "note", "call"}
    assert all("2 rows, the first is 2" in reason for reason in refused.value.issues.values())
    assert "GIF" not in str(refused.value)


def test_many_pictures_take_little_more_than_their_tensor():
    size = 96
    transform = Transform({"p": Image(size=(size, size))}).fit([{"p": picture()}])
    table = {"p": [picture()] * 100}
    transform.transform({"p": [picture()]})
    tracemalloc.start()
    made = transform.transform(table)["p"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < made.nbytes * 1.25


def test_a_host_that_raises_on_underflow_sees_nothing():
    quiet = {**GOOD, "call": [1e-160, -1e-200, 5e-324] * 9}
    expected = told(TRANSFORM.transform_one(quiet)), told(TRANSFORM.transform([quiet]))
    with np.errstate(all="raise"):
        assert (told(TRANSFORM.transform_one(quiet)), told(TRANSFORM.transform([quiet]))) == expected


def test_tensors_of_rows_are_fresh():
    first = TRANSFORM.transform_one({})
    for array in first.values():
        array[...] = 9
    assert told(TRANSFORM.transform_one({})) != told(first)
    assert TRANSFORM.transform_one({})["call"].max() < 0


def test_json_rebuilds_it_and_it_can_be_fitted_again():
    text = TRANSFORM.to_json()
    again = Transform.from_json(text)
    assert again.to_json() == text
    assert again.digest == TRANSFORM.digest
    assert told(again.transform(rows())) == told(TRANSFORM.transform(rows()))
    assert Transform(again.fields).fit(rows()).to_json() == text
    assert len(repr(again)) < 4000  # no file is printed
    assert told(copy.deepcopy(TRANSFORM).transform(rows())) == told(TRANSFORM.transform(rows()))


def test_the_tokenizer_is_read_by_fit_and_travels(tmp_path):
    path = tmp_path / "tokenizer.json"
    transform = Transform({"t": Text(tokenizer=path, max_length=9)})
    with pytest.raises(TransformError, match="t: the tokenizer cannot be read"):
        transform.fit([{"t": "late"}])
    path.write_bytes(tokenizer_file())
    text = transform.fit([{"t": "late"}]).to_json()
    assert str(tmp_path) not in text
    path.unlink()
    assert Transform.from_json(text).transform_one({"t": "late"})["t_ids"].tolist()[:3] == [2, 7, 3]
    assert Transform({"t": Text(tokenizer=tokenizer_file(), max_length=9)}).fit([{"t": ""}]).to_json() == text


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff", tokenizer_file(model={"type": "BPE", "dropout": 0.5})]
)
def test_a_tokenizer_that_will_not_do_is_told_when_fitting(content):
    with pytest.raises(TransformError, match=r"t: .*tokenizer\.json"):
        Transform({"t": Text(tokenizer=content)}).fit([{"t": "late"}])


def test_names_of_tensors_are_kept_apart():
    ids = Text(buckets=None, tokenizer=tokenizer_file())
    for fields in (
        {"a": ids, "a_ids": Category(encoding="index")},
        {"a_mask": Image(size=(1, 1)), "a": ids},
        {"features": Image(size=(1, 1)), "n": Numeric()},
        {"features": Category(encoding="index"), "grams": Text(buckets=2)},
    ):
        with pytest.raises(ValueError, match="rename"):
            Transform(fields)
    alone = Transform({"features": Image(size=(1, 1))}).fit([{"features": picture()}])
    assert [spec.name for spec in alone.tensors] == ["features"]


@pytest.mark.parametrize(
    ("declare", "fault"),
    [
        (Text, ValueError),
        (lambda: Text(tokenizer="t.json", buckets=3), ValueError),
        (lambda: Text(tokenizer="t.json", ngrams=(1, 2)), ValueError),
        (lambda: Text(tokenizer="t.json", max_length=0), ValueError),
        (lambda: Text(tokenizer="t.json", pad_token=0), TypeError),
        (lambda: Text(tokenizer=7), TypeError),
        (lambda: Text(buckets=3, max_length=8), ValueError),
        (lambda: Text(buckets=3, lengths=True), ValueError),
        (lambda: Text(buckets=3, ngrams=(2, 1)), ValueError),
        (lambda: Text(buckets=3, ngrams=2), TypeError),
        (lambda: Text(buckets=True), TypeError),
        (lambda: Text(buckets=3, missing="slot"), ValueError),
        (lambda: Text(buckets=3, lowercase=1), TypeError),
        (lambda: Text(buckets=3, characters=0), ValueError),
        (lambda: Text(buckets=3, field=""), ValueError),
        (lambda: Image(size=224), TypeError),
        (lambda: Image(size=(8, 8, 8)), ValueError),
        (lambda: Image(size=(0, 8)), ValueError),
        (lambda: Image(size=(4096, 4096)), ValueError),
        (lambda: Image(size=(8, 8), mean=(0.5,)), ValueError),
        (lambda: Image(size=(8, 8), std=(0, 1, 1)), ValueError),
        (lambda: Image(size=(8, 8), std=(float("nan"), 1, 1)), ValueError),
        (lambda: Image(size=(8, 8), background=(0, 0, 256)), ValueError),
        (lambda: Image(size=(8, 8), formats="PNG"), TypeError),
        (lambda: Image(size=(8, 8), formats=("GIF",)), ValueError),
        (lambda: Image(size=(8, 8), kernel="area"), ValueError),
        (lambda: Image(size=(8, 8), max_pixels=2**40), ValueError),
        (lambda: Image(size=(8, 8), max_bytes=1.5), TypeError),
        (lambda: Image(size=(8, 8), missing="median"), ValueError),
        (lambda: Audio(sample_rate=8000, seconds=0), ValueError),
        (lambda: Audio(sample_rate=8000.0, seconds=1), TypeError),
        (lambda: Audio(sample_rate=8000, seconds="1"), TypeError),
        (lambda: Audio(sample_rate=8000, seconds=100_000), ValueError),
        (lambda: Audio(sample_rate=8000, seconds=2000, hop=1), ValueError),
        (lambda: Audio(sample_rate=8000, seconds=0.01, center=False), ValueError),
        (lambda: Audio(sample_rate=8000, seconds=1, n_fft=400), ValueError),
        (lambda: Audio(sample_rate=8000, seconds=1, high=5000), ValueError),
        (lambda: Audio(sample_rate=8000, seconds=1, log="ln"), ValueError),
        (lambda: Audio(sample_rate=8000, seconds=1, channels="left"), ValueError),
        (lambda: Audio(sample_rate=8000, seconds=1, lengths=1), TypeError),
    ],
)
def test_declarations_that_make_no_sense_are_refused_at_once(declare, fault):
    with pytest.raises(fault):
        declare()


def test_filters_that_would_see_nothing_are_told_when_fitting():
    transform = Transform({"call": Audio(sample_rate=44_100, seconds=1, n_fft=128, hop=64, mels=64)})
    with pytest.raises(TransformError, match="call: a filter would see no bin"):
        transform.fit([{"call": [0.0]}])


def test_two_channels_and_longer_clips_as_declared():
    pairs = [value for sample in samples(1, 50) for value in (sample, sample)]
    plain = Transform({"c": Audio(sample_rate=RATE, seconds=0.1, mels=12)}).fit([{"c": [0.0]}])
    lenient = Audio(sample_rate=RATE, seconds=0.1, mels=12, channels="mean", longer="cut", lengths=True)
    both = Transform({"c": lenient}).fit([{"c": [0.0]}])
    with pytest.raises(InvalidRow, match="one channel"):
        plain.transform_one({"c": wav(pairs, channels=2)})
    mean, mono = both.transform_one({"c": wav(pairs, channels=2)}), plain.transform_one({"c": samples(1, 50)})
    assert mean["c"].tobytes() == mono["c"].tobytes()
    with pytest.raises(InvalidRow, match="at most 800 samples"):
        plain.transform_one({"c": samples(1, 801)})
    assert both.transform_one({"c": samples(1, 900)})["c"].tobytes() == (
        plain.transform_one({"c": samples(1, 900)[:800]})["c"].tobytes()
    )


LAZY = """
import sys
from inprocml import Audio, Image, Numeric, Text, Transform
sound = Audio(sample_rate=8000, seconds=0.1, n_fft=256, mels=8)
table = [{"n": 1.0, "t": "a", "c": [0.0]}]
Transform({"n": Numeric(), "t": Text(buckets=4), "c": sound}).fit(table)
Image(size=(2, 2)), Text(tokenizer="absent.json")
print([name for name in ("PIL", "tokenizers") if name in sys.modules])
"""


def test_no_decoder_is_imported_before_it_is_needed():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


MISSING = """
import sys
sys.modules["PIL"] = sys.modules["tokenizers"] = None
from inprocml import BackendMissing, Transform
for text in sys.stdin.read().splitlines():
    try:
        Transform.from_json(text)
    except BackendMissing as missing:
        print(missing)
"""


def test_what_is_not_installed_is_told_when_a_transform_is_read():
    texts = [
        Transform({"p": Image(size=(2, 2))}).fit([{"p": picture()}]).to_json(),
        Transform({"t": Text(tokenizer=tokenizer_file())}).fit([{"t": ""}]).to_json(),
    ]
    done = subprocess.run(
        [sys.executable, "-c", MISSING], input="\n".join(texts), capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert "pip install 'inprocml[image]'" in said[0]
    assert "pip install 'inprocml[text]'" in said[1]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_gives_the_same_bytes():
    expected = told(TRANSFORM.transform(rows()))
    child = os.fork()
    if child == 0:
        same = False
        try:
            same = told(TRANSFORM.transform(rows())) == expected
        finally:
            os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0

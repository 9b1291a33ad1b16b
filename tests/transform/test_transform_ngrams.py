"""Hashed n-grams: HashingVectorizer's numbers to the bit, in linear time."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer

from inprocml.schema import Refused
from inprocml.transform.media.ngrams import NgramOptions, ngram_block, ngram_values

WORDS = st.lists(
    st.sampled_from(
        ["the", "The", "late", "a", "flight", "É1", "x_y", "don't", "straße", "飛行機", "🛫", "\t", "  "]
    ),
    max_size=12,
).map(" ".join)
RANGES = st.tuples(st.integers(1, 4), st.integers(0, 3)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@settings(max_examples=400)
@given(
    text=WORDS | st.text(max_size=60),
    buckets=st.sampled_from([1, 7, 64, 1 << 18]),
    by=st.sampled_from(["word", "char", "char_wb"]),
    ngrams=RANGES,
    lowercase=st.booleans(),
    norm=st.sampled_from([None, "l2"]),
    counting=st.sampled_from([(False, False), (True, False), (False, True)]),
)
@example("İstanbul İ", 64, "word", (1, 2), True, "l2", (False, False))
@example("a  b\u2028\u2029c\x1f\x1fd", 64, "char_wb", (1, 3), True, None, (False, True))
@example("ab", 64, "char", (3, 5), True, "l2", (False, False))
def test_it_is_scikit_learns_vectorizer_to_the_bit(text, buckets, by, ngrams, lowercase, norm, counting):
    binary, signed = counting
    options = NgramOptions(
        buckets=buckets, by=by, ngrams=ngrams, lowercase=lowercase, norm=norm, binary=binary, signed=signed
    )
    vectorizer = HashingVectorizer(
        n_features=buckets,
        analyzer=by,
        ngram_range=ngrams,
        lowercase=lowercase,
        norm=norm,
        binary=binary,
        alternate_sign=signed,
    )
    theirs = vectorizer.transform([unicodedata.normalize("NFC", text)]).toarray()[0]
    ours = np.zeros(buckets)
    for place, value in ngram_values(text, options).items():
        ours[place] = value
    assert np.array_equal(ours, theirs)
    block = ngram_block(text, options)
    assert block.dtype == np.float32
    assert np.array_equal(block, theirs.astype(np.float32))


def test_composed_and_decomposed_are_one_text():
    options = NgramOptions(buckets=1 << 16, by="char", ngrams=(1, 3))
    assert ngram_values("cafe\u0301", options) == ngram_values("café", options)


def test_long_texts_are_refused_or_cut():
    options = {"buckets": 64, "characters": 10}
    with pytest.raises(Refused, match="at most 10 characters"):
        ngram_values("ab" * 6, NgramOptions(**options))
    cut = NgramOptions(**options, longer="cut")
    assert ngram_values("ab" * 600, cut) == ngram_values("ab" * 5, cut)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "not NoneType"),
        (b"text", "not bytes"),
        (5, "not int"),
        ("half \ud800", "surrogate"),
        ("a" + "\u0301" * 65, "64 combining marks"),
    ],
)
def test_what_is_refused_and_why(value, why):
    with pytest.raises(Refused) as refused:
        ngram_block(value, NgramOptions(buckets=8))
    assert why in refused.value.reason


HOSTILE = [
    "a" * 200_000,
    "a " * 100_000,
    " " * 200_000,
    "\u0301\u0316" * 100_000,
    "_-" * 100_000,
    "ﷺ" * 200_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=["word", "words", "spaces", "marks", "joints", "ligatures"])
@pytest.mark.parametrize("by", ["word", "char", "char_wb"])
@pytest.mark.timeout(30)  # linear work takes about a second, quadratic work minutes
def test_hostile_texts_end(text, by):
    options = NgramOptions(buckets=64, by=by, ngrams=(1, 3), characters=200_000)
    try:
        assert all(0 <= place < 64 for place in ngram_values(text, options))
    except Refused as refused:
        assert "combining" in refused.reason


@pytest.mark.parametrize(
    "change",
    [
        {"buckets": 0},
        {"buckets": 10**7},
        {"by": "line"},
        {"ngrams": (0, 1)},
        {"ngrams": (3, 2)},
        {"ngrams": (1, 99)},
        {"norm": "l1"},
        {"binary": True, "signed": True},
        {"characters": 0},
        {"longer": "wrap"},
    ],
)
def test_options_that_make_no_sense(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        NgramOptions(**{"buckets": 8, **change})

"""Tokens: the library's ids, from files that cannot make it slow, random or loud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from inprocml.schema import Refused
from inprocml.transform.media.text_tokens import TokenOptions, Tokens

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "flight",
    "late",
    "the",
    "is",
    "##s",
    "fl",
    "##ight",
    "a",
    "##a",
    "é",
]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def word_pieces(**changes):
    """A BERT-like ``tokenizer.json``, with settings of another program in it."""
    document = {
        "version": "1.0",
        "truncation": {"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 7},
            "direction": "Left",
            "pad_to_multiple_of": None,
            "pad_id": 9,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": [
            {
                "id": place,
                "content": word,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for place, word in enumerate(WORDS[:4])
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: place for place, word in enumerate(WORDS)},
        },
    }
    return json.dumps({**document, **changes}).encode()


def byte_pairs(**changes):
    """A GPT-like one: bytes, three merges, no unknown token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: place for place, letter in enumerate([*letters, "th", "the", "Ġthe"])}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return json.dumps({**json.loads(tokenizer.to_str()), **changes}).encode()


def split(pattern):
    one = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    rest = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return byte_pairs(pre_tokenizer={"type": "Sequence", "pretokenizers": [one, rest]})


def replacing(*pairs):
    steps = [{"type": "Replace", "pattern": pattern, "content": new} for pattern, new in pairs]
    return byte_pairs(normalizer={"type": "Sequence", "normalizers": steps})


def test_ids_are_the_librarys_without_the_files_own_truncation_and_padding():
    tokens = Tokens(word_pieces(), TokenOptions(max_length=16))
    reference = Tokenizer.from_str(word_pieces().decode())
    reference.no_truncation()
    reference.no_padding()
    texts = ["The flight is late", "flights", "", "nowhere", "the the the the", "É"]
    made = tokens.many(texts)
    assert {name: (array.dtype, array.shape) for name, array in made.items()} == {
        "ids": (np.int64, (6, 16)),
        "mask": (np.int64, (6, 16)),
        "lengths": (np.int64, (6,)),
    }
    for place, text in enumerate(texts):
        expected = reference.encode(text).ids
        assert tokens.one(text) == expected
        assert made["lengths"][place] == len(expected)
        assert made["ids"][place].tolist() == expected + [0] * (16 - len(expected))
        assert made["mask"][place].tolist() == [1] * len(expected) + [0] * (16 - len(expected))


@given(st.lists(st.text(max_size=40), max_size=5))
def test_a_row_alone_has_the_bytes_it_has_in_a_table(texts):
    tokens = Tokens(byte_pairs(), TokenOptions(max_length=12))
    table = tokens.many(texts)
    for place, text in enumerate(texts):
        for name, array in tokens.many([text]).items():
            assert array[0].tobytes() == table[name][place].tobytes()


def test_buckets_change_trailing_padding_and_nothing_else():
    texts = ["the", "the flight is late", "the " * 40]
    whole = Tokens(word_pieces(), TokenOptions(max_length=32))
    tokens = Tokens(word_pieces(), TokenOptions(max_length=32, pad_to=(4, 8, 32), pad_token="[SEP]"))
    for count, width in ((0, 4), (1, 4), (2, 8), (3, 32)):
        made, full = tokens.many(texts[:count]), whole.many(texts[:count])
        assert made["ids"].shape == made["mask"].shape == (count, width)
        assert np.array_equal(made["mask"], full["mask"][:, :width])
        assert np.array_equal(made["lengths"], full["lengths"])
        assert np.array_equal(made["ids"] * made["mask"], (full["ids"] * full["mask"])[:, :width])
        assert set(made["ids"][made["mask"] == 0].tolist()) <= {3}


def test_truncation_keeps_what_the_file_adds():
    tokens = Tokens(word_pieces(), TokenOptions(max_length=4))
    assert tokens.one("the flight is late") == [2, 6, 4, 3]
    assert Tokens(word_pieces(), TokenOptions(max_length=4, special=False)).one("the flight is late") == [
        6,
        4,
        7,
        5,
    ]
    with pytest.raises(ValueError, match="above 2"):
        Tokens(word_pieces(), TokenOptions(max_length=2))
    with pytest.raises(ValueError, match="pad_token"):
        Tokens(word_pieces(), TokenOptions(max_length=4, pad_token="<pad>"))


def test_long_texts_are_refused_or_cut_before_any_work():
    tokens = Tokens(byte_pairs(), TokenOptions(max_length=4, characters=5))
    with pytest.raises(Refused, match="at most 5 characters"):
        tokens.one("the" * 10**6)
    cut = Tokens(byte_pairs(), TokenOptions(max_length=9, characters=5, longer="cut"))
    assert cut.one("thethe" * 10**6) == cut.one("theth")


@pytest.mark.parametrize("value", [None, b"the", 5, ["the"], "half \udc00"])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(Refused, match="must be"):
        Tokens(byte_pairs(), TokenOptions(max_length=4)).one(value)


def test_a_word_without_a_token_is_refused_without_quoting_it():
    content = word_pieces(model={"type": "WordLevel", "vocab": {"the": 0}, "unk_token": "[GONE]"})
    with pytest.raises(Refused) as refused:
        Tokens(content, TokenOptions(max_length=4)).one("secret")
    assert refused.value.reason == "must be a text that the tokenizer has tokens for"


@pytest.mark.parametrize(
    "pattern", [GPT2, LLAMA3, QWEN2, O200K, r"\s+", r" {2,}", r"[\r\n]", r"(\p{N}{1,3})", r"\d"]
)
def test_known_and_plain_patterns_are_read(pattern):
    tokens = Tokens(split(pattern), TokenOptions(max_length=64))
    reference = Tokenizer.from_str(split(pattern).decode())
    text = "The 1234 flights, aren't LATE\n\n  the end"
    assert tokens.one(text) == reference.encode(text).ids


HOSTILE = [
    "a" * 100_000,
    " " * 100_000,
    "'" * 100_000,
    "A" * 100_000,
    "1" * 100_000,
    "飛" * 100_000,
    " \t" * 50_000,
]


@pytest.mark.timeout(30)  # linear work takes about a second for all, quadratic work hours
@pytest.mark.parametrize("pattern", [GPT2, LLAMA3, QWEN2, O200K, r"\s+"])
def test_known_patterns_end_on_hostile_texts(pattern):
    tokens = Tokens(split(pattern), TokenOptions(max_length=64))
    assert [len(tokens.one(text)) for text in HOSTILE] == [64] * len(HOSTILE)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "too deeply"),
        (b"[]", "no model"),
        (b"{}", "no model"),
        (b'{"model": 5}', "no model"),
        (b'{"model": {"type": "BPE"}}', "can read"),
        (word_pieces(added_tokens=[{"id": -1}]), "can read"),
        (word_pieces(post_processor={"type": "Os", "command": "true"}), "can read"),
        (split(r"(a+)+b"), "linear time"),
        (split(r"(a|a)*b"), "linear time"),
        (split(r"\s+$"), "linear time"),
        (split(r"a+b"), "linear time"),
        (split(r"(.*)(.*)(.*)"), "linear time"),
        (replacing(({"Regex": "(x+x+)+y"}, "")), "linear time"),
        (replacing(({"String": ""}, "aa")), "empty string"),
        (replacing(*[({"String": "a"}, "aa")] * 6), "32 times"),
        (replacing(({"String": "a"}, "a" * 10**6)), "32 times"),
        (byte_pairs(normalizer={"type": "Prepend", "prepend": "a" * 100}), "32 times"),
        (word_pieces(model={"type": "BPE", "dropout": 0.1, "vocab": {}, "merges": []}), "at random"),
        (word_pieces(model={"type": "Unigram", "alpha": 0.1, "nbest_size": 9, "vocab": []}), "at random"),
        (
            word_pieces(model={"type": "WordPiece", "max_input_chars_per_word": 10**9, "vocab": {}}),
            "at most 200",
        ),
        (
            byte_pairs(
                normalizer={
                    "type": "Precompiled",
                    "precompiled_charsmap": b64encode(bytes(4) + b"a" * 10_000 + b"\0").decode(),
                }
            ),
            "128 bytes",
        ),
        (byte_pairs(normalizer={"type": "Precompiled", "precompiled_charsmap": 5}), "no text"),
        (b" " * (64 * 2**20 + 1), "67108864 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_what_a_file_may_not_hold(content, why):
    with pytest.raises(ValueError, match=why):
        Tokens(content, TokenOptions(max_length=8))


def test_ordinary_normalizers_are_read():
    tokenizer = Tokenizer(models.Unigram([("<unk>", -9.0), ("▁the", -1.0), ("▁", -2.0), ("e", -3.0)], 0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    reference = tokenizer.encode("the e the").ids
    assert Tokens(tokenizer.to_str().encode(), TokenOptions(max_length=8)).one("the e the") == reference


@settings(max_examples=150)
@given(
    st.sampled_from([word_pieces(), byte_pairs()]),
    st.integers(0, 10_000),
    st.binary(max_size=3),
    st.booleans(),
)
def test_mutated_files_are_read_or_value_errors(content, place, new, cut):
    place %= len(content)
    mutant = content[:place] + new + (b"" if cut else content[place + len(new) :])
    try:
        tokens = Tokens(mutant, TokenOptions(max_length=8))
    except ValueError:
        return
    try:
        assert len(tokens.one("the flight is late")) <= 8
    except Refused as refused:
        assert "tokens for" in refused.reason


def test_threads_get_the_same_ids():
    tokens = Tokens(word_pieces(), TokenOptions(max_length=16))
    texts = ["the flight is late", "flights", "a"] * 30
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tokens.one, texts)) == [tokens.one(text) for text in texts]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_nothing_is_printed_and_nothing_hangs_after_a_fork(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(byte_pairs())
    script = """
import os, pathlib, sys
from inprocml.transform.media.text_tokens import TokenOptions, Tokens
tokens = Tokens(pathlib.Path(sys.argv[1]).read_bytes(), TokenOptions(max_length=16))
def threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
before = tokens.many(["the flight"] * 100)["ids"].tobytes()
assert threads() == 1, "the library started threads"
child = os.fork()
if child == 0:
    os._exit(0 if tokens.many(["the flight"] * 100)["ids"].tobytes() == before else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path / "tokenizer.json")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "change",
    [
        {"max_length": 0},
        {"max_length": 10**6},
        {"pad_to": ()},
        {"pad_to": (4,)},
        {"pad_to": (8, 4, 16)},
        {"pad_to": (0, 16)},
        {"characters": 0},
        {"longer": "wrap"},
    ],
)
def test_options_that_make_no_sense(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TokenOptions(**{"max_length": 16, **change})


def test_the_error_without_the_library_says_what_to_install(monkeypatch):
    from inprocml.errors import BackendMissing

    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BackendMissing, match=r"pip install 'inprocml\[text\]'"):
        Tokens(byte_pairs(), TokenOptions(max_length=4))

"""Made content: pictures, clips and a tokenizer, small and the same on every machine."""

from __future__ import annotations

import json
import random
import struct
from base64 import b64encode
from io import BytesIO

import numpy as np
from PIL import Image as Pillow

from inprocml import Audio, Image, Numeric, Text, Transform

RATE = 8_000
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "flight", "is", "late", "caf", "##é", "##s"]


def tokenizer_file(**changes):
    """A BERT-like ``tokenizer.json`` of a few words, pretty-printed as the library saves it."""
    ids = {token: place for place, token in enumerate(VOCABULARY)}
    special = [
        {
            "id": ids[token],
            "content": token,
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
        for token in VOCABULARY[:4]
    ]
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }
    return json.dumps(document | changes, indent=2).encode()


def picture(seed=0, name="PNG", width=31, height=20, mode="RGB"):
    """The bytes of a smooth picture."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    file = BytesIO()
    Pillow.fromarray(noise).resize((width, height)).convert(mode).save(file, name)
    return file.getvalue()


def samples(seed=0, count=700):
    """Samples of a clip that a WAV file of 16 bits holds exactly."""
    draw = random.Random(seed)
    return [draw.randint(-32768, 32767) / 32768 for _ in range(count)]


def wav(values, rate=RATE, channels=1):
    """The bytes of a WAV file of 16 bits."""
    body = np.array([round(value * 32768) for value in values], dtype="<i2").tobytes()
    layout = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def base64(content):
    return b64encode(content).decode()


FIELDS = {
    "n": Numeric(missing="median"),
    "photo": Image(size=(6, 8), fit="crop", mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.25), missing="empty"),
    "thumb": Image(size=(3, 3), colours="L", field="photo", kernel="box", missing="empty"),
    "note": Text(tokenizer=tokenizer_file(), max_length=7, lengths=True, missing="empty"),
    "grams": Text(buckets=24, by="char_wb", ngrams=(2, 3), norm="l2", field="note", missing="empty"),
    "call": Audio(sample_rate=RATE, seconds=0.1, n_fft=256, hop=80, mels=12, missing="empty"),
}
GOOD = {"n": 1.5, "photo": picture(), "note": "The flight is late", "call": samples()}


def rows():
    """Rows of every acceptable make, missing ones among them."""
    return [
        GOOD,
        {"n": 2, "photo": base64(picture(1, "JPEG")), "note": "Cafe\u0301s", "call": wav(samples(1))},
        {"n": None, "photo": None, "note": None, "call": None},
        {"n": 0.25, "photo": picture(2, "BMP", 9, 40), "note": "", "call": base64(wav(samples(2, 3)))},
        {
            "n": -1.0,
            "photo": bytearray(picture(3, "PNG", 8, 6, "L")),
            "note": "late " * 30,
            "call": [0, 1, -0.5],
        },
        {},
    ]


def fitted(**changes):
    return Transform(FIELDS | changes).fit(rows())

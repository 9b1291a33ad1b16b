"""Digests of sound and of the elementary functions; run as a script it prints JSON.

All input comes from Python's own generator and exact arithmetic, so that every machine makes the same.
"""

from __future__ import annotations

import json
import math
import random
import struct
from hashlib import sha256

import numpy as np
from numpy._core._multiarray_umath import __cpu_features__

from inprocml.transform.elementary import exp_array, expm1_array, log_array
from inprocml.transform.media.audio import ClipOptions, read_clip
from inprocml.transform.media.mel import LogMel, MelOptions
from inprocml.transform.media.ngrams import NgramOptions, ngram_block
from inprocml.transform.turns import table


def digests():
    """Digests of a spectrogram and what it is made of, of the elementary functions, and of n-grams."""
    draw = random.Random(7)
    values = np.array([math.ldexp(draw.uniform(-1, 1), draw.randint(-30, 9)) for _ in range(20_000)])
    body = struct.pack("<12000h", *(draw.randint(-32768, 32767) for _ in range(12_000)))
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        24_036,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        16_000,
        32_000,
        2,
        16,
        b"data",
        24_000,
    )
    samples, _ = read_clip(head + body, ClipOptions(sample_rate=16_000, seconds=1.0))
    made = {log: LogMel.made(MelOptions(sample_rate=16_000, log=log)) for log in ("natural", "none")}
    text = " ".join(f"N{draw.randint(0, 999)}é" for _ in range(500))
    found = {
        "filters": json.dumps(made["natural"].document()).encode(),
        "natural": made["natural"](samples).tobytes(),
        "power": made["none"](samples).tobytes(),
        "exp": exp_array(values).tobytes(),
        "expm1": expm1_array(values).tobytes(),
        "log": log_array(np.abs(values)).tobytes(),
        "turns": np.array(table(1024)).tobytes(),
        "ngrams": ngram_block(text, NgramOptions(buckets=256, norm="l2", ngrams=(1, 2))).tobytes(),
    }
    active = [name for name, there in __cpu_features__.items() if there]
    return {**{name: sha256(content).hexdigest() for name, content in found.items()}, "active": active}


if __name__ == "__main__":
    print(json.dumps(digests()))

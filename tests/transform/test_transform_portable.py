"""The same bits on every processor: the logarithm, the hash, and one digest over generated rows."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from sklearn.utils import murmurhash3_32
from tests.transform.transform_digest import digests

from inprocml.transform.logarithm import log1p_array, log1p_float
from inprocml.transform.murmur import bucket, murmurhash3

SOURCE = Path(__file__).parents[2] / "src"


def ulps(a, b):
    """How many float64 values lie between two finite numbers."""
    bits = np.array([a, b], dtype=np.float64).view(np.int64).tolist()
    first, second = (bit if bit >= 0 else -(2**63) - bit for bit in bits)
    return abs(first - second)


def spread(count=40_000):
    """Values over the whole domain, dense where the method changes its path; no rounding of ours in them."""
    draw = random.Random(20)
    edges = [-0.29, 0.41, 1.0, math.sqrt(0.5) - 1, math.sqrt(2) - 1, 2**0.5 * 2 - 1, 2.0**52, 2.0**53]
    near = [math.nextafter(e, way) for e in edges for way in (-math.inf, math.inf)] + edges
    return [
        *near,
        *(0.0, 5e-324, -5e-324, 2.2e-308, -2.2e-308, math.nextafter(-1.0, 0.0), sys.float_info.max),
        *(math.ldexp(draw.uniform(0.5, 1), draw.randint(-1074, 1024)) for _ in range(count)),
        *(-math.ldexp(draw.uniform(0.5, 1), draw.randint(-300, 0)) for _ in range(count)),
        *(draw.uniform(-0.9999, 3) for _ in range(count)),
        *(-1 + draw.random() * 2.0**-40 for _ in range(count // 10)),
        *(float(draw.randint(1, 2**54)) for _ in range(count // 10)),
    ]


def test_logarithm_is_within_one_ulp_and_alike_for_numbers_and_arrays():
    values = [value for value in spread() if value > -1]
    assert len(values) > 100_000
    array = log1p_array(np.array(values))
    assert array.tobytes() == np.array([log1p_float(value) for value in values]).tobytes()
    # strided and single-element arrays take other loops in numpy
    assert log1p_array(np.array(values)[::3]).tobytes() == array[::3].tobytes()
    assert log1p_array(np.array(values[7:8])).tobytes() == array[7:8].tobytes()
    theirs = np.array([math.log1p(value) for value in values])
    distance = np.abs(array.view(np.int64) - theirs.view(np.int64))
    assert distance.max() <= 1
    assert (array.astype(np.float32) == theirs.astype(np.float32)).mean() > 0.9999


@settings(max_examples=200, deadline=None)
@given(st.floats(-1, sys.float_info.max, exclude_min=True))
@example(-0.0)
def test_logarithm_of_any_float(value):
    ours = log1p_float(value)
    assert ulps(ours, math.log1p(value)) <= 1 or value == 0 == ours
    assert np.float64(ours).tobytes() == log1p_array(np.array([value]))[0].tobytes()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=70))
@example("")
@example("🛫 N12345 é")
def test_hash_is_scikit_learns(value):
    assert murmurhash3(value) == murmurhash3_32(value, seed=0)
    assert murmurhash3(value) == murmurhash3_32(value.encode(), seed=0, positive=False)
    assert bucket(value, 13) == abs(murmurhash3(value)) % 13


@pytest.mark.parametrize(("text", "digest"), [("", 0), ("a", 0x3C2569B2), ("abcd", 0x43ED676A)])
def test_hash_of_published_vectors(text, digest):
    assert murmurhash3(text) % 2**32 == digest


def groups():
    """The dispatch targets to switch off, strongest first: each run loses one more."""
    present = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    newest = [name for name in present if name.startswith("AVX512") or name == "X86_V4"]
    return {
        "AVX512": newest,
        "AVX2": [name for name in present if name in {*newest, "X86_V3", "AVX2", "FMA3"}],
    }


def digests_without(features, script="transform_digest.py"):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name(script))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def here():
    return digests()


@pytest.mark.parametrize("group", ["AVX512", "AVX2"])
def test_one_digest_whatever_the_processor_can_do(group, here):
    features = groups()[group]
    if not features:
        pytest.skip(f"numpy {np.__version__} dispatches to no {group} code here: {__cpu_dispatch__}")
    found = digests_without(features)
    assert not set(found.pop("active")) & set(features)
    here = {name: digest for name, digest in here.items() if name != "active"}
    assert found == here


def test_rows_and_columns_have_the_one_digest(here):
    assert here["rows"] == here["columns"] == here["frame"]

"""Writes the golden bundles of the current format: ``python -m scripts.golden_bundles [FOLDER]``.

Bundles of a released format must load for ever (``tests/bundle/test_golden_bundles.py`` sees to it), so
nothing that is there already is overwritten: a new format gets a folder of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import inprocml
from inprocml import About, Bundle, Category, Classes, Flag, Hashed, Numeric, Regression, Timestamp, Transform
from inprocml.bundle.manifest import FORMAT_VERSION
from inprocml.bundle.policy import key_text
from inprocml.bundle.signing import sign

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / f"format-{FORMAT_VERSION}"
EXPECTED = "expected.json"
PACKED = "1704067200"  # 2024-01-01, in seconds since 1970
ROWS = 400
CARRIERS = ["UA", "B6", "EV", "DL", "AA", "HA"]
SHARES = [0.3, 0.25, 0.2, 0.15, 0.09, 0.01]


def flights() -> dict[str, list[Any]]:
    """A table like that of flights: numbers with gaps, categories common and rare, times, a flag."""
    random = np.random.default_rng(2013)
    minutes = random.integers(0, 365 * 24 * 60, ROWS)
    delays = np.round(random.gamma(2.0, 12.0, ROWS) - 12, 1)
    return {
        "dep_delay": [None if i % 23 == 7 else float(delay) for i, delay in enumerate(delays)],
        "distance": [float(miles) for miles in random.integers(80, 4984, ROWS)],
        "carrier": random.choice(CARRIERS, ROWS, p=SHARES).tolist(),
        "dest": [f"D{number:02d}" for number in random.integers(0, 40, ROWS)],
        "sched": [f"{moment}Z" for moment in np.datetime64("2013-01-01T05:00", "m") + minutes],
        "weekend": [bool(minute // 1440 % 7 in {4, 5}) for minute in minutes],
    }


def late(store: Path) -> Bundle:
    """Pack a classifier of the features alone."""
    from sklearn.linear_model import LogisticRegression

    table = flights()
    transform = Transform(
        {
            "dep_delay": Numeric(missing="median", scale="standard"),
            "distance": Numeric(log=True, scale="standard"),
            "carrier": Category(min_count=5),
            "dest": Hashed(buckets=8),
            "sched": Timestamp(parts=("hour", "weekday"), timezone="America/New_York"),
            "weekend": Flag(),
        }
    )
    features = transform.fit_transform(table)
    labels = [(delay or 0) > 12 for delay in table["dep_delay"]]
    return inprocml.pack(
        store / "late",
        transform=transform,
        model=LogisticRegression(max_iter=500).fit(features, labels),
        output=Classes(["on time", "late"]),
        baseline=table,
        labels=["late" if label else "on time" for label in labels],
        metrics={"auc": 0.9},
        card="A golden bundle: see tests/golden.",
        about=_about("a classifier"),
    )


def delay(store: Path) -> Bundle:
    """Pack a regression of features and of an index for an embedding."""
    table = flights()
    transform = Transform(
        {
            "distance": Numeric(scale="minmax"),
            "dep_delay": Numeric(missing="median", bins=4),
            "carrier": Category(encoding="index"),
        }
    ).fit(table)
    sizes = {spec.name: spec.size for spec in transform.tensors}
    return inprocml.pack(
        store / "delay",
        transform=transform,
        model=_graph(transform.width, sizes["carrier"] or 0),
        output=Regression(tensor="minutes"),
        baseline=table,
        metrics={"mae": 9.5},
        about=_about("a regression of several tensors"),
    )


def _about(what: str) -> About:
    return About(
        author="inprocml",
        seed=2013,
        dataset="made-up flights",
        intended_use=f"Tests that {what} loads for ever.",
        limits="Made-up rows.\n\nNo flight was delayed by it.",
        links={"format": "https://example.org/bundle-format?version=1"},
        slices={"carrier=UA": {"n": 117.0}},
    )


def _graph(width: int, carriers: int) -> bytes:
    """Weights times features, plus what an embedding of the carrier adds."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(7)
    weights: dict[str, NDArray[Any]] = {
        "w": random.normal(size=(width, 1)).astype(np.float32),
        "e": random.normal(size=(carriers, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["features", "w"], ["linear"]),
        helper.make_node("Gather", ["e", "carrier"], ["added"]),
        helper.make_node("Add", ["linear", "added"], ["minutes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "delay",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", width]),
            helper.make_tensor_value_info("carrier", TensorProto.INT64, ["rows"]),
        ],
        [helper.make_tensor_value_info("minutes", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def key() -> tuple[bytes, str]:
    """Return a private key that is no secret, as PEM, and its public key: golden bundles are made again."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = hashlib.sha256(b"inprocml golden bundles: a key for tests, known to all").digest()
    private = Ed25519PrivateKey.from_private_bytes(seed)
    pem = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return pem, key_text(private.public_key().public_bytes_raw())


def predictions(bundle: Bundle) -> list[Any]:
    """Return value, and probability of every label, for each golden row of ``bundle``."""
    from inprocml.backends import open_backend

    backend = open_backend("onnx", bundle.model)
    inputs = {name: bundle.golden.tensors[tensor] for tensor, name in bundle.inputs.items()}
    outputs = backend.run(inputs)
    backend.close()
    decoded = [bundle.output.decode(outputs, row) for row in range(len(bundle.golden.rows))]
    return [[value, None if scores is None else list(scores.values())] for value, _, scores in decoded]


def write(folder: Path) -> None:
    """Write every golden bundle, and what it must answer, into the new ``folder``."""
    pem, public = key()
    expected: dict[str, Any] = {"key": public, "bundles": {}}
    with tempfile.TemporaryDirectory() as store, contextlib.chdir(store):  # no commit is read there
        for make, signed in ((late, False), (delay, True)):
            bundle = make(Path(store))
            if signed:
                sign(bundle.path, pem)
            for name in (bundle.name, f"{bundle.name}.inprocml"):
                bundle.save(folder / name)
                expected["bundles"][name] = {
                    "digest": bundle.digest,
                    "signed": signed,
                    "rows": [dict(row) for row in bundle.golden.rows],
                    "predictions": predictions(bundle),
                }
    told = json.dumps(expected, indent=1, sort_keys=True) + "\n"
    (folder / EXPECTED).write_text(told, encoding="utf-8")


if __name__ == "__main__":
    os.environ["SOURCE_DATE_EPOCH"] = PACKED
    write(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else FOLDER)

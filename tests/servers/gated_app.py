"""The application of the tests of concurrency: its model stands still while the file ``HELD`` is there.

It waits as a model does: outside Python, in what no event loop knows of.
"""

from __future__ import annotations

import _thread
import os
import sys
from pathlib import Path

import flask

from inprocml import Model, Prediction
from inprocml.backends.onnx import OnnxBackend
from inprocml.flask import predicts

HELD = Path(os.environ["HELD"])
fraud = Model(os.environ["STORE"], threads=1, poll_interval=0.1)
app = flask.Flask(__name__)
held_on: set[int] = set()  # threads on which the model stood still
inside: list[None] = []  # requests
run = OnnxBackend.run


def native(name):
    """A function of ``_thread``, as it was before the server patched it."""
    gevent = sys.modules.get("gevent.monkey")
    return gevent.get_original("_thread", name) if gevent else getattr(_thread, name)


def gated_run(self, inputs):
    closed = native("allocate_lock")()
    closed.acquire()
    while HELD.exists():
        held_on.add(native("get_ident")())
        HELD.with_suffix(".reached").touch()
        closed.acquire(timeout=0.01)
    return run(self, inputs)


OnnxBackend.run = gated_run


@app.before_request
def enter():
    if flask.request.path == "/score":
        inside.append(None)


@app.post("/score")
@predicts(fraud)
def score(prediction: Prediction) -> dict[str, object]:
    inside.pop()
    return {
        "value": prediction.value,
        "probability": prediction.probability,
        "version": prediction.version,
    }


@app.post("/alive")
def alive():
    return flask.jsonify("alive")


@app.post("/counters")
def counters() -> dict[str, object]:
    return {
        "rows": fraud.counters["rows"],
        "batches": fraud.counters["batches"],
        "inside": len(inside),
        "a_hub_stood_still": native("get_ident")() in held_on,
    }

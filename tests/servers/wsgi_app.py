"""The application the server tests start; with PREDICT_AT_IMPORT it answers once before the server forks."""

from __future__ import annotations

import os

import flask

from inprocml import Model, Prediction
from inprocml.flask import health, predicts

fraud = Model(os.environ["STORE"], poll_interval=0.1, threads=2)

app = flask.Flask(__name__)
app.register_blueprint(health(fraud), url_prefix="/_ml")

if os.environ.get("PREDICT_AT_IMPORT"):
    fraud.predict({"amount": 1.0, "country": "us"})


@app.post("/score")
@predicts(fraud)
def score(prediction: Prediction) -> dict[str, object]:
    return {"value": prediction.value, "version": prediction.version, "pid": os.getpid(), "id": prediction.id}

"""The application the server tests start; with PREDICT_AT_IMPORT it answers once before the server forks."""

from __future__ import annotations

import os

import flask

from inprocml import Model, Monitoring, Prediction
from inprocml.flask import health, predicts
from inprocml.monitoring.quality.sqlite import SqliteStore

settings = Monitoring()
if "LABELS" in os.environ:
    settings = Monitoring(store=SqliteStore(os.environ["LABELS"], model="fraud"))
fraud = Model(os.environ["STORE"], poll_interval=0.1, threads=2, monitoring=settings)

app = flask.Flask(__name__)
app.register_blueprint(health(fraud), url_prefix="/_ml")

if os.environ.get("PREDICT_AT_IMPORT"):
    fraud.predict({"amount": 1.0, "country": "us"})


@app.post("/score")
@predicts(fraud)
def score(prediction: Prediction) -> dict[str, object]:
    return {"value": prediction.value, "version": prediction.version, "pid": os.getpid(), "id": prediction.id}


@app.post("/watched")
def watched() -> dict[str, object]:
    health = fraud.drift().health
    return {"seen": health.seen, "sampled": health.sampled, "workers": health.workers, "scope": health.scope}


@app.post("/label/<prediction_id>")
def label(prediction_id: str) -> dict[str, object]:
    return {"outcome": fraud.feedback(prediction_id, "fraud"), "pid": os.getpid()}


@app.post("/judged")
def judged() -> dict[str, object]:
    report = fraud.quality()
    return {"matched": report.counters.outcomes["matched"], "scope": report.scope, "pid": os.getpid()}

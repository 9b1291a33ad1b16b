"""The application: answers, takes labels, keeps rows, and follows ``production`` wherever it goes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flask import Flask, request
from flask.typing import ResponseReturnValue

from inprocml import Model, Prediction
from inprocml.flask import init_app, predicts
from inprocml.monitoring import Capture, Monitoring

home = Path(os.environ.get("FRAUD_HOME", "."))

fraud = Model(
    home / "fraud",
    alias="production",
    poll_interval=0.5,
    monitoring=Monitoring(folder=home / "counts", capture=Capture(home / "rows", share=1.0, every=1.0)),
)

app = Flask(__name__)
init_app(app)


@app.post("/score")
@predicts(fraud)
def score(prediction: Prediction) -> dict[str, object]:
    return {"answer": prediction.value, "id": prediction.id, "version": prediction.version}


@app.post("/label/<prediction>")
def label(prediction: str) -> ResponseReturnValue:
    return {"outcome": fraud.feedback(prediction, request.get_json()["label"]).value}, 202


@app.get("/version")
def version() -> dict[str, str]:
    return {"version": fraud.version}


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]))

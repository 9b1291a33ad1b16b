"""The whole Flask application: one view, one decorator, and the health probes."""

from __future__ import annotations

import os

from flask import Flask

from inprocml import Model, Prediction
from inprocml.flask import health, init_app, predicts

late = Model(os.environ.get("LATE_MODEL", "models/late"))

app = Flask(__name__)
init_app(app)
app.register_blueprint(health(late), url_prefix="/_ml")


@app.get("/")
def home() -> str:
    return (
        "<h1>Will the flight be late?</h1><p>POST a flight at push-back to <code>/late</code>: "
        "see <a href='/_ml/ready'>/_ml/ready</a> for the version that answers.</p>"
    )


@app.post("/late")
@predicts(late)
def score(prediction: Prediction) -> dict[str, object]:
    return {
        "late": prediction.value,
        "p": prediction.probabilities["late"] if prediction.probabilities else None,
        "model": prediction.version,
        "id": prediction.id,
    }

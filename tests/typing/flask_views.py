"""Checked by mypy only: what @predicts does to a view's type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_type

import flask

from inprocml import Model, Prediction
from inprocml.flask import predicts

late = Model("models/late")


@predicts(late)
def score(prediction: Prediction, flight_id: int) -> dict[str, object]:
    return {"late": prediction.value, "id": flight_id}


@predicts(late, row=lambda request: request.args.to_dict(), timeout=0.2)
async def ascore(prediction: Prediction, flight_id: int) -> str:
    return f"{prediction.value} {flight_id}"


assert_type(score(7), dict[str, object] | flask.Response)
accepted: Callable[[int], Awaitable[str | flask.Response]] = ascore
score("seven")  # type: ignore[arg-type]


@predicts(late)  # type: ignore[arg-type]
def wrong(flight_id: int) -> str:
    return str(flight_id)


class Score:
    @predicts(late)
    def post(self, prediction: Prediction, flight_id: int) -> str:
        return str(prediction.value)


assert_type(Score().post(7), str | flask.Response)

prediction = late.predict({"carrier": "UA"})
assert_type(prediction, Prediction)
assert_type(prediction.probability, float | None)
assert_type(late.predict_many([{}]), list[Prediction])

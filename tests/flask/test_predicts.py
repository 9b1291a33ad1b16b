"""The Flask decorator and blueprint, through a real Flask app."""

from __future__ import annotations

import inspect
import json
import logging
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest
from tests.conftest import wait_for

import inprocml
from inprocml import Model, Prediction
from inprocml.flask import health, init_app, predicts


@pytest.fixture
def model(store):
    model = Model(store)
    yield model
    model.close()


@pytest.fixture
def app(model):
    app = flask.Flask(__name__)

    @app.post("/orders/<int:order_id>/score")
    @predicts(model)
    def score(prediction: Prediction, order_id: int) -> dict[str, object]:
        """Score one order."""
        return {"order": order_id, "value": prediction.value, "model": prediction.version}

    @app.post("/async/<int:order_id>")
    @predicts(model)
    async def ascore(prediction: Prediction, order_id: int) -> dict[str, object]:
        return {"order": order_id, "value": prediction.value}

    @app.get("/query")
    @predicts(model, row=lambda request: {"amount": float(request.args["amount"]), "country": "us"})
    def query(prediction: Prediction) -> dict[str, object]:
        return {"value": prediction.value}

    @app.get("/listed")
    @predicts(model, row=lambda _request: [1, 2])
    def listed(prediction: Prediction) -> str:
        return str(prediction)

    return app


@pytest.fixture
def client(app):
    return app.test_client()


def test_answers(client, row):
    response = client.post("/orders/7/score", json=row)
    assert response.status_code == 200
    assert response.json == {"order": 7, "value": "fraud", "model": "1"}


def test_async_views_answer_too(client, row):
    assert client.post("/async/7", json=row).json == {"order": 7, "value": "fraud"}


def test_the_row_may_come_from_elsewhere(client):
    assert client.get("/query?amount=80.0").json == {"value": "fraud"}


def test_a_row_function_that_gives_no_row_is_a_400(client):
    response = client.get("/listed")
    assert response.status_code == 400
    assert "an array" in response.json["detail"]


def test_the_view_keeps_name_doc_and_signature(app, model):
    view = app.view_functions["score"]
    assert view.__doc__ == "Score one order."
    assert list(inspect.signature(view).parameters) == ["order_id"]
    assert "prediction" not in view.__annotations__
    prediction = Prediction("ok", 0.9, {"ok": 0.9, "fraud": 0.1}, "test", "id")
    assert view.__wrapped__(prediction, 3)["value"] == "ok"


def test_a_view_that_takes_no_prediction_is_refused_where_it_is_written(model):
    with pytest.raises(TypeError, match="prediction"):

        @predicts(model)  # type: ignore[call-overload]
        def view() -> str:
            return ""


BAD_REQUESTS = {
    "malformed": ({"data": b"{", "content_type": "application/json"}, 400, "bad-request"),
    "empty": ({"data": b"", "content_type": "application/json"}, 400, "bad-request"),
    "not utf-8": ({"data": b'{"a": "\xff"}', "content_type": "application/json"}, 400, "bad-request"),
    "an array": ({"data": b"[]", "content_type": "application/json"}, 400, "bad-request"),
    "a number": ({"data": b"3", "content_type": "application/json"}, 400, "bad-request"),
    "null": ({"data": b"null", "content_type": "application/json"}, 400, "bad-request"),
    "NaN": ({"data": b'{"amount": NaN}', "content_type": "application/json"}, 400, "bad-request"),
    "Infinity": ({"data": b'{"amount": -Infinity}', "content_type": "application/json"}, 400, "bad-request"),
    "nested deep": (
        {"data": b'{"a":' + b"[" * 100_000, "content_type": "application/json"},
        400,
        "bad-request",
    ),
    "form": ({"data": {"amount": "1"}}, 415, "wrong-content-type"),
    "text": ({"data": b"{}", "content_type": "text/plain"}, 415, "wrong-content-type"),
    "no type": ({"data": b"{}"}, 415, "wrong-content-type"),
    "10 MB": ({"data": b" " * 10_000_000, "content_type": "application/json"}, 413, "body-too-large"),
    "missing": ({"json": {"amount": 1.0}}, 422, "invalid-row"),
    "extra": ({"json": {"amount": 1.0, "country": "us", "x": 1}}, 422, "invalid-row"),
    "text number": ({"json": {"amount": "1.5", "country": "us"}}, 422, "invalid-row"),
    "true": ({"json": {"amount": True, "country": "us"}}, 422, "invalid-row"),
    "nan text": ({"json": {"amount": "nan", "country": "us"}}, 422, "invalid-row"),
    "1e400": (
        {"data": b'{"amount": 1e400, "country": "us"}', "content_type": "application/json"},
        422,
        "invalid-row",
    ),
    "list": ({"json": {"amount": [1], "country": {}}}, 422, "invalid-row"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
@pytest.mark.parametrize("path", ["/orders/7/score", "/async/7"])
def test_bad_input_is_a_problem_document_and_the_next_request_is_fine(client, row, case, path, capfd):
    request, status, kind = BAD_REQUESTS[case]
    response = client.post(path, **request)
    assert response.status_code == status, response.json
    assert response.mimetype == "application/problem+json"
    assert response.json["type"] == f"urn:inprocml:error:{kind}"
    assert response.json["status"] == status
    assert len(response.json["detail"]) > 20
    assert client.post(path, json=row).json["value"] == "fraud"
    assert capfd.readouterr().out == ""


def test_all_bad_fields_come_at_once(client):
    response = client.post("/orders/7/score", json={"amount": "x", "land": "de"})
    assert set(response.json["issues"]) == {"amount", "country", "land"}


def test_a_chunked_body_is_bounded_too(app):
    with app.test_request_context(
        "/orders/7/score",
        method="POST",
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "wsgi.input": _Endless()},
    ):
        response = app.view_functions["score"](order_id=7)
    assert response.status_code == 413


class _Endless:
    """A body that never ends: only a bounded read returns."""

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            raise AssertionError("an unbounded read of an endless body")
        return b" " * size

    readline = read


def test_a_host_limit_below_ours_is_a_413_too(app, client, row):
    app.config["MAX_CONTENT_LENGTH"] = 10
    assert client.post("/orders/7/score", json=row).status_code == 413


@pytest.fixture
def quiet_log(monkeypatch):
    """Mistakes told by other tests are told again here."""
    monkeypatch.setattr("inprocml.flask._told", {})


def broken_folder(folder, how):
    """A place no model can be loaded from."""
    (folder / "1").mkdir(parents=True)
    content = {"foreign": '{"format": "other"}', "junk": "]["}[how]
    (folder / "1" / "manifest.json").write_text(content)


@pytest.mark.parametrize("how", ["missing", "foreign", "junk", "a version that is not there"])
def test_the_hosts_mistakes_are_a_500_that_tells_nothing_and_a_log_that_tells_all(
    tmp_path, store, row, how, caplog, quiet_log
):
    place = tmp_path / "secret-place"
    if how in {"foreign", "junk"}:
        broken_folder(place, how)
    if how == "a version that is not there":
        store.rename(place)
    model = Model(place, version="9" if how == "a version that is not there" else None)
    app = flask.Flask(__name__)

    @app.post("/")
    @predicts(model)
    def view(prediction: Prediction) -> str:
        return prediction.version

    with caplog.at_level(logging.ERROR, logger="inprocml"):
        answers = [app.test_client().post("/", json=row) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {500}
    assert "secret-place" not in answers[0].text
    assert "secret-place" in caplog.text
    told = [
        record for record in caplog.records if record.name == "inprocml" and "POST" in record.getMessage()
    ]
    assert [bool(record.exc_info) for record in told] == [True]  # the other two within a second of it


def test_a_bundle_of_a_newer_format_is_a_500_that_says_upgrade_in_the_log(
    tmp_path, store, row, caplog, quiet_log
):
    from inprocml.bundle.manifest import _digest
    from inprocml.schema.canonical import canonical

    manifest = store / "1" / "manifest.json"
    newer = json.loads(manifest.read_text()) | {"format_version": 2}
    newer.pop("digest")
    sealed = newer | {"digest": _digest(newer)}
    manifest.write_bytes(canonical(sealed))
    app = flask.Flask(__name__)
    app.add_url_rule(
        "/", "view", predicts(Model(store))(lambda prediction: prediction.version), methods=["POST"]
    )
    with caplog.at_level(logging.ERROR, logger="inprocml"):
        assert app.test_client().post("/", json=row).status_code == 500
    assert "Upgrade inprocml" in caplog.text


def test_a_row_that_makes_the_backend_fail_costs_only_itself(store, row, caplog, quiet_log):
    from inprocml.backends import open_backend

    class Poisonous:
        """The real model, that fails on one particular amount."""

        def __init__(self, bundle):
            self.real = open_backend("onnx", bundle.model, threads=1)
            self.poison = bundle.transform.transform_one(row | {"amount": 666.0})
            self.name, self.device = "onnx", "cpu"

        def run(self, inputs):
            features = next(iter(inputs.values()))
            if any(one.tobytes() == self.poison.tobytes() for one in features):
                raise RuntimeError("poisoned")
            return self.real.run(inputs)

        def close(self):
            self.real.close()

    app = flask.Flask(__name__)
    model = Model(store, backend=Poisonous, max_queue_delay=0.02)
    app.add_url_rule("/", "view", predicts(model)(lambda prediction: prediction.value), methods=["POST"])

    def ask(amount):
        return app.test_client().post("/", json=row | {"amount": amount})

    with caplog.at_level(logging.ERROR, logger="inprocml"), ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [80.0, 666.0, 80.0, 80.0] * 8))
    assert [answer.status_code for answer in answers] == [200, 500, 200, 200] * 8
    assert "poisoned" not in answers[1].text
    model.close()


def test_overload_and_deadline_say_try_again(row):
    class Full:
        def predict(self, row, timeout=None):
            raise inprocml.Overloaded("full") if timeout is None else inprocml.DeadlineExceeded("late")

    app = flask.Flask(__name__)
    app.post("/full")(predicts(Full())(lambda prediction: "x"))  # type: ignore[arg-type]
    app.add_url_rule("/late", "late", predicts(Full(), timeout=1.0)(lambda prediction: "x"), methods=["POST"])
    full, late = app.test_client().post("/full", json=row), app.test_client().post("/late", json=row)
    assert (full.status_code, full.headers["Retry-After"]) == (503, "1")
    assert (late.status_code, late.headers.get("Retry-After")) == (504, None)


def test_a_class_based_view(model, row):
    from flask.views import MethodView

    class Score(MethodView):
        @predicts(model)
        def post(self, prediction: Prediction, order_id: int) -> dict[str, object]:
            return {"order": order_id, "value": prediction.value, "me": type(self).__name__}

        @predicts(model, row=lambda _request: row)
        async def get(self, prediction: Prediction, order_id: int) -> dict[str, object]:
            return {"order": order_id, "value": prediction.value}

    app = flask.Flask(__name__)
    app.add_url_rule("/<int:order_id>", view_func=Score.as_view("score"))
    client = app.test_client()
    assert client.post("/7", json=row).json == {"order": 7, "value": "fraud", "me": "Score"}
    assert client.get("/7").json == {"order": 7, "value": "fraud"}
    assert client.post("/7", json={}).status_code == 422


def test_the_applications_own_error_handler_goes_first(app, client, row):
    @app.errorhandler(inprocml.InvalidRow)
    def mine(error: inprocml.InvalidRow) -> tuple[flask.Response, int]:
        return flask.jsonify(error.issues), 418

    response = client.post("/orders/7/score", json={"amount": "x"})
    assert (set(response.json), response.status_code) == ({"amount", "country"}, 418)
    assert client.post("/async/7", json={}).status_code == 418
    assert client.post("/orders/7/score", data=b"{", content_type="application/json").status_code == 400
    assert client.post("/orders/7/score", json=row).status_code == 200


@pytest.mark.parametrize(
    "wrong", [{"timeout": -1}, {"timeout": "1"}, {"max_body": 0}, {"timeout": float("nan")}]
)
def test_impossible_arguments_are_refused_where_they_are_written(model, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        predicts(model, **wrong)
    with pytest.raises(TypeError, match="Model"):
        predicts("models/late")


def test_a_repeated_mistake_is_told_once_a_second_with_a_count(app, quiet_log, monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr("inprocml.flask.time.monotonic", lambda: now[0])
    from inprocml.flask import problem_response

    with app.test_request_context("/x"), caplog.at_level(logging.ERROR, logger="inprocml"):
        for tick in (0.0, 0.2, 0.4, 1.5, 1.6):
            now[0] = tick
            assert problem_response(inprocml.Corrupt("model.onnx")).status_code == 500
        assert problem_response(inprocml.Corrupt("golden.json")).status_code == 500
    assert [record.getMessage().partition("x: ")[2] for record in caplog.records] == [
        "Corrupt: model.onnx",
        "Corrupt: model.onnx (and 2 more like it)",
        "Corrupt: golden.json",
    ]


def test_a_probe_of_nothing_is_refused_where_it_is_written():
    for models in ((), ("fraud",), (Model,)):
        with pytest.raises(TypeError, match="health"):
            health(*models)


@pytest.mark.parametrize("row", ["x", 3])
def test_a_row_that_is_no_function_is_refused_where_it_is_written(model, row):
    with pytest.raises(TypeError, match="row"):
        predicts(model, row=row)


def test_init_app_answers_errors_of_plain_views(model, row):
    app = flask.Flask(__name__)
    assert init_app(app) is app

    @app.post("/plain")
    def plain() -> dict[str, object]:
        return {"value": model.predict(flask.request.get_json()).value}

    client = app.test_client()
    assert client.post("/plain", json=row).json == {"value": "fraud"}
    response = client.post("/plain", json={})
    assert response.status_code == 422
    assert response.mimetype == "application/problem+json"


def test_init_app_twice_says_what_to_do():
    app = init_app(flask.Flask(__name__))
    with pytest.raises(RuntimeError, match="once"):
        init_app(app)


def test_health(model, store):
    app = flask.Flask(__name__)
    app.register_blueprint(health(model), url_prefix="/_ml")
    client = app.test_client()
    assert client.get("/_ml/live").status_code == 200
    first = client.get("/_ml/ready")
    assert (first.status_code, first.headers["Retry-After"]) == (503, "1")
    wait_for(lambda: client.get("/_ml/ready").status_code == 200)
    ready = client.get("/_ml/ready")
    assert ready.status_code == 200
    assert ready.json["models"]["fraud"]["version"] == "1"


def test_two_models_of_one_name_do_not_hide_each_other(model, tmp_path, row):
    model.predict(row)
    app = flask.Flask(__name__)
    app.register_blueprint(health(Model(tmp_path / "nowhere" / "fraud"), model))
    answer = app.test_client().get("/ready")
    assert answer.status_code == 503
    assert {name: state["ready"] for name, state in answer.json["models"].items()} == {
        "fraud": False,
        "fraud#2": True,
    }


def test_not_ready_for_ever_without_a_bundle(tmp_path, caplog):
    app = flask.Flask(__name__)
    app.register_blueprint(health(Model(tmp_path / "none")))
    client = app.test_client()
    assert client.get("/live").status_code == 200
    assert {client.get("/ready").status_code for _ in range(5)} == {503}


def test_json_answers_hold_plain_numbers(client, app, model, row):
    @app.post("/all")
    @predicts(model)
    def everything(prediction: Prediction) -> dict[str, object]:
        return {"p": prediction.probability, "all": prediction.probabilities, "id": prediction.id}

    answer = json.loads(client.post("/all", json=row).data)
    assert set(answer["all"]) == {"ok", "fraud"}
    assert isinstance(answer["p"], float)


# --- versions -------------------------------------------------------------------------------------------


@pytest.fixture
def versions(store, add_version):
    """A client of a view with a candidate on half of the keys, and the pin 2."""
    add_version()
    model = Model(store, version="1", poll_interval=0.02, rollout={"2": 0.5}, pins=["2"])
    app = flask.Flask(__name__)

    @app.post("/score")
    @predicts(model, key=lambda request: request.headers.get("X-User"), version_header=True)
    def score(prediction: Prediction) -> dict[str, object]:
        return {"model": prediction.version}

    @app.post("/plain")
    @predicts(model)
    def plain(prediction: Prediction) -> dict[str, object]:
        return {"model": prediction.version}

    app.register_blueprint(health(model))
    client = app.test_client()
    assert client.post("/score", json={"amount": 80.0, "country": "us"}).status_code == 200
    wait_for(lambda: model.rollout.candidates)
    yield client
    model.close()


def test_a_key_of_the_request_decides_between_versions(versions, row):
    dealt = [
        {versions.post("/score", json=row, headers={"X-User": user}).json["model"] for _ in range(3)}
        for user in map(str, range(40))
    ]
    assert all(len(one) == 1 for one in dealt)
    assert set.union(*dealt) == {"1", "2"}


def test_a_header_pins_a_version_where_the_view_allows_it(versions, row):
    for version in ("1", "2"):
        answers = {
            versions.post("/score", json=row, headers={"X-Model-Version": version}).json["model"]
            for _ in range(10)
        }
        assert answers == {version}
    answers = {
        versions.post("/plain", json=row, headers={"X-Model-Version": "2"}).json["model"] for _ in range(40)
    }
    assert answers == {"1", "2"}


@pytest.mark.parametrize("version", ["3", "", "../2", "2, 1", "x" * 5000])
def test_a_header_that_asks_for_what_is_not_offered_is_refused_and_told_nothing(versions, row, version):
    answer = versions.post("/score", json=row, headers={"X-Model-Version": version})
    assert answer.status_code == 400
    assert "X-Model-Version" in answer.json["detail"]
    assert version == "" or version not in answer.text


def test_health_tells_a_stale_version(store, row, add_broken_version):
    model = Model(store, poll_interval=0.02)
    app = flask.Flask(__name__)
    app.register_blueprint(health(model))
    client = app.test_client()
    model.predict(row)
    assert client.get("/ready").json["models"]["fraud"]["state"] == "ready"
    add_broken_version()
    wait_for(lambda: client.get("/ready").json["models"]["fraud"]["state"] == "stale")
    answer = client.get("/ready")
    assert answer.status_code == 200, "it answers, if not with the newest"
    assert "2" in answer.json["models"]["fraud"]["stale"]
    model.close()

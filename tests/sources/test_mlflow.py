"""A model registry: a real `mlflow server` on sqlite, filled by MLflow's own client (`make servers`)."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from tests.conftest import wait_for
from tests.sources.servers import VENV, free_port, inside, needs_servers, process

from inprocml import Bundle, Model
from inprocml.errors import BundleError, UnknownVersion
from inprocml.protocols import Source
from inprocml.sources import MLflow
from inprocml.testing import check_source

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]

REGISTER = """
import sys, mlflow
uri, name, folder, alias = sys.argv[1:]
mlflow.set_tracking_uri(uri)
client = mlflow.MlflowClient()
try:
    client.create_registered_model(name)
except mlflow.MlflowException:
    pass
mlflow.set_experiment("late")
with mlflow.start_run() as run:
    mlflow.log_artifacts(folder, "bundle")
version = client.create_model_version(name, f"{run.info.artifact_uri}/bundle", run.info.run_id)
if alias:
    client.set_registered_model_alias(name, alias, version.version)
print(version.version)
"""

MORE = """
import sys, mlflow
uri, name, folder = sys.argv[1:]
mlflow.set_tracking_uri(uri)
client = mlflow.MlflowClient()
with mlflow.start_run() as run:
    mlflow.log_artifacts(folder, "bundle")
    mlflow.log_dict({}, "other/model.json")
print(client.create_model_version(name, run.info.artifact_uri, run.info.run_id).version)
print(client.create_model_version(name, f"{run.info.artifact_uri}/other", run.info.run_id).version)
print(client.create_model_version(name, f"runs:/{run.info.run_id}/bundle", run.info.run_id).version)
print(client.create_model_version(name, "s3://elsewhere/late", run.info.run_id).version)
"""


@pytest.fixture(scope="module")
def tracking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(VENV / "bin" / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with process(command, f"{url}/health", folder, MLFLOW_DISABLE_TELEMETRY="true"):
        yield url


@needs_servers
def test_a_registered_model_keeps_the_protocol_and_its_alias_is_followed(
    tracking, store, add_version, row, tmp_path
):
    add_version()
    assert inside(REGISTER, tracking, "late", store / "1", "production").splitlines()[-1] == "1"
    source = MLflow("late", tracking_uri=tracking, cache=tmp_path / "cache")
    check_source(source)
    (version,) = source.versions()
    assert (version.name, version.own_name) == ("1", True)
    assert source.aliases()["production"].name == "1"
    assert Bundle.open(source.fetch("1").path).digest == Bundle.open(store / "1").digest

    assert inside(REGISTER, tracking, "late", store / "2", "production").splitlines()[-1] == "2"
    assert [found.name for found in source.versions()] == ["1", "2"]
    assert source.aliases()["production"].name == "2"
    assert Bundle.open(source.fetch("2").path).digest == Bundle.open(store / "2").digest

    # a bundle below its artifacts, no bundle, a run's artifacts, artifacts that the server does not hand out
    assert inside(MORE, tracking, "late", store / "1").splitlines()[-4:] == ["3", "4", "5", "6"]
    assert [found.name for found in source.versions()] == ["1", "2", "3", "5"]
    check_source(source)


@needs_servers
def test_a_model_follows_a_registry(tracking, store, add_version, row, tmp_path):
    add_version()
    inside(REGISTER, tracking, "followed", store / "1", "")
    source = MLflow("followed", tracking_uri=tracking, cache=tmp_path / "cache")
    with Model(source, poll_interval=0.2) as model:
        assert model.predict(row).version == "1"
        inside(REGISTER, tracking, "followed", store / "2", "")
        wait_for(lambda: model.predict(row).version == "2")


@needs_servers
def test_an_unknown_model_and_version_say_so(tracking, store, tmp_path):
    with pytest.raises(BundleError, match="knows no such model"):
        MLflow("nobody", tracking_uri=tracking, cache=tmp_path).aliases()
    inside(REGISTER, tracking, "known", store / "1", "")
    with pytest.raises(UnknownVersion, match="it has: 1"):
        MLflow("known", tracking_uri=tracking, cache=tmp_path).fetch("7")


@pytest.mark.parametrize("name", ["", "a' OR name='b", 'a"b', "a/b", "a\\b", "a:b", "a\nb", "x" * 251])
def test_these_are_no_registered_models(name):
    with pytest.raises(ValueError, match="name must be"):
        MLflow(name)


@pytest.mark.parametrize("uri", [None, "file:///etc", "/tmp/mlruns", "sqlite:///x.db", "http://"])
def test_only_a_server_is_asked(tmp_path, uri, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(BundleError, match="must begin with http"):
        MLflow("late", tracking_uri=uri, cache=tmp_path).versions()


def test_nothing_is_read_at_the_declaration():
    source = MLflow("late", tracking_uri="http://me:hunter2@nowhere.invalid")
    assert isinstance(source, Source)
    assert repr(source) == "MLflow('late')"


class Liar(http.server.BaseHTTPRequestHandler):
    """A tracking server that answers as it is told."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.asked.append((path, self.headers.get("Authorization")))
        answer = next((told for end, told in self.server.answers.items() if path.endswith(end)), None)
        status, content = (404, b"{}") if answer is None else (200, answer)
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        if isinstance(content, int):
            status, content = content, b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def liar():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.asked, server.answers = [], {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def registered(location):
    return {
        "model-versions/search": {"model_versions": [{"name": "late", "version": "1", "status": "READY"}]},
        "get-download-uri": {"artifact_uri": location},
        "runs/get": {"run": {"info": {"artifact_uri": "mlflow-artifacts:/0/a/artifacts"}}},
    }


@pytest.mark.parametrize(
    "location",
    [
        "/etc",
        "file:///etc",
        "http://169.254.169.254/latest",
        "mlflow-artifacts:/../../etc",
        "mlflow-artifacts:/a/%2e%2e/b",
        "mlflow-artifacts:/a//b",
        "mlflow-artifacts:",
        "runs:/a/../../etc",
        "runs:/a/../b",
        "",
    ],
)
def test_a_location_that_is_not_behind_the_server_is_never_asked_for(liar, tmp_path, location):
    liar.answers = registered(location)
    source = MLflow("late", tracking_uri=f"http://127.0.0.1:{liar.server_port}", cache=tmp_path)
    assert source.versions() == ()
    assert not [path for path, _ in liar.asked if "mlflow-artifacts" in path]


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"not json", b"\xff\xfe", 500, 401, {"model_versions": [7, {}]}]
)
def test_a_server_that_lies_is_a_typed_error_or_has_no_version(liar, tmp_path, answer):
    liar.answers = {"model-versions/search": answer}
    source = MLflow("late", tracking_uri=f"http://127.0.0.1:{liar.server_port}", cache=tmp_path)
    if isinstance(answer, dict):
        assert source.versions() == ()
        return
    with pytest.raises(BundleError, match="127.0.0.1"):
        source.versions()


def test_credentials_are_sent_and_never_shown(liar, tmp_path, monkeypatch):
    liar.answers = {"model-versions/search": 403}
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    address = f"127.0.0.1:{liar.server_port}"
    faults = []
    for uri in (f"http://{address}", f"http://you:s3same@{address}"):
        with pytest.raises(BundleError, match="403") as refused:
            MLflow("late", tracking_uri=uri, cache=tmp_path).versions()
        faults.append(refused.value)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok3n")
    with pytest.raises(BundleError, match="403") as refused:
        MLflow("late", tracking_uri=f"http://{address}", cache=tmp_path).versions()
    faults.append(refused.value)
    assert [sent for _, sent in liar.asked] == [
        "Basic bWU6aHVudGVyMg==",
        "Basic eW91OnMzc2FtZQ==",
        "Bearer tok3n",
    ]
    assert all(fault.__context__ is None for fault in faults)
    assert not any(secret in str(fault) for fault in faults for secret in ("hunter2", "s3same", "tok3n"))


def test_a_server_that_is_down_is_a_typed_error(tmp_path):
    with pytest.raises(BundleError, match="cannot be read"):
        MLflow("late", tracking_uri=f"http://127.0.0.1:{free_port()}", cache=tmp_path).versions()


def test_a_version_whose_run_is_gone_hides_no_other(liar, tmp_path):
    liar.answers = registered("runs:/a/bundle")
    del liar.answers["runs/get"]
    assert (
        MLflow("late", tracking_uri=f"http://127.0.0.1:{liar.server_port}", cache=tmp_path).versions() == ()
    )

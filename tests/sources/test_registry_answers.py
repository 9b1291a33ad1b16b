"""A registry that answers with JSON of another shape: refused or empty, never another error."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inprocml import BundleError
from inprocml.schema.strict_json import dump
from inprocml.sources.mlflow import MLflow

NAMES = [
    "registered_model",
    "aliases",
    "model_versions",
    "next_page_token",
    "alias",
    "version",
    "name",
    "run",
    "info",
]
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["late", "1", "READY", ""])
SHAPES = st.dictionaries(
    st.sampled_from(NAMES),
    st.recursive(
        LEAVES, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(NAMES), x, max_size=3)
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def registry():
    class Answer(BaseHTTPRequestHandler):
        said = b"{}"

        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(Answer.said)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Answer, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=SHAPES)
def test_any_shape_of_answer_is_refused_or_holds_nothing(registry, tmp_path, shape):
    answer, uri = registry
    answer.said = dump(shape).encode()
    source = MLflow("late", tracking_uri=uri, cache=tmp_path)
    for ask in (source.versions, source.aliases, lambda: source.fetch("1")):
        try:
            ask()
        except BundleError as error:
            assert uri in str(error)
        except Exception as error:
            from inprocml import UnknownVersion

            assert isinstance(error, UnknownVersion), repr(error)

"""Real servers whose one worker answers many requests at once: in batches, and other routes beside them."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.servers.test_prefork import HERE, ask, serving

from inprocml import Model

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]
ROWS = [{"amount": 10.0 * number, "country": ("de", "fr", "us")[number % 3]} for number in range(12)]


def gunicorn(kind, *extra):
    return [
        sys.executable, "-m", "gunicorn", "gated_app:app", "--chdir", str(HERE), "--bind", "127.0.0.1:{port}",
        "--workers", "1", "--worker-class", kind, "--log-level", "warning", *extra,
    ]  # fmt: skip


def gevent(*extra):
    if importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed here: pip install gevent (no wheel for this platform?)")
    return gunicorn("gevent", *extra)


SERVERS = {
    "gevent": gevent,
    "gevent, preloaded": lambda: gevent("--preload"),
    "gthread": lambda: gunicorn("gthread", "--threads", "16"),
}


@pytest.mark.parametrize("server", SERVERS)
def test_requests_share_batches_and_a_slow_model_stops_no_other_route(server, store, add_version, tmp_path):
    held = tmp_path / "held"
    with contextlib.closing(Model(store)) as model:
        expected = [model.predict(row) for row in ROWS]
    with serving(SERVERS[server](), store, tmp_path, HELD=str(held), PREDICT_AT_IMPORT="") as (port, _):
        before = ask(port, b"", path="/counters")[1]
        held.touch()
        with ThreadPoolExecutor(len(ROWS)) as pool:
            answers = [pool.submit(ask, port, json.dumps(row).encode()) for row in ROWS]
            until(held.with_suffix(".reached").exists)
            for _ in range(20):
                assert ask(port, b"", path="/alive") == (200, "alive")
            assert not any(answer.done() for answer in answers)
            until_all_wait(port, len(ROWS))
            held.unlink()
            bodies = [answer.result() for answer in answers]
        after = ask(port, b"", path="/counters")[1]
        add_version()  # who watches for it stops nobody either
        until(lambda: ask(port)[1]["version"] == "2")

    assert [(status, body["value"]) for status, body in bodies] == [(200, one.value) for one in expected]
    assert [body["probability"] for _, body in bodies] == pytest.approx([one.probability for one in expected])
    assert after["rows"] - before["rows"] == len(ROWS)
    assert after["batches"] - before["batches"] < len(ROWS) / 2
    if server.startswith("gevent"):
        assert not after["a_hub_stood_still"]


def until_all_wait(port, callers):
    """Return when all callers but those in the running batch are in the queue."""
    until(lambda: ask(port, b"", path="/counters")[1]["inside"] == callers)


def until(condition):
    limit = time.monotonic() + 60
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < limit, "it never came to that"
        pause.wait(0.01)

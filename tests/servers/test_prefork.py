"""Real servers that fork: the model was loaded and used in the parent, and every worker must answer."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]
HERE = Path(__file__).parent
ROW = {"amount": 80.0, "country": "us"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, body=None, path="/score", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        data = json.dumps(ROW).encode() if body is None else body
        connection.request("POST", path, data, {"Content-Type": "application/json"} | headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        connection.close()


@contextlib.contextmanager
def serving(command, store, tmp_path, **environment):
    """Start a server, wait until it answers, stop it; yields port and process."""
    port = free_port()
    log = tmp_path / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            env={**os.environ, "STORE": str(store), "PREDICT_AT_IMPORT": "1", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_it_answers(port, process, log)
            yield port, process
        except BaseException:
            sys.stderr.write(log.read_text(errors="replace")[-4000:])
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_it_answers(port, process, log):
    pause = threading.Event()
    for _ in range(600):
        assert process.poll() is None, log.read_text(errors="replace")[-4000:]
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask(port)[0] == 200:
                return
        pause.wait(0.1)
    pytest.fail(f"no answer: {log.read_text(errors='replace')[-4000:]}")


def gunicorn(*extra):
    return [
        sys.executable, "-m", "gunicorn", "wsgi_app:app", "--chdir", str(HERE), "--bind", "127.0.0.1:{port}",
        "--preload", "--workers", "2", "--threads", "4", "--log-level", "warning", *extra,
    ]  # fmt: skip


def uwsgi(*extra):
    program = shutil.which("uwsgi", path=str(Path(sys.executable).parent))
    if program is None:
        assert importlib.util.find_spec("pyuwsgi") is None
        pytest.skip("uwsgi is not installed here: pip install pyuwsgi (no wheel for this platform?)")
    return [
        program, "--http-socket", "127.0.0.1:{port}", "--master", "--processes", "2", "--threads", "4",
        "--chdir", str(HERE), "--module", "wsgi_app:app", "--need-app", "--die-on-term",
        "--disable-logging", *extra,
    ]  # fmt: skip


SERVERS = {"gunicorn": gunicorn, "uwsgi": uwsgi}


@pytest.mark.parametrize("server", SERVERS)
def test_workers_answer_swap_and_leave(server, store, add_version, tmp_path):
    with serving(SERVERS[server](), store, tmp_path) as (port, process):
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: ask(port), range(300)))
        assert {status for status, _ in answers} == {200}
        assert {body["value"] for _, body in answers} == {"fraud"}
        assert len({body["id"] for _, body in answers}) == 300
        workers = {body["pid"] for _, body in answers}
        assert process.pid not in workers
        assert len(workers) == 2

        add_version()
        swapped = _workers_on_version(port, "2", workers)
        assert swapped == workers

        process.send_signal(signal.SIGTERM)
        # A worker stuck in an exit handler is killed by the server after 30 s or more: below is a hang.
        assert process.wait(timeout=20) == 0


def _workers_on_version(port, version, workers):
    """Ask until every worker answers with ``version``; meanwhile every request must succeed."""
    seen = set()
    deadline = time.monotonic() + 60
    while seen != workers and time.monotonic() < deadline:
        with ThreadPoolExecutor(8) as pool:
            for status, body in pool.map(lambda _: ask(port), range(16)):
                assert status == 200
                if body["version"] == version:
                    seen.add(body["pid"])
    return seen


def test_workers_are_recycled_without_a_lost_request(store, tmp_path):
    command = gunicorn("--max-requests", "25", "--max-requests-jitter", "5")
    with serving(command, store, tmp_path) as (port, _process):
        answers = [ask(port) for _ in range(150)]
    assert {status for status, _ in answers} == {200}
    assert len({body["pid"] for _, body in answers}) >= 4


def test_hostile_bodies_over_a_real_socket(store, tmp_path):
    with serving(gunicorn(), store, tmp_path) as (port, _process):
        assert ask(port, b"{")[0] == 400
        assert ask(port, b"{}", **{"Content-Type": "text/plain"})[0] == 415
        assert ask(port, b"{}")[0] == 422
        with contextlib.suppress(ConnectionError):  # the server may close before all of it is sent
            assert ask(port, b" " * 10_000_000)[0] == 413
        assert ask(port)[0] == 200


def test_a_broken_publish_leaves_every_worker_serving_and_those_that_start_after_it(
    store, add_broken_version, tmp_path
):
    command = gunicorn("--max-requests", "40", "--max-requests-jitter", "10")
    with serving(command, store, tmp_path) as (port, _process):
        add_broken_version()
        threading.Event().wait(1.0)
        answers = [ask(port) for _ in range(200)]
    assert {(status, body["version"]) for status, body in answers} == {(200, "1")}
    assert len({body["pid"] for _, body in answers}) >= 4

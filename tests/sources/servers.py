"""Real servers for the tests of sources: a web server that counts, S3 (moto) and MLflow as processes."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VENV = ROOT / ".venv-servers"
PYTHON = VENV / "bin" / "python"

needs_servers = pytest.mark.skipif(
    not (VENV / ".installed").exists(), reason="no servers to test against: run `make servers`"
)


class Web(http.server.SimpleHTTPRequestHandler):
    """Python's own web server with a page of links; ``server`` says how it misbehaves."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked[self.path.partition("?")[0]] += 1
        if self.server.password and self.server.password not in self.headers.get("Authorization", ""):
            self.send_error(401)
        elif self.server.query and self.server.query not in self.path:
            self.send_error(403)
        elif self.server.silent.is_set():
            self.server.released.wait(30)
        else:
            super().do_GET()

    def copyfile(self, source, outputfile):
        content = source.read()
        if self.server.cut and self.path.partition("?")[0].endswith(self.server.cut):
            content = content[:-7]
        with contextlib.suppress(ConnectionError):
            outputfile.write(content)


@contextlib.contextmanager
def web(folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Web, directory=str(folder)))
    server.daemon_threads = True
    server.asked, server.cut, server.password, server.query = Counter(), "", "", ""
    server.silent, server.released = threading.Event(), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def free_port():
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return chosen.getsockname()[1]


@contextlib.contextmanager
def process(command, url, folder, **environment):
    """Start a server and wait until ``url`` answers."""
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        for _ in range(900):
            if server.poll() is not None:
                pytest.fail(f"{command[0]} ended: {log.read_text()[-2000:]}")
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"{command[0]} does not answer: {log.read_text()[-2000:]}")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait(10)


def inside(script, *arguments, **environment):
    """Run Python with the servers' packages and this checkout; return what it printed."""
    done = subprocess.run(
        [PYTHON, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

"""A real HTTP receiver on localhost, which misbehaves as it is told."""

from __future__ import annotations

import contextlib
import http.server
import socketserver
import threading
import time

from inprocml.monitoring.verdict import Action, DriftEvent, Finding, Measures, Reference, State, Test

SECRET = "0123456789abcdef-very-secret"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, dict(self.headers), body))
        answer = self.server.answers.pop(0) if self.server.answers else 204
        with contextlib.suppress(OSError):
            if callable(answer):
                answer(self)
                return
            self.send_response(answer)
            if 300 <= answer < 400:
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_):
        pass


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass


@contextlib.contextmanager
def receiving(*answers):
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.heard, server.answers = [], list(answers)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_port}/hook?team=ml"
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def drip(handler):
    """Send a byte now and then, for ever."""
    for letter in b"HTTP/1.1 200 OK" + b" " * 600:
        handler.wfile.write(bytes([letter]))
        handler.wfile.flush()
        time.sleep(0.05)


def flood(handler):
    """Answer well, and far too much."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(10_000):
        handler.wfile.write(b"x" * 100_000)


def long_line(handler):
    handler.wfile.write(b"A" * 10_000_000)


def event_of(name="0f3a", action=Action.OPENED, **parts):
    found = Finding(
        "tailnum", "input", State.DRIFT, 9.5, 5.5, Test.UNSEEN, 0.07, 100.0, 300,
        ("a", "unseen"), (10, 0), (8, 2), Measures(psi=float("inf")), {"N1": 2}, "7 % unseen",
    )  # fmt: skip
    known = {"model": "late", "version": "3", "reference": Reference.TRAIN, "at": 200.5, "since": 100.0}
    return DriftEvent(name, action, **(known | {"findings": (found,)} | parts))


def until(what, seconds=20.0):
    """Wait until ``what`` holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.005)
    return False


__all__ = ["SECRET", "drip", "event_of", "flood", "long_line", "receiving", "until"]

"""A PostgreSQL of the tests' own: a folder of its own, a free port, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["found", "running"]


def found(name: str) -> str | None:
    """Debian keeps its servers out of the path."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return str(kept[0]) if kept else shutil.which(name)


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Start one and yield a SQLAlchemy URL of it."""
    initdb, postgres = found("initdb"), found("postgres")
    assert initdb
    assert postgres
    # it refuses to run as root
    user = _other_user() if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="inprocml-pg-") as home:
        folder = Path(home) / "cluster"
        folder.mkdir(mode=0o700)
        if user is not None:
            os.chown(home, user, -1)
            os.chown(folder, user, -1)
        port = _free_port()
        quiet = {"stdout": subprocess.DEVNULL, "user": user, "cwd": home}
        subprocess.run([initdb, "-D", str(folder), "-U", "tester", "-A", "trust", "-N"], check=True, **quiet)
        options = ["-p", str(port), "-k", home, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        log = (Path(home) / "log").open("wb")
        server = subprocess.Popen([postgres, "-D", str(folder), *options], stderr=log, **quiet)
        try:
            yield _answering(server, port, Path(home) / "log")
        finally:
            server.terminate()  # waits for clients; those of the tests are closed
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            log.close()


def _answering(server: subprocess.Popen[bytes], port: int, log: Path) -> str:
    import time

    import psycopg

    until = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(
                f"host=127.0.0.1 port={port} user=tester dbname=postgres connect_timeout=2"
            ).close()
            return f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _other_user() -> int:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise AssertionError("PostgreSQL does not run as root, and there is no user postgres or nobody")

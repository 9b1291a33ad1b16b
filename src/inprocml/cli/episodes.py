"""Which episodes ``watch`` has acted on, remembered beside the counts; one ``watch`` at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from inprocml.durable import temporary_in, write_new
from inprocml.errors import BundleError

if TYPE_CHECKING:
    from inprocml.monitoring import DriftEvent

__all__ = ["EVENT_PATH", "Episodes"]

EVENT_PATH = "INPROCML_DRIFT_EVENT"
"""The environment variable that tells a command where the event lies, as JSON, while it runs."""

_KIND = "drift_watched@1"
_MOST = 256
_NOT_FOUND = 127  # as shells have it


class Episodes:
    """The ids that were acted on, for the model ``name`` as ``place`` means it.

    An id is remembered when its command has ended, however it did: one that was killed with ``watch`` itself
    runs again. Episodes that were over before the first look at a version are remembered and not acted on.
    Entering raises ``BundleError`` while another process watches the same, ``OSError`` where the folder
    cannot be written to.
    """

    def __init__(self, folder: Path, name: str, place: str) -> None:
        key = hashlib.sha256(f"{name}\0{place}".encode()).hexdigest()[:24]
        self._folder = folder
        self._path, self._lock = folder / f"{key}.watched", folder / f"{key}.watching"
        self._descriptor = -1
        self._known: list[str] = []

    def __enter__(self) -> Self:
        try:
            import fcntl
        except ImportError as error:  # Windows, where processes add up no counts either
            raise BundleError("this system has no locks of files: use Monitoring(on_drift=...)") from error
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._lock, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise BundleError(
                f"{self._folder}: another `inprocml watch` looks after this model. End it, or leave it to it."
            ) from error
        self._known = _read(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def new(
        self, version: str, ended: Sequence[DriftEvent], opened: Sequence[DriftEvent]
    ) -> list[DriftEvent]:
        """Return what is to be acted on: episodes that are on, and those that came and went between looks."""
        looked = f"looked at {version}"
        if looked not in self._known:
            self._remember([looked, *(event.id for event in ended)])
        return [event for event in (*ended, *opened) if event.id not in self]

    def run(self, command: Sequence[str], event: DriftEvent, *, quiet: bool) -> int:
        """Run the command, if there is one, and remember the episode; return its exit code.

        ``quiet``: what it prints goes to standard error, for standard output is read by a machine.
        """
        code = _run(command, event, quiet=quiet) if command else 0
        self._remember([event.id])
        return code

    def _remember(self, names: Sequence[str]) -> None:
        self._known = [*self._known, *names][-_MOST:]
        text = json.dumps({"kind": _KIND, "ids": self._known}).encode()
        temporary = temporary_in(self._folder)
        try:
            write_new(temporary, [text], mode=0o600)
            temporary.replace(self._path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _read(path: Path) -> list[str]:
    """Return what is remembered; nothing where that is damaged: better once too often."""
    try:
        document = json.loads(path.read_bytes())
        ids = document["ids"] if document["kind"] == _KIND else []
        return [each for each in ids if isinstance(each, str)][-_MOST:]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _run(command: Sequence[str], event: DriftEvent, *, quiet: bool) -> int:
    text = event.to_json().encode("ascii")
    with tempfile.TemporaryDirectory(prefix="inprocml-") as folder:  # readable by its owner alone
        path = Path(folder) / "event.json"
        path.write_bytes(text)
        try:
            done = subprocess.run(  # noqa: S603 - the command of whoever started this, and no shell
                list(command),
                input=text,
                env={**os.environ, EVENT_PATH: str(path)},
                stdout=sys.stderr.fileno() if quiet else None,
                check=False,
            )
        except OSError as error:
            sys.stderr.write(f"inprocml: {command[0]!a} cannot be run: {error.strerror}\n")
            return _NOT_FOUND
    return done.returncode

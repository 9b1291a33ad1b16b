"""Waiting for a folder to change: through ``watchfiles`` (inotify and its like) where it is installed.

Notifications do not reach everybody: a network file system tells nobody of what another host wrote. So a wait
ends after its seconds in any case, and the caller looks for itself. A wait makes its watch and takes it down
again on the caller's own thread: nothing is left behind, and nothing is inherited by a forked process.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from pathlib import Path
from types import BuiltinFunctionType
from typing import Any

__all__ = ["prepare", "wait_for_change"]

STEP_MILLISECONDS = 100
"""How often a watch looks whether it was stopped, and how long it gathers changes before it tells of them."""

_MOST_MILLISECONDS = 500


def wait_for_change(
    folder: Path,
    look: Callable[[], object],
    before: object,
    seconds: float,
    stopped: threading.Event,
) -> object:
    """Return once ``look()`` differs from ``before``, ``stopped`` is set or ``seconds`` are over.

    ``look`` is called after the watch stands and after something stirred in ``folder``: what stirs without
    changing what matters (a file half written) ends no wait. Returns what was seen last.
    """
    until = time.monotonic() + seconds
    # not there yet, gone, or the system is out of watches: the time alone is left
    with suppress(OSError, RuntimeError), closing(_stirrings(folder, seconds, stopped)) as stirrings:
        for stirred in stirrings:
            seen = look() if stirred else before
            if seen != before or time.monotonic() >= until:
                return seen
    stopped.wait(max(0.0, until - time.monotonic()))
    return before


def prepare() -> Callable[..., Generator[set[Any], None, None]] | None:
    """Import watchfiles where it is installed; return what it watches with.

    ``None``, too, where gevent has made greenlets of threads: a watch is a wait outside Python, in which the
    hub and all other greenlets would stand still.
    """
    if not isinstance(_thread.start_new_thread, BuiltinFunctionType):
        return None
    try:
        from watchfiles import watch
    except ImportError:
        return None
    return watch


def _stirrings(folder: Path, seconds: float, stopped: threading.Event) -> Generator[bool, None, None]:
    """Yield at least twice a second whether something stirred; end at once without watchfiles."""
    watch = prepare()
    if watch is None:
        return
    changes = watch(
        folder,
        watch_filter=None,
        debounce=4 * STEP_MILLISECONDS,
        step=STEP_MILLISECONDS,
        stop_event=stopped,
        rust_timeout=max(1, min(_MOST_MILLISECONDS, int(seconds * 1000))),
        yield_on_timeout=True,
        raise_interrupt=False,
        ignore_permission_denied=True,
    )
    first = True
    with closing(changes):
        for found in changes:
            # what came between the caller's last look and the making of the watch told nobody
            yield first or bool(found)
            first = False

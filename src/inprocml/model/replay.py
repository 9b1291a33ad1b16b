"""The golden rows of a backend that may hang: a load holds its slot, and nobody may wait for it for ever."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from concurrent.futures import Future

from inprocml.bundle import Bundle
from inprocml.errors import BackendFailed
from inprocml.protocols import Backend

__all__ = ["replay"]


def replay(bundle: Bundle, opened: list[Backend], seconds: float | None, hung: Callable[[], None]) -> None:
    """Replay the golden rows of ``bundle`` on the last backend of ``opened``, within ``seconds`` if told.

    What the replay raises passes through. ``BackendFailed`` where it takes longer: ``hung`` is called, and
    the backend leaves ``opened``, for what is inside a run may not be freed; it is when the run returns.
    """
    backend = opened[-1]
    if seconds is None:
        bundle.replay(backend)
        return
    outcome: Future[BaseException | None] = Future()
    threading.Thread(
        target=_replay, args=(bundle, backend, outcome), name=f"inprocml-replay-{bundle.name}", daemon=True
    ).start()
    try:
        concurrent.futures.wait((outcome,), timeout=seconds)
    finally:  # after an interruption too
        returned = outcome.done()
        if not returned:
            opened.pop()
            outcome.add_done_callback(lambda _: backend.close())
    if not returned:
        hung()
        raise BackendFailed(
            f"model {bundle.name!r} version {bundle.version}: the {backend.name} backend on {backend.device} "
            f"has not answered the golden rows within {seconds:g} s; see what it waits for, or raise "
            "run_timeout= if it is that slow"
        )
    failure = outcome.result()
    if failure is not None:
        raise failure.with_traceback(None)  # with that thread's frames it is a cycle that keeps the backend


def _replay(bundle: Bundle, backend: Backend, outcome: Future[BaseException | None]) -> None:
    try:
        bundle.replay(backend)
    except BaseException as error:  # noqa: BLE001 - raised where the load is waited for
        outcome.set_result(error)
    else:
        outcome.set_result(None)

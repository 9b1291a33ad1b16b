"""Locks and threads of the operating system, also where gevent or eventlet put greenlets there.

After ``monkey.patch_all()`` a ``threading.Thread`` is a greenlet and a ``threading.Lock`` switches greenlets.
A model that ran on such a thread would stop every other greenlet, and no batch would ever form. So the worker
and its locks are native ones. A native lock stops all greenlets of its thread while it is waited for: it may
guard only what is done in microseconds, without a switch. How greenlets wait for longer is in ``greenlets``.

Where nothing is patched this is ``threading`` itself.
"""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any, Protocol

__all__ = ["NativeThread", "Thread", "current_thread", "lock_maker", "start_thread"]


class Thread(Protocol):
    """What is common to ``threading.Thread`` and ``NativeThread``."""

    name: str

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool: ...


def lock_maker() -> Callable[[], threading.Lock]:
    """Return what makes native locks, and will go on doing so if ``threading`` is patched later."""
    maker: Callable[[], threading.Lock] = _original("allocate_lock")
    return maker


def start_thread(target: Callable[..., object], args: tuple[Any, ...], name: str) -> Thread:
    """Start a native daemon thread. Raises ``RuntimeError`` where there is none to be had."""
    if not _patched():
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        thread.start()
        return thread
    native = NativeThread(target, args, name)
    native.start()
    return native


def current_thread() -> Thread | None:
    """Return the native thread that runs this, as ``start_thread`` returned it; ``None`` for a greenlet's."""
    if not _patched():
        return threading.current_thread()
    return _natives.get(_original("get_ident")())


class NativeThread:
    """A daemon thread of the operating system in a process where ``threading.Thread`` makes greenlets."""

    def __init__(
        self, target: Callable[..., object], args: tuple[Any, ...] = (), name: str = "native"
    ) -> None:
        self.name = name
        self._target = target
        self._args = args
        self._over = lock_maker()()  # held until the thread ends
        self._over.acquire()
        self._begun = lock_maker()()
        self._begun.acquire()

    def start(self) -> None:
        """Run; return when it does. Raises ``RuntimeError`` where there is no thread to be had."""
        _original("start_new_thread")(self._run, ())
        self._begun.acquire()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most ``timeout`` seconds; that stops all greenlets of this thread."""
        if self._over.acquire(
            timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX)
        ):
            self._over.release()

    def is_alive(self) -> bool:
        """Whether it has not ended, or not begun."""
        return self._over.locked()

    def _run(self) -> None:
        ident = _original("get_ident")()
        _natives[ident] = self
        self._begun.release()
        with contextlib.suppress(Exception):  # the name that log records show: nice to have
            threading.current_thread().name = self.name
        try:
            self._target(*self._args)
        finally:
            del _natives[ident], self._target, self._args
            self._over.release()


_natives: dict[int, NativeThread] = {}  # by the operating system's own number; each thread keeps its entry


def _patched() -> bool:
    """Whether starting a thread makes a greenlet: then the interpreter's own function is not in its place."""
    return not isinstance(_thread.start_new_thread, BuiltinFunctionType)


def _original(name: str) -> Any:
    """Return a function of ``_thread`` as it was before anybody patched it."""
    found = getattr(_thread, name)
    if isinstance(found, BuiltinFunctionType):
        return found
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None:
        found = gevent.get_original("_thread", name)
    if not isinstance(found, BuiltinFunctionType) and "eventlet.patcher" in sys.modules:
        found = getattr(sys.modules["eventlet.patcher"].original("_thread"), name)
    return found

"""How a greenlet of gevent waits for its answer: on its hub, so that the other greenlets go on.

The worker is a native thread and knows nothing of hubs, but for the one call that gevent offers to other
threads: ``loop.run_callback_threadsafe``.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from inprocml.native import Thread

__all__ = ["HubGate", "Hubs", "hubs", "join", "open_gates"]

_LOOK_SECONDS = 3600.0  # a hub with nothing to wait for ends; a timer is something, however far away
_JOIN_SECONDS = 0.001


class Hubs:
    """What the greenlets of a process ask before they wait, or compute on their hub's own thread."""

    def __init__(self, find: Callable[[], Any], current: Callable[[], Any]) -> None:
        self.company = False  # greenlets came together lately: the next is not alone either
        self._find = find
        self._current = current
        self._arriving: set[Hashable] = set()

    def find(self) -> Any:
        """Return the hub that the caller can wait on: ``None`` on a thread without one, and in a hub."""
        hub = self._find()
        return None if hub is None or hub is self._current() else hub

    def alone(self, who: Hashable) -> bool:
        """Let the other greenlets of this hub go first; whether none of them came to ask as ``who`` does."""
        if self.company:
            return False
        hub = self.find()
        self._arriving.add(who)
        try:
            with hub.loop.timer(
                0
            ) as timer:  # after ``sleep(0)`` the loop need not have looked at its sockets
                hub.wait(timer)
            if len(self._arriving) > 1:
                self.company = True  # for those who come back after this one, too, down to the last
        finally:
            self._arriving.discard(who)
        return not self.company


def hubs() -> Hubs | None:
    """Return a new ``Hubs``, or ``None`` where gevent was not imported: then nobody need ask."""
    find = getattr(sys.modules.get("gevent._hub_local"), "get_hub_if_exists", None)
    if find is None:
        return None
    from gevent import getcurrent

    return Hubs(find, getcurrent)


class HubGate:
    """A gate that one greenlet waits at, as a thread does at a lock; closed until ``release``."""

    __slots__ = ("_open", "_waiter", "hub")

    def __init__(self, hub: Any) -> None:
        from gevent.hub import Waiter

        self.hub = hub
        self._waiter = Waiter(hub)
        self._open = False

    def acquire(self, timeout: float = -1.0) -> bool:
        """Wait until it is open, at most ``timeout`` seconds (-1: as long as it takes); whether it is."""
        until = None if timeout < 0 else time.monotonic() + timeout
        while not self._open:
            seconds = _LOOK_SECONDS if until is None else min(until - time.monotonic(), _LOOK_SECONDS)
            if seconds <= 0:
                return False
            self._sleep(seconds)
        return True

    def release(self) -> None:
        """Open it, from any thread."""
        open_gates(self.hub, [self])

    def wake(self) -> None:
        """Let the greenlet go on. Only its hub calls this."""
        self._open = True
        self._waiter.switch(None)

    def _sleep(self, seconds: float) -> None:
        loop = self.hub.loop
        loop.update_now()  # a timer counts from the time that the loop last looked at
        timer = loop.timer(seconds)
        try:
            timer.start(self._waiter.switch, None)
            self._waiter.get()
        finally:
            timer.close()
        self._waiter.clear()


def open_gates(hub: Any, gates: Iterable[HubGate]) -> None:
    """Open the gates of one hub, from any thread, with one call."""
    loop = hub.loop
    with contextlib.suppress(Exception):  # the hub was destroyed: nobody is left to be told
        loop.run_callback_threadsafe(_wake, gates)


def _wake(gates: Iterable[HubGate]) -> None:
    for gate in gates:
        gate.wake()


def join(thread: Thread, timeout: float | None) -> None:
    """Wait on the hub until ``thread`` has ended: what it still does may need the hub."""
    from gevent import sleep

    until = None if timeout is None else time.monotonic() + timeout
    while thread.is_alive() and (until is None or time.monotonic() < until):
        sleep(_JOIN_SECONDS)

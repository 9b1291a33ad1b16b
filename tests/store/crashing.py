"""Kills a writer at each of its steps, and looks at the store after each death.

``python -m tests.store.crashing STORE TEMPLATE DEED WHEN``: a child does the deed and is killed at its n-th
call of the system, before the call, after it, or (of a write) halfway; for n = 1, 2, ... until one lives.
After each death the store must be as it was or as it was to be, whole. Prints how many died.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.store.kit import put

from inprocml import Bundle, Model, Store
from inprocml.sources import Directory

STEPS = ("mkdir", "open", "write", "fsync", "close", "link", "rename", "replace", "unlink", "remove", "rmdir")
"""Every call that changes a disk, and those that open; between two others nothing can be torn."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: int, when: str) -> None:
    """From now on count every call that touches the disk, and die at number ``step``."""
    left = [step]

    def spied(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and when == "halfway" and name == "write":
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            if left[0] == 0 and when == "after":
                with contextlib.suppress(OSError):
                    real(*arguments, **more)
            if left[0] == 0:
                die()
            return real(*arguments, **more)

        return call

    for name in STEPS:
        setattr(os, name, spied(name, getattr(os, name)))


def deeds(store: Path, template: Path) -> dict[str, Callable[[], Any]]:
    def other() -> str:
        return "2" if Directory(store).aliases()["production"].name == "1" else "1"

    return {
        "publish": lambda: put(store, template),
        "promote": lambda: Store(store).promote(other()),
        "first": lambda: Store(store).promote("1"),
        "rollback": lambda: Store(store).rollback(),
        "remove": lambda: Store(store).remove("production"),
    }


def seen(store: Path) -> tuple[Any, ...]:
    """What readers find: fails where any of it is torn."""
    versions = Store(store).versions()
    assert not [version for version in versions if version.broken], versions
    for version in versions:
        assert Bundle.open(version.path, version=version.name).digest == version.digest
    history = Store(store).history()  # checks the chain
    aliases = {alias: meant.name for alias, meant in Directory(store).aliases().items()}
    assert aliases == {a: t.version for a, t in (history[-1].aliases if history else {}).items()}
    listed = tuple(version.name for version in Directory(store).versions())
    assert set(listed) == {version.name for version in versions}
    return listed, len(history), tuple(aliases.items())


def served(store: Path, alias: str | None) -> str:
    model = Model(store, alias=alias, threads=1)
    try:
        return model.predict({"amount": 80.0, "country": "us"}).version
    finally:
        model.close()


def died(deed: Callable[[], Any], step: int, when: str) -> bool:
    child = os.fork()
    if child == 0:
        arm(step, when)
        deed()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, -signal.SIGKILL}, code
    return code != 0


def main(pristine: Path, template: Path, name: str, when: str) -> None:
    step, untouched = 0, 0
    while True:
        step += 1
        store = pristine.with_name(f"{step}")
        shutil.copytree(pristine, store)
        deed = deeds(store, template)[name]
        before = seen(store)
        dead = died(deed, step, when)
        after = seen(store)
        done = int(after != before)
        assert (after[1] - before[1]) + (len(after[0]) - len(before[0])) == done, (before, after)
        untouched += not done
        if name == "publish":
            assert served(store, None) == after[0][-1]
        elif when == "halfway" and (aliases := dict(after[2])):  # a model takes its time to load
            assert served(store, "production") == aliases["production"]
        if not dead:
            assert done
            break
        if name != "remove" or not done:
            deed()  # what the dead left hinders nobody
            assert seen(store) != after or (name == "first" and done)
        shutil.rmtree(store)
    assert untouched > 0
    print(step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])

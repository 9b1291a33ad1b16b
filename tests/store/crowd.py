"""One of many writers: ``python -m tests.store.crowd STORE WHO TIMES`` promotes, tries and rolls back."""

from __future__ import annotations

import sys

from inprocml import Store, UnknownVersion


def main(path: str, who: str, times: int) -> None:
    store = Store(path)
    print("ready", flush=True)
    sys.stdin.readline()
    for turn in range(times):
        if store.promote("12"[turn % 2], alias="production", who=who, why=str(turn)) is None:
            print("same", flush=True)
        store.promote("21"[turn % 2], alias=f"own-{who}", who=who)
        try:
            store.rollback(alias="production", who=who)
        except UnknownVersion:
            print("nothing before", flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

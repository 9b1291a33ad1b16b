"""Kills a run at each of its steps, and lets it go on after each death.

``python -m tests.bulk.dying STORE FOLDER WHEN``: a child answers rows into a file and is killed at its n-th
call of the system, before the call, after it, or (of a write) halfway; for n = 1, 2, ... until one lives.
After each death the same call must bring the file to its end: every row once, in order. Prints how many died.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow.parquet as pq
from tests.conftest import make_rows
from tests.store.crashing import died

import inprocml.bulk.parts
from inprocml import Model

COUNT = 300


def whole(path: Path) -> bool:
    """Whether the file is there; where it is, it is whole."""
    if not path.exists():
        return False
    table = pq.read_table(path, use_threads=False)
    assert table.column("row").to_pylist() == list(range(COUNT))
    assert len(set(table.column("prediction_id").to_pylist())) == COUNT
    return True


def answer(store: Path, path: Path, *, file: bool) -> int:
    rows, _ = make_rows(COUNT)
    with Model(store, threads=1, max_batch_size=64) as model:
        return model.predict_many(path.with_name("rows.parquet") if file else iter(rows), to=path).answered


def main(store: Path, folder: Path, when: str) -> None:
    inprocml.bulk.parts.PART_ROWS = 100
    inprocml.bulk.parts.GROUP_ROWS = 160
    step, seen = 0, set()
    while True:
        step += 1
        path = folder / f"{step}.parquet"
        dead = died(lambda: answer(store, path, file=step % 2 == 0), step, when)  # noqa: B023 - called at once
        before = whole(path)
        if not dead:
            assert before
            break
        if not before or step % 2 == 0:  # a file of an iterator's answers is not answered again
            child = os.fork()
            if child == 0:
                answered = answer(store, path, file=step % 2 == 0)
                os._exit(10 + answered // 10)
            answered = 10 * (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) - 10)
            assert answered >= 0
            seen.add(answered)
        assert whole(path)
        assert not (folder / f".{path.name}.parts").exists() or before
    assert {0, COUNT} < seen, seen  # killed at the beginning, in the middle, at the end
    print(step)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])

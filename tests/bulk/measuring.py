"""Answers a file of many rows, and prints the peak memory: ``python -m ... STORE ROWS FOLDER HOW``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inprocml import Model

PIECE = 50_000


def make(path: Path, rows: int) -> Path:
    random = np.random.default_rng(0)
    names = pa.array(["de", "fr", "us"])
    schema = pa.schema({"amount": pa.float64(), "country": pa.string()})
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(rows // PIECE):
            amounts = pa.array(random.normal(50, 20, PIECE))
            countries = names.take(pa.array(random.integers(0, 3, PIECE)))
            writer.write_table(pa.table({"amount": amounts, "country": countries}, schema=schema))
    return path


def peak_mib() -> float:
    """The peak since the program began; ``ru_maxrss`` would be that of the parent it was forked from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main(store: str, rows: int, folder: Path, how: str) -> None:
    path = make(folder / f"{rows}.parquet", rows)
    with Model(store, threads=1, max_batch_size=1024) as model:
        if how == "file":
            answered = model.predict_many(path, to=folder / f"{rows}-out.parquet").rows
        else:
            answered = sum(1 for _ in model.predict_many(path))
    assert answered == rows
    print(peak_mib())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])

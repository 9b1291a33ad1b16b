"""Captured rows, read back with the labels that came for them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from inprocml.monitoring.capture.files import files_in
from inprocml.monitoring.capture.parquet import read, together, with_columns

__all__ = ["captured"]


def captured(
    folder: str | os.PathLike[str],
    *,
    version: str | None = None,
    since: float | None = None,
    labelled: bool = False,
) -> Any:
    """Return the rows in a folder of ``Capture`` as a ``pyarrow.Table``, the oldest file first.

    Columns: the fields that were kept; ``_id``, ``_version``, ``_digest``, ``_at`` (seconds since 1970,
    within a second or two), the outputs (``_value``, or ``_probability[0]``, ...), ``_label`` and
    ``_labelled_at``, by the same clock and not before ``_at`` where one process answered and was told, null
    without a label. Of one ``version`` alone, from ``since`` on, or only rows that are
    ``labelled``. Without rows the table is empty. May run beside servers. Raises ``BulkError`` for a file
    that is damaged, and ``BackendMissing`` without pyarrow.
    """
    found = files_in(Path(folder))
    kept = [file for file in found if file.kind == "rows" and (since is None or file.at >= since)]
    tables = [table for table in (read(file.path) for file in kept) if table is not None]
    if version is not None:
        tables = [table for table in tables if table.column("_version")[0].as_py() == version]
    rows = together([table for table in tables if table.num_rows])
    labels = _labels([file.path for file in found if file.kind == "labels"])
    names = rows.column("_id").to_pylist() if rows.num_rows else []
    told = [labels.get(name, (None, None)) for name in names]
    whole = with_columns(rows, {"_label": [one for one, _ in told], "_labelled_at": [at for _, at in told]})
    wanted = [
        place
        for place, (at, name) in enumerate(zip(_times(rows), names, strict=True))
        if (since is None or at >= since) and (not labelled or name in labels)
    ]
    return whole.take(wanted) if len(wanted) < whole.num_rows else whole


def _times(rows: Any) -> list[float]:
    times: list[float] = rows.column("_at").to_pylist() if rows.num_rows else []
    return times


def _labels(paths: list[Path]) -> dict[str, tuple[Any, float]]:
    """Return the first label of each id, and when it came."""
    found: dict[str, tuple[Any, float]] = {}
    for path in paths:
        table = read(path)
        for line in table.to_pylist() if table is not None else []:
            before = found.get(line["_id"])
            if before is None or line["_labelled_at"] < before[1]:
                found[line["_id"]] = json.loads(line["_label"]), line["_labelled_at"]
    return found

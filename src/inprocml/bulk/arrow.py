"""pyarrow, found when it is first needed."""

from __future__ import annotations

from typing import Any

from inprocml.errors import BackendMissing

__all__ = ["arrow", "parquet"]


def arrow() -> Any:
    """Return the module; raises ``BackendMissing`` where it is not installed."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise BackendMissing(
            "reading and writing files of rows needs pyarrow: pip install 'inprocml[parquet]'"
        ) from error
    return pa


def parquet() -> Any:
    """Return ``pyarrow.parquet``; raises ``BackendMissing`` as ``arrow``."""
    arrow()
    import pyarrow.parquet

    return pyarrow.parquet

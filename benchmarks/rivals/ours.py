"""inprocml, from threads and from coroutines."""

from __future__ import annotations

from pathlib import Path

from benchmarks.rivals.way import Row, Session, Way
from inprocml.backends.onnx import OnnxBackend
from inprocml.batching import Runner

__all__ = ["tasks", "threads"]


def _runner(model: Session, callers: int, delay: float) -> Runner:
    backend = OnnxBackend(Path(model.path).read_bytes(), threads=1)
    return Runner(
        backend,
        name="bench",
        max_batch_size=max(64, callers),
        max_queue_delay=delay,
        max_queue_size=100_000,
    )


def threads(model: Session, callers: int, delay: float = 0.0) -> Way:
    runner = _runner(model, callers, delay)
    return Way(call=lambda row: runner.run({"features": row}).outputs["scores"], close=lambda: _close(runner))


def tasks(model: Session, callers: int, delay: float = 0.0) -> Way:
    runner = _runner(model, callers, delay)

    async def acall(row: Row) -> Row:
        return (await runner.arun({"features": row})).outputs["scores"]

    return Way(acall=acall, close=lambda: _close(runner))


def _close(runner: Runner) -> None:
    if not runner.close(30):
        raise RuntimeError("the runner did not end within 30 s")

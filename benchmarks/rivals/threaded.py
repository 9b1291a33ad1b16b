"""What is called from threads: no batching at all, ``batched`` and ``service-streamer``."""

from __future__ import annotations

import threading

from benchmarks.rivals.way import Row, Session, Way

__all__ = ["batched", "lock", "service_streamer", "unsynchronised"]


def lock(model: Session, callers: int) -> Way:
    """What careful people write."""
    del callers
    mutex = threading.Lock()

    def call(row: Row) -> Row:
        with mutex:
            return model.run(row)

    return Way(call=call)


def unsynchronised(model: Session, callers: int) -> Way:
    """What most people write; it uses every core there is."""
    del callers
    return Way(call=model.run)


def batched(model: Session, callers: int, timeout_ms: float = 5.0) -> Way:
    import batched as library

    batcher = library.BatchProcessor(model.each, batch_size=callers, timeout_ms=timeout_ms)
    return Way(call=batcher, close=batcher.shutdown)


def service_streamer(model: Session, callers: int, max_latency: float = 0.1) -> Way:
    from service_streamer import ThreadedStreamer

    streamer = ThreadedStreamer(model.each, batch_size=callers, max_latency=max_latency)
    return Way(call=lambda row: streamer.predict([row])[0], close=streamer.destroy_workers)

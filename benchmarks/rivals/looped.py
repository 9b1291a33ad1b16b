"""What is awaited on an event loop: async-batcher, and the batching inside Ray Serve, BentoML and MLServer.

The servers' own queues are used in process, without their HTTP: that is the best that each could do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

from benchmarks.rivals.way import Row, Session, Way

__all__ = ["async_batcher", "bentoml", "mlserver", "ray_serve"]


def async_batcher(model: Session, callers: int, max_queue_time: float = 0.01) -> Way:
    from async_batcher.batcher import AsyncBatcher

    class Batcher(AsyncBatcher[Row, Row]):  # type: ignore[misc]  # untyped, as all here
        def process_batch(self, batch: list[Row]) -> list[Row]:  # a plain function runs in an executor
            return model.each(batch)

    return Way(acall=Batcher(max_batch_size=callers, max_queue_time=max_queue_time).process)


def ray_serve(model: Session, callers: int, wait: float = 0.01) -> Way:
    """Put ``@serve.batch`` around the model."""
    import ray.serve.context
    from ray import serve

    # No replica, no cluster: what the queue asks of one is a limit to warn about, and tags for its counters.
    ray.serve.context._INTERNAL_REPLICA_CONTEXT = SimpleNamespace(  # noqa: SLF001
        app_name="bench",
        deployment="bench",
        replica_tag="bench",
        _deployment_config=SimpleNamespace(max_ongoing_requests=10**6),
    )

    @serve.batch(max_batch_size=callers, batch_wait_timeout_s=wait)  # type: ignore[untyped-decorator]
    async def each(rows: list[Row]) -> list[Row]:
        return model.each(rows)  # on the loop, as its guide has it; in a thread it is slower

    return Way(acall=each)


def bentoml(model: Session, callers: int) -> Way:
    from bentoml._internal.marshal.dispatcher import CorkDispatcher

    def each(rows: Sequence[Row]) -> list[Row]:  # a plain function runs in its thread pool
        return model.each(list(rows))

    dispatcher = CorkDispatcher(
        max_latency_in_ms=60_000, max_batch_size=callers, fallback=lambda: None, get_batch_size=lambda _: 1
    )
    return Way(acall=dispatcher(each))


def mlserver(model: Session, callers: int, seconds: float = 0.005) -> Way:
    import numpy as np
    from mlserver import MLModel, ModelSettings
    from mlserver.batching.adaptive import AdaptiveBatcher
    from mlserver.codecs import NumpyCodec
    from mlserver.context import model_context
    from mlserver.types import InferenceRequest, InferenceResponse

    class Served(MLModel):  # type: ignore[misc]
        async def predict(self, payload: InferenceRequest) -> InferenceResponse:
            rows = NumpyCodec.decode_input(payload.inputs[0])
            scores = await asyncio.to_thread(model.run, rows.astype(np.float32, copy=False))
            return InferenceResponse(model_name="bench", outputs=[NumpyCodec.encode_output("scores", scores)])

    settings = ModelSettings(
        name="bench", implementation=Served, max_batch_size=callers, max_batch_time=seconds
    )
    batcher = AdaptiveBatcher(Served(settings))

    async def acall(row: Row) -> Row:
        asked = InferenceRequest(inputs=[NumpyCodec.encode_input("features", row)])
        with model_context(settings):  # its counters ask for the model's name
            answer = await batcher.predict(asked)
        scores: Row = NumpyCodec.decode_output(answer.outputs[0])
        return scores

    return Way(acall=acall)

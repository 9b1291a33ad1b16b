"""What runs the model in another process: LitServe's worker over its queues, and PyTriton over gRPC.

Without HTTP, which would cost either more; the CPU of all their processes is counted.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import socket
import threading
import time
from typing import Any

import numpy as np

from benchmarks.rivals.way import WIDTH, Row, Session, Way

__all__ = ["litserve", "pytriton"]

START_SECONDS = 30


def litserve(model: Session, callers: int, timeout: float = 0.005) -> Way:
    """Start its inference worker, and put requests into the queue from which it collates batches.

    The default transport, queues of a manager's process. Threads ask; one more takes the answers to them.
    """
    from litserve.callbacks import CallbackRunner
    from litserve.loops.loops import inference_worker
    from litserve.transport.process_transport import MPQueueTransport
    from litserve.utils import WorkerSetupStatus

    from benchmarks.rivals.litserve_api import Api

    api = Api(max_batch_size=callers, batch_timeout=timeout)
    api.path, api.request_timeout = model.path, 30
    shared = multiprocessing.Manager()
    asked, answers, standing = shared.Queue(), shared.Queue(), shared.dict({"predict_0": "starting"})
    worker = multiprocessing.get_context("spawn").Process(
        target=inference_worker,
        args=(api, "cpu", 0, asked, MPQueueTransport(None, [answers]), standing, CallbackRunner(), False),
        daemon=True,
    )
    worker.start()
    until = time.monotonic() + START_SECONDS
    while standing["predict_0"] != WorkerSetupStatus.READY:
        if time.monotonic() > until or not worker.is_alive():
            raise RuntimeError(f"its worker is {standing['predict_0']} after {START_SECONDS} s")
        time.sleep(0.05)
    waiting: dict[int, list[Any]] = {}  # by request: the lock on which its caller waits, and the answer
    numbers = itertools.count()

    def answer() -> None:
        while (message := answers.get()) is not None:
            number, (outcome, *_) = message
            waiting[number][1] = outcome
            waiting[number][0].release()

    def call(row: Row) -> Any:
        number, gate = next(numbers), threading.Lock()
        gate.acquire()
        waiting[number] = [gate, None]
        asked.put((0, number, time.monotonic(), row))
        gate.acquire()
        return waiting.pop(number)[1]

    def close() -> None:
        worker.kill()  # with a timeout of 0 it spins for ever
        answers.put(None)
        taker.join(START_SECONDS)
        shared.shutdown()

    taker = threading.Thread(target=answer, daemon=True)
    taker.start()
    return Way(call=call, close=close)


def pytriton(model: Session, callers: int, delay_us: int = 0) -> Way:
    """Start Triton's server with this process behind it; one gRPC client asks for all coroutines."""
    from pytriton.client import AsyncioModelClient
    from pytriton.decorators import batch
    from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
    from pytriton.triton import Triton, TritonConfig

    @batch  # type: ignore[untyped-decorator]
    def infer(features: Row) -> dict[str, Row]:
        return {"scores": model.run(features)}

    http, grpc, metrics = _ports(3)
    triton = Triton(config=TritonConfig(http_port=http, grpc_port=grpc, metrics_port=metrics))
    triton.bind(
        "bench",
        infer,
        [Tensor(name="features", dtype=np.float32, shape=(WIDTH,))],
        [Tensor(name="scores", dtype=np.float32, shape=(-1,))],
        config=ModelConfig(
            max_batch_size=callers, batcher=DynamicBatcher(max_queue_delay_microseconds=delay_us)
        ),
    )
    triton.run()
    clients: dict[asyncio.AbstractEventLoop, Any] = {}

    async def acall(row: Row) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in clients:
            clients[loop] = AsyncioModelClient(f"grpc://localhost:{grpc}", "bench")
        return (await clients[loop].infer_batch(row))["scores"]

    return Way(acall=acall, close=triton.stop)


def _ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    free = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return free

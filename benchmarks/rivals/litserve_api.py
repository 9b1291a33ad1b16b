"""The model as LitServe wants it; its worker process imports this."""

from __future__ import annotations

import litserve
import numpy as np

from benchmarks.rivals.way import Row, Session

__all__ = ["Api"]


class Api(litserve.LitAPI):  # type: ignore[misc]  # untyped
    """Rows in, scores out, nothing decoded: both ends are Python."""

    path = ""  # of the model

    def setup(self, device: str) -> None:
        del device
        self.model = Session(self.path)

    def decode_request(self, request: Row) -> Row:
        return request

    def batch(self, inputs: list[Row]) -> Row:
        return np.concatenate(inputs)

    def predict(self, x: Row) -> Row:
        return self.model.run(x)

    def unbatch(self, output: Row) -> list[Row]:
        return list(output)

    def encode_response(self, output: Row) -> Row:
        return output

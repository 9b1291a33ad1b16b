"""A subject that needs no runtime: its device takes a given time, or none."""

from __future__ import annotations

import numpy as np

from inprocml.batching import Runner
from inprocml.testing import FakeBackend


class Echo:
    """Requests of one number through a ``FakeBackend``."""

    name = "echo 1"

    def __init__(self, backend=None):
        self.backend = backend or FakeBackend()

    def batch(self, rows):
        return {"features": np.ones((rows, 1), np.float32)}

    def encode(self, number):
        return {"features": np.full((1, 1), number, np.float32)}

    def decode(self, outputs):
        return float(outputs["features"][0, 0])

    def runner(self, settings):
        return Runner(self.backend, name="echo", **settings.to_dict())

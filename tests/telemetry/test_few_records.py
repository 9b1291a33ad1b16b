"""What a row may cost: a few records of its request, and none for any of its fields."""

from __future__ import annotations

from collections import Counter

from inprocml import Model, Monitoring
from inprocml.telemetry import instruments, monitored


class Tallying:
    """A meter whose instruments count how often they are called; what is observable only is, when asked."""

    def __init__(self):
        self.calls = Counter()
        self.observable = set()

    def __getattr__(self, create):
        def made(name, **_told):
            if create.startswith("create_observable_"):
                self.observable.add(name)
                return None
            return _Tallied(self.calls, name)

        return made


class _Tallied:
    def __init__(self, calls, name):
        self._calls, self._name = calls, name

    def record(self, *_told, **_more):
        self._calls[self._name] += 1

    add = record


def test_a_thousand_rows_are_three_thousand_records_whatever_their_fields(store, row, tmp_path, monkeypatch):
    meter = Tallying()
    monkeypatch.setattr(instruments.metrics, "get_meter", lambda *_scope, **_schema: meter)
    made = instruments._Instruments()
    monkeypatch.setattr(instruments, "_instruments", lambda: made)
    monitored._instruments.__wrapped__()
    with Model(store, name="thrifty", monitoring=Monitoring(folder=tmp_path)) as model:
        for _ in range(1_000):
            model.predict(row)
        one_by_one = dict(meter.calls)
        model.predict_many([row] * 1_000)
        assert model.drift().health.seen == 2_000
        batches = meter.calls["inprocml.inference.duration"] - 1_000
        model.drift("live")
    assert one_by_one == {
        "inprocml.model.load.duration": 1,
        "inprocml.prediction.duration": 1_000,
        "inprocml.inference.duration": 1_000,
        "inprocml.inference.batch.size": 1_000,
    }
    assert batches <= 1_000 // 16
    assert sum(meter.calls.values()) == 3_001 + 2 * batches
    assert {"inprocml.feature.observations", "inprocml.drift.score"} <= meter.observable

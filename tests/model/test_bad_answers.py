"""What a backend may answer instead of scores: the row that it concerns fails, and no row beside it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from inprocml import BackendFailed, Model
from inprocml.backends import open_backend
from inprocml.testing import FakeBackend


class Turncoat:
    """The real backend, until ``change`` is set; then what that makes of its outputs."""

    def __init__(self):
        self.change = None
        self.fake = None

    def open(self, bundle):
        real = open_backend(bundle.runtime, bundle.model, threads=1)

        def answer(inputs):
            outputs = real.run(inputs)
            return outputs if self.change is None else self.change(inputs, outputs)

        self.fake = FakeBackend(answer)
        return self.fake


@pytest.fixture
def served(store):
    turncoat = Turncoat()
    model = Model(store, backend=turncoat.open)
    yield model, turncoat
    model.close()


def bad_above(limit, bad):
    """``bad`` for the rows whose first feature is above ``limit``."""

    def change(inputs, outputs):
        rows = next(iter(inputs.values()))[:, 0] > limit
        return {name: np.where(rows[:, None], bad, array) for name, array in outputs.items()}

    return change


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_row_answered_with_nan_fails_alone_in_a_batch_of_eight(store, bad):
    turncoat = Turncoat()
    model = Model(
        store, backend=turncoat.open, max_batch_size=8, max_queue_delay=20.0
    )  # a full one goes at once
    rows = [{"amount": 40.0 + i, "country": "de"} for i in range(7)] + [{"amount": 1e6, "country": "de"}]
    expected = [one.probability for one in model.predict_many(rows)]
    turncoat.change = bad_above(1.0, bad)
    found = [None] * len(rows)

    def ask(place):
        try:
            found[place] = model.predict(rows[place]).probability
        except BackendFailed as error:
            found[place] = error

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(rows))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    model.close()
    assert turncoat.fake.batches[-1] == 8
    assert found[:-1] == pytest.approx(expected[:-1])
    with pytest.raises(BackendFailed, match=r"not finite.*Look at that row's features"):
        raise found[-1]


@pytest.mark.parametrize(
    "change",
    [
        lambda outputs: {name: array[:, :, None] for name, array in outputs.items()},
        lambda outputs: {name: array[:, :1].repeat(5, axis=1) for name, array in outputs.items()},
        lambda outputs: {name: array.astype(np.int64) for name, array in outputs.items()},
        lambda outputs: {name: array.astype(object) for name, array in outputs.items() if False},
        lambda outputs: {name: array.astype(str) for name, array in outputs.items()},
        lambda outputs: {f"other {name}": array for name, array in outputs.items()},
        lambda outputs: {name: array[:0] for name, array in outputs.items()},
        lambda outputs: {name: np.concatenate([array, array]) for name, array in outputs.items()},
        lambda outputs: {name: array.tolist() for name, array in outputs.items()},
        lambda outputs: list(outputs.values()),
        lambda outputs: None,
    ],
    ids=[
        "rank",
        "width",
        "integers",
        "nothing",
        "text",
        "name",
        "no rows",
        "rows",
        "list",
        "no names",
        "none",
    ],
)
def test_an_answer_of_another_make_is_a_failure_and_the_next_row_is_served(served, row, change):
    model, turncoat = served
    expected = model.predict(row).probability
    turncoat.change = lambda _, outputs: change(outputs)
    with pytest.raises(BackendFailed):
        model.predict(row)
    turncoat.change = None
    assert model.predict(row).probability == expected

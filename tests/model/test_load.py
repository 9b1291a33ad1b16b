"""A model under more load than it can take, through public names and a real Flask app."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest
from tests.conftest import Gate, make_rows, wait_for

import inprocml
from inprocml import Model
from inprocml.flask import predicts


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.opened.set()


def test_a_full_queue_refuses_at_once_and_loses_nobody(store, row, gate):
    model = Model(store, backend=gate, max_queue_size=3)
    model.predict(row)
    app = flask.Flask(__name__)
    app.add_url_rule("/", "view", predicts(model)(lambda prediction: prediction.value), methods=["POST"])

    def ask():
        return app.test_client().post("/", json=row)

    gate.shut = True
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask)
        assert gate.entered.wait(30)
        waiting = [pool.submit(ask) for _ in range(3)]
        wait_for(lambda: _refuses(model, row))
        full = ask()
        assert full.status_code == 503
        assert full.headers["Retry-After"] == "1"
        assert "max_queue_size" not in full.text
        gate.opened.set()
        assert {future.result(timeout=30).status_code for future in [first, *waiting]} == {200}
    assert ask().status_code == 200
    model.close()


def _refuses(model, row):
    """Whether the queue is full: a probe that would wait is given no time to."""
    try:
        model.predict(row, timeout=0.001)
    except inprocml.Overloaded:
        return True
    except inprocml.DeadlineExceeded:
        return False
    return False


def test_a_waiting_row_leaves_at_its_deadline_and_the_view_says_504(store, row, gate):
    model = Model(store, backend=gate)
    model.predict(row)
    app = flask.Flask(__name__)
    view = predicts(model, timeout=0.05)(lambda prediction: prediction.value)
    app.add_url_rule("/", "view", view, methods=["POST"])
    gate.shut = True
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(model.predict, row)
        assert gate.entered.wait(30)
        late = app.test_client().post("/", json=row)
        assert late.status_code == 504
        gate.opened.set()
        assert first.result(timeout=30).value == "fraud"
    assert model.predict(row).value == "fraud"
    model.close()


def test_a_queue_delay_gathers_company(store, row):
    model = Model(store, max_queue_delay=5.0, max_batch_size=8)
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait()
        return model.predict(row).value

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == ["fraud"] * 8  # full before the delay is over
    wait_for(lambda: model.counters["rows"] == 8)
    assert model.counters["batches"] == 1
    model.close()


def test_a_table_waits_for_room_where_a_request_would_be_refused(store, gate):
    rows, _ = make_rows(40, seed=4)
    model = Model(store, backend=gate, max_batch_size=4, max_queue_size=4)
    alone = [p.value for p in model.predict_many(rows)]
    gate.shut = True
    with ThreadPoolExecutor(8) as pool:
        tables = [pool.submit(model.predict_many, rows) for _ in range(6)]
        assert gate.entered.wait(30)
        gate.shut = False
        gate.opened.set()
        for table in tables:
            assert [p.value for p in table.result(timeout=50)] == alone
    model.close()


def test_a_tables_deadline_holds_while_it_waits_for_room(store, row, gate):
    model = Model(store, backend=gate, max_batch_size=4, max_queue_size=4)
    model.predict(row)
    gate.shut = True
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(model.predict, row)
        assert gate.entered.wait(30)
        with pytest.raises(inprocml.DeadlineExceeded):
            model.predict_many([row] * 40, timeout=0.05)
        gate.opened.set()
        first.result(timeout=30)
    model.close()


def test_a_version_that_computes_beyond_its_replacement_is_told_once_and_freed_later(
    store, row, gate, monkeypatch, caplog
):
    monkeypatch.setattr("inprocml.serving.slot.RETIRE_SECONDS", 0.05)
    model = Model(store, backend=gate, poll_interval=0.02)
    model.predict(row)
    gate.shut = True
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(model.predict, row)
        assert gate.entered.wait(30)
        gate.shut = False
        assert model.reload() == "1"
        threading.Event().wait(0.3)  # some fifteen polls, each of which looks whether it has ended
        assert caplog.text.count("still computes") == 1
        gate.opened.set()
        assert slow.result(timeout=30).value == "fraud"
    model.close()

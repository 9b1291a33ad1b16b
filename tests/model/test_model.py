"""The facade, through public names only: answers, versions, loading, errors."""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from tests.conftest import Gate, make_rows, pack_small, wait_for

import inprocml
from inprocml import Model


@pytest.fixture
def model(store):
    model = Model(store, poll_interval=0.05)
    yield model
    model.close()


def test_declaring_reads_nothing_and_starts_nothing(tmp_path):
    threads = set(threading.enumerate())
    model = Model(tmp_path / "does" / "not" / "exist")
    assert set(threading.enumerate()) == threads
    assert "exist" in repr(model)


def test_a_url_names_the_model_without_its_secrets():
    model = Model("https://me:hunter2@models.example.com/late?token=tok3n")
    assert model.name == "late"
    assert "hunter2" not in repr(model)
    assert "tok3n" not in repr(model)
    assert Model("https://me:hunter2@models.example.com").name == "models.example.com"


def test_predicts_as_the_trained_estimator_does(model, row):
    prediction = model.predict(row)
    assert prediction.value == "fraud"
    assert prediction.probability == max(prediction.probabilities.values())
    assert prediction.probability == pytest.approx(prediction.probabilities["fraud"])
    assert sum(prediction.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    assert prediction.version == "1"


def test_ids_are_unique_across_threads(model, row):
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: model.predict(row).id, range(400)))
    assert len(set(ids)) == 400


def test_apredict_and_predict_many_answer_as_predict(model):
    rows, _ = make_rows(50, seed=3)
    one_by_one = [model.predict(row) for row in rows]

    async def gather():
        return await asyncio.gather(*(model.apredict(row) for row in rows))

    together = asyncio.run(gather())
    for table in (rows, pd.DataFrame(rows), {name: [row[name] for row in rows] for name in rows[0]}):
        many = model.predict_many(table)
        assert [p.value for p in many] == [p.value for p in one_by_one]
        np.testing.assert_allclose(
            [p.probability for p in many], [p.probability for p in one_by_one], atol=1e-6
        )
    assert [p.value for p in together] == [p.value for p in one_by_one]


def test_threads_and_asyncio_share_one_model(model, row):
    async def many():
        return await asyncio.gather(*(model.apredict(row) for _ in range(100)))

    with ThreadPoolExecutor(4) as pool:
        loops = [pool.submit(asyncio.run, many()) for _ in range(2)]
        plain = [pool.submit(model.predict, row) for _ in range(200)]
        answers = [answer for loop in loops for answer in loop.result()] + [f.result() for f in plain]
    assert {answer.value for answer in answers} == {"fraud"}
    assert len({answer.id for answer in answers}) == 400


def test_predict_many_of_nothing_is_nothing(model):
    assert model.predict_many([]) == []


def test_predict_many_crosses_batches_in_order(store):
    model = Model(store, max_batch_size=7)
    rows, _ = make_rows(60, seed=5)
    assert [p.value for p in model.predict_many(rows)] == [model.predict(r).value for r in rows]
    assert model.counters["rows"] == 120
    assert model.counters["batches"] == 60 + 9
    model.close()


def test_every_bad_field_is_named_at_once_and_no_value_is_echoed(model, row):
    with pytest.raises(inprocml.InvalidRow) as caught:
        model.predict({"amount": "s3cret", "country": 5, "extra": 1})
    assert set(caught.value.issues) == {"amount", "country", "extra"}
    assert "s3cret" not in str(caught.value)
    assert model.predict(row).value == "fraud"


def test_unseen_categories_are_counted(model, row):
    for _ in range(3):
        model.predict(row | {"country": "atlantis"})
    model.predict(row)
    assert model.counters["rows"] == 4
    assert model.counters["unseen"]["country"] == 3


def test_a_timeout_already_over_is_refused(model, row):
    model.predict(row)
    with pytest.raises(inprocml.DeadlineExceeded):
        model.predict(row, timeout=0.0)
    with pytest.raises(inprocml.DeadlineExceeded):
        model.predict_many([row], timeout=-1.0)
    assert model.predict(row, timeout=30.0).value == "fraud"


# --- versions ------------------------------------------------------------------------------------------


def test_follows_a_new_version_while_serving(model, row, add_version):
    assert model.predict(row).version == "1"
    add_version()
    wait_for(lambda: model.predict(row).version == "2")


def test_reload_returns_when_the_swap_is_done(store, row, add_version):
    model = Model(store, poll_interval=1000)
    first = model.predict(row)
    add_version()
    assert model.reload() == "2"
    assert model.version == "2"
    assert model.predict(row).probability != first.probability
    model.close()


def test_a_roll_back_holds_until_a_newer_version_appears(store, row):
    pack_small(store, seed=1)
    model = Model(store, poll_interval=0.02)
    assert model.version == "2"
    assert model.reload("1") == "1"
    polls = threading.Event()
    polls.wait(0.3)
    assert model.predict(row).version == "1"
    pack_small(store, seed=2)
    wait_for(lambda: model.predict(row).version == "3")
    model.close()


def test_a_roll_back_is_not_undone_while_the_old_version_still_drains(store, row):
    from inprocml.backends import open_backend

    pack_small(store, seed=1)
    entered, go_on = threading.Event(), threading.Event()

    class Slow:
        """Holds the device once, so that the swap has something to wait for."""

        def __init__(self, bundle):
            self.real = open_backend("onnx", bundle.model, threads=1)
            self.name, self.device, self.calls = "slow", "cpu", 0

        def run(self, inputs):
            self.calls += 1
            if self.calls == 2:  # the first is the golden rows
                entered.set()
                assert go_on.wait(30)
            return self.real.run(inputs)

        def close(self):
            self.real.close()

    model = Model(store, backend=Slow, poll_interval=0.01)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(model.predict, row)
        assert entered.wait(30)
        rolling = pool.submit(model.reload, "1")
        wait_for(lambda: model.version == "1")
        threading.Event().wait(0.2)  # some twenty polls
        assert model.version == "1"
        go_on.set()
        assert rolling.result(timeout=30) == "1"
        assert slow.result(timeout=30).version == "2"
    threading.Event().wait(0.2)
    assert model.version == "1"
    model.close()


def test_deleting_the_version_that_serves_pulls_nobody_backwards(store, row):
    pack_small(store, seed=1)
    model = Model(store, poll_interval=0.02)
    assert model.version == "2"
    shutil.rmtree(store / "2")
    threading.Event().wait(0.3)
    assert model.predict(row).version == "2"
    model.close()


def test_a_deleted_number_that_is_packed_again_is_a_new_version(store, row):
    pack_small(store, seed=1)
    model = Model(store, poll_interval=0.02)
    bad = model.predict(row)
    shutil.rmtree(store / "2")
    threading.Event().wait(0.1)
    assert model.predict(row).probability == bad.probability
    pack_small(store, seed=7)
    wait_for(lambda: model.predict(row).probability != bad.probability)
    assert model.version == "2"
    model.close()


def test_a_pinned_version_stays(store, row, add_version):
    model = Model(store, version="1", poll_interval=0.02)
    add_version()
    assert model.predict(row).version == "1"
    threading.Event().wait(0.2)
    assert model.predict(row).version == "1"
    model.close()


def test_reload_of_an_unknown_version_says_which_there_are(model, row):
    model.predict(row)
    with pytest.raises(inprocml.UnknownVersion, match="1"):
        model.reload("9")
    assert model.predict(row).version == "1"


def test_a_corrupt_new_version_is_refused_once_and_the_old_goes_on(model, row, add_broken_version, caplog):
    model.predict(row)
    with caplog.at_level(logging.WARNING, logger="inprocml"):
        add_broken_version()
        wait_for(lambda: "refused" in caplog.text)
        threading.Event().wait(0.3)
    assert model.predict(row).version == "1"
    assert caplog.text.count("refused") == 1
    with pytest.raises(inprocml.Corrupt):
        model.reload()
    assert model.predict(row).version == "1"


def test_no_request_fails_while_versions_swap(store, row, add_version):
    model = Model(store, poll_interval=1000)
    model.predict(row)
    add_version()
    stop = threading.Event()

    def ask():
        versions = set()
        while not stop.is_set():
            versions.add(model.predict(row).version)
        return versions

    with ThreadPoolExecutor(6) as pool:
        askers = [pool.submit(ask) for _ in range(5)]
        for turn in range(20):
            model.reload("2" if turn % 2 == 0 else "1")
        stop.set()
        seen = set().union(*(asker.result(timeout=30) for asker in askers))
    assert seen == {"1", "2"}
    model.close()


# --- what cannot be loaded -----------------------------------------------------------------------------


def test_a_missing_store_is_a_typed_error_and_recovers_when_it_appears(tmp_path, store, row):
    model = Model(tmp_path / "models" / "later", poll_interval=0.05)
    with pytest.raises(inprocml.BundleError, match="later"):
        model.predict(row)
    store.rename(tmp_path / "models" / "later")

    def answers():
        try:
            return model.predict(row).version == "1"
        except inprocml.BundleError:
            return False  # the failed load is remembered for a second

    wait_for(answers)
    model.close()


def test_an_empty_store_says_how_to_fill_it(tmp_path, row):
    (tmp_path / "empty").mkdir()
    with pytest.raises(inprocml.BundleError, match="pack"):
        Model(tmp_path / "empty").predict(row)


def test_a_foreign_folder_is_refused(tmp_path, row):
    folder = tmp_path / "foreign" / "1"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"hello": "world"}')
    with pytest.raises(inprocml.BundleError, match=r"manifest\.json"):
        Model(tmp_path / "foreign").predict(row)


def test_ready_starts_the_first_load(store):
    model = Model(store)
    assert not model.ready
    wait_for(lambda: model.ready)
    assert model.version == "1"
    model.close()


def test_ready_stays_false_for_a_broken_store(tmp_path, caplog):
    model = Model(tmp_path / "nothing")
    for _ in range(5):
        assert not model.ready
        threading.Event().wait(0.05)
    wait_for(lambda: "nothing" in caplog.text)


def test_concurrent_first_callers_load_once(store, row, monkeypatch):
    opened = []
    real = inprocml.Bundle.open

    def counting(*args, **kwargs):
        opened.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(inprocml.Bundle, "open", counting)
    model = Model(store)
    with ThreadPoolExecutor(8) as pool:
        assert {p.version for p in pool.map(lambda _: model.predict(row), range(16))} == {"1"}
    assert len(opened) == 1
    model.close()


def test_a_closed_model_says_so(store, row):
    model = Model(store)
    model.predict(row)
    model.close()
    model.close()
    with pytest.raises(inprocml.NotReady, match="closed"):
        model.predict(row)


def ours(before):
    """Names of the threads that this test's models have started; those of other tests may still be ending."""
    return [t.name for t in threading.enumerate() if t.name.startswith("inprocml") and t not in before]


def test_close_ends_every_thread_of_ours(store, row):
    before = set(threading.enumerate())
    model = Model(store, poll_interval=0.05)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: model.predict(row), range(64)))
    model.close()
    assert ours(before) == []


def test_a_dropped_model_is_freed_and_its_threads_end(store, row):
    before = set(threading.enumerate())
    model = Model(store, poll_interval=0.02)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(model.predict, [row] * 64))
    gone = weakref.ref(model)
    del model

    def freed():
        gc.collect()
        return gone() is None and not ours(before)

    wait_for(freed)


IMPOSSIBLE = [
    {"max_batch_size": 0},
    {"max_batch_size": 1.5},
    {"max_queue_size": 0},
    {"max_queue_delay": -1.0},
    {"max_queue_delay": float("nan")},
    {"max_queue_delay": float("inf")},
    {"poll_interval": 0.0},
    {"poll_interval": float("inf")},
    {"threads": 0},
    {"device": "gpu"},
    {"backend": "tensorflow"},
    {"version": 3},
    {"version": ""},
    {"poll_interval": "5"},
    {"name": 3},
]


@pytest.mark.parametrize("arguments", IMPOSSIBLE, ids=str)
def test_impossible_arguments_are_refused_where_they_are_written(tmp_path, arguments):
    with pytest.raises((TypeError, ValueError), match=next(iter(arguments))):
        Model(tmp_path, **arguments)


@pytest.mark.parametrize("path", [3, None, ["models"]])
def test_a_path_that_is_none_is_refused_where_it_is_written(path):
    with pytest.raises(TypeError, match="path"):
        Model(path)


def test_a_version_is_named_by_text(model):
    with pytest.raises(TypeError, match="'3'"):
        model.reload(1)


def test_a_long_poll_interval_is_only_long(store, row):
    with Model(store, poll_interval=1e300) as model:
        assert model.predict(row).version == "1"


def test_a_relative_path_means_the_folder_of_the_declaration(store, row, tmp_path, monkeypatch):
    monkeypatch.chdir(store.parent)
    model = Model(store.name)
    monkeypatch.chdir(tmp_path)
    assert model.predict(row).version == "1"
    model.close()


def test_a_pinned_bundle_is_called_by_its_own_name(store, row):
    with Model(store / "1") as model:
        model.predict(row)
        assert model.name == "fraud"


def test_a_with_block_closes(store, row):
    with Model(store) as model:
        model.predict(row)
    with pytest.raises(inprocml.NotReady, match="closed"):
        model.predict(row)
    assert not model.ready


def test_what_a_hosts_own_backend_raises_when_opened_is_typed(store, row):
    def explode(_bundle):
        raise ZeroDivisionError("kaputt")

    with pytest.raises(inprocml.BackendFailed, match="ZeroDivisionError"):
        Model(store, backend=explode).predict(row)


def test_the_failure_of_the_last_load_is_told(tmp_path, row):
    model = Model(tmp_path / "none")
    assert model.failure is None
    with pytest.raises(inprocml.BundleError):
        model.predict(row)
    assert model.failure == "BundleError"


EXIT = """
import sys, threading, inprocml
from inprocml.backends import open_backend
started = threading.Event()
def slow(bundle):
    started.set()
    return [open_backend("onnx", bundle.model, threads=2) for _ in range(40)][-1]
model = inprocml.Model(sys.argv[1], backend=slow)
model.ready
assert started.wait(30)
"""


def test_a_process_may_end_while_a_version_loads(store):
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", EXIT, str(store)], capture_output=True, timeout=50, check=False
        )
        assert done.returncode == 0, done.stderr


def test_the_numpy_reference_can_stand_in_for_the_runtime(store, row):
    fast, slow = Model(store), Model(store, backend="numpy")
    assert fast.predict(row).probability == pytest.approx(slow.predict(row).probability, abs=1e-5)
    fast.close()
    slow.close()


def test_a_host_can_bring_its_own_backend(store, row):
    from inprocml.testing import FakeBackend

    def broken(inputs):
        raise ZeroDivisionError("kaputt")

    answers = {"good": True}

    def run(inputs):
        if not answers["good"]:
            return broken(inputs)
        rows = len(next(iter(inputs.values())))
        return {"probabilities": np.tile(np.array([[0.25, 0.75]], np.float32), (rows, 1))}

    class Unchecked:
        """Stands in after the golden rows were replayed by the real runtime."""

        def __init__(self, bundle):
            from inprocml.backends import open_backend

            self.real = open_backend("onnx", bundle.model, threads=1)
            self.calls = 0
            self.fake = FakeBackend(run)
            self.name, self.device = "mine", "cpu"

        def run(self, inputs):
            self.calls += 1
            return self.real.run(inputs) if self.calls == 1 else self.fake.run(inputs)

        def close(self):
            self.real.close()

    model = Model(store, backend=Unchecked)
    assert model.predict(row).probability == pytest.approx(0.75)
    answers["good"] = False
    with pytest.raises(inprocml.BackendFailed, match="ZeroDivisionError"):
        model.predict(row)
    answers["good"] = True
    assert model.predict(row).value == "fraud"
    model.close()


def test_a_process_that_starts_under_a_broken_newest_version_serves_the_one_before(
    store, row, add_broken_version, caplog
):
    add_broken_version()
    model = Model(store, poll_interval=0.02)
    with caplog.at_level(logging.WARNING, logger="inprocml"):
        assert model.predict(row).version == "1"
        threading.Event().wait(0.2)
    assert model.predict(row).version == "1"
    assert caplog.text.count("version 2 refused") == 1
    model.close()
    pinned = Model(store, version="2")
    with pytest.raises(inprocml.BundleError):
        pinned.predict(row)


def test_a_restarted_process_serves_what_its_siblings_serve_whatever_is_wrong_with_the_newest(store, row):
    from inprocml.backends import open_backend

    pack_small(store, seed=1)

    def picky(bundle):
        if bundle.version == "2":
            raise inprocml.BackendMissing("this runtime is not installed on this host")
        return open_backend("onnx", bundle.model, threads=1)

    model = Model(store, backend=picky)
    assert model.predict(row).version == "1"
    model.close()


def test_when_nothing_loads_the_newest_says_why(store, row, add_broken_version):
    manifest = store / "1" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-5])
    add_broken_version()
    with pytest.raises(inprocml.Corrupt, match=r"2.*\.onnx"):
        Model(store).predict(row)


def test_callers_with_a_deadline_do_not_pile_up_on_a_slow_first_load(store, row):
    gate = Gate(slow=True)
    model = Model(store, backend=gate)
    with pytest.raises(inprocml.NotReady, match="still loading"):
        model.predict(row, timeout=0.01)
    assert gate.loading.wait(30)
    with pytest.raises(inprocml.NotReady, match="still loading"):
        model.predict_many([row], timeout=0.01)
    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(model.predict, row)
        gate.opened.set()
        assert patient.result(timeout=30).version == "1"
    assert model.predict(row, timeout=30.0).version == "1"
    model.close()


def test_coroutines_wait_for_the_first_load_within_their_deadline_and_take_no_thread_of_the_host(store, row):
    gate = Gate(slow=True)
    model = Model(store, backend=gate)

    async def crowd():
        waiting = [asyncio.create_task(model.apredict(row)) for _ in range(50)]
        await asyncio.to_thread(gate.loading.wait, 30)
        with pytest.raises(inprocml.NotReady, match="still loading"):
            await model.apredict(row, timeout=0.05)
        assert await asyncio.to_thread(lambda: "free") == "free"
        gate.opened.set()
        return await asyncio.gather(*waiting)

    assert {p.version for p in asyncio.run(crowd())} == {"1"}
    model.close()


def test_coroutines_get_the_reason_when_the_first_load_fails(tmp_path, row):
    model = Model(tmp_path / "nothing-here")

    async def crowd():
        return await asyncio.gather(*(model.apredict(row) for _ in range(5)), return_exceptions=True)

    assert [type(error) for error in asyncio.run(crowd())] == [inprocml.BundleError] * 5


def test_a_failed_load_is_a_new_error_for_everybody_and_keeps_no_row_alive(tmp_path):
    class Row(dict):
        pass

    model = Model(tmp_path / "nothing-here")
    errors, rows = [], []
    for _ in range(3):
        row = Row()
        rows.append(weakref.ref(row))
        try:
            model.predict(row)
        except inprocml.BundleError as error:
            errors.append(error)
        del row
    assert len({id(error) for error in errors}) == 3
    errors.clear()
    gc.collect()
    assert [ref() for ref in rows] == [None, None, None]


def test_a_cancelled_coroutine_leaves_the_model_fine(store, row):
    model = Model(store)

    async def hasty():
        await model.apredict(row)
        tasks = [asyncio.create_task(model.apredict(row)) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        return answers, await model.apredict(row)

    answers, last = asyncio.run(hasty())
    assert last.value == "fraud"
    assert {p.value for p in answers[1::2]} == {"fraud"}
    assert {type(answer) for answer in answers[::2]} <= {asyncio.CancelledError, inprocml.Prediction}
    model.close()


def test_a_table_ends_on_the_version_it_began_on(store):
    pack_small(store, seed=1)
    model = Model(store, version=None, max_batch_size=2, poll_interval=1000)
    rows, _ = make_rows(600, seed=9)
    model.reload("1")
    with ThreadPoolExecutor(2) as pool:
        table = pool.submit(model.predict_many, rows)
        reloads = pool.submit(lambda: [model.reload(name) for name in ("2", "1", "2")])
        answers = table.result(timeout=50)
        assert reloads.result(timeout=50) == ["2", "1", "2"]
    assert len(answers) == 600
    assert len({answer.version for answer in answers}) == 1
    assert model.version == "2"
    model.close()


@pytest.mark.parametrize(
    "first_use", ["apredict", "with a timeout", "ready", "predict_many", "version", "reload"]
)
def test_a_new_version_is_followed_whatever_the_first_use_was(store, row, add_version, first_use):
    model = Model(store, poll_interval=0.02)
    uses = {
        "apredict": lambda: asyncio.run(model.apredict(row)),
        "with a timeout": lambda: model.predict(row, timeout=30.0),
        "ready": lambda: wait_for(lambda: model.ready),
        "predict_many": lambda: model.predict_many([row]),
        "version": lambda: model.version,
        "reload": model.reload,
    }
    uses[first_use]()
    add_version()
    wait_for(lambda: asyncio.run(model.apredict(row)).version == "2")
    model.close()

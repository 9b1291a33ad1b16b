"""Stores of predictions: the same contract for each, from several processes, and on disks that fail."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.monitoring.quality.postgres import found, running

from inprocml.errors import BackendMissing
from inprocml.monitoring.quality import Feedback, Quality, Settings
from inprocml.monitoring.quality.sql import SqlStore
from inprocml.monitoring.quality.sqlite import SqliteStore
from inprocml.protocols import PredictionStore
from inprocml.testing import check_prediction_store
from inprocml.values import Remembered

TWO = Settings(kind="classes", classes=("ok", "late"))
START = 1.7e9


def made(name, at=START, score=0.25, choice=1, slices=0xFFFFFFFF):
    return Remembered(name, at, score, choice, slices)


@pytest.fixture(scope="session")
def postgres():
    if not found("postgres") or not found("initdb"):
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    with running() as url:
        yield url


@pytest.fixture(params=["sqlite", "sql-sqlite", "sql-postgres"])
def opened(request, tmp_path):
    """A function that opens the store once more, as another process or model would."""
    stores = []
    if request.param == "sqlite":
        make = lambda model: SqliteStore(tmp_path / "predictions.db", model=model)
    else:
        pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed: pip install 'inprocml[sql]'")
        own = f"sqlite:///{tmp_path}/predictions.db"
        url = request.getfixturevalue("postgres") if request.param == "sql-postgres" else own
        make = lambda model: SqlStore(url, model=model)

    def open_(model=None):
        stores.append(make(model or request.node.name))
        return stores[-1]

    yield open_
    for store in stores:
        store.close()


def test_a_prediction_is_joined_by_whoever_asks_first(opened):
    one, two = opened(), opened()
    assert isinstance(one, PredictionStore)
    one.remember([made("a"), made("b", score=1e30, choice=31, slices=3)])
    assert two.join("a", START + 1) == made("a")
    assert one.join("a", START + 2) == made("a")._replace(joined=True)
    assert two.join("b", START + 2) == made("b", score=1e30, choice=31, slices=3)
    assert one.join("c", START) is None
    one.remember([])


def test_each_store_keeps_the_protocol(opened):
    check_prediction_store(opened())


def test_a_store_that_breaks_the_protocol_is_told_so(tmp_path):
    class Forgetful(SqliteStore):
        def join(self, name, at):
            found = super().join(name, at)
            return found and found._replace(joined=False)

    with pytest.raises(AssertionError, match="Forgetful"):
        check_prediction_store(Forgetful(tmp_path / "predictions.db", model="m"))
    with pytest.raises(AssertionError, match="lacks a member"):
        check_prediction_store(object())


def test_models_do_not_see_each_other(opened):
    one, two = opened("late@1"), opened("late@2")
    one.remember([made("a")])
    assert two.join("a", START) is None
    two.remember([made("a", score=0.75)])
    assert one.join("a", START).score == 0.25
    assert two.sweep(START + 1) == 1
    assert one.join("a", START).joined
    assert one.sweep(START + 1) == 1


def test_a_label_of_another_version_or_other_settings_is_not_taken_for_ones_own(opened):
    store = opened()
    settings = Settings(kind="classes", classes=("ok", "late"), slices={"carrier": ("UA", "AA")})
    one = Quality(settings, store=store, version="1")
    one.predicted(["a" * 64, "b"], [0.9, 0.1], START, slices={"carrier": ["AA", "AA"]})
    others = [
        Quality(settings, store=opened(), version="2"),
        Quality(replace(settings, slices={"carrier": ("AA", "UA")}), store=opened(), version="1"),
    ]
    for other in others:
        assert other.feedback("b", "late", START + 1) is Feedback.UNMATCHED
        assert other.counters().total().labelled == 0
    alike = Quality(replace(settings, usual=0.5), store=opened(), version="1")
    assert alike.feedback("b", "ok", START + 1) is Feedback.MATCHED
    assert alike.feedback("a" * 64, "ok", START + 1) is Feedback.MATCHED
    assert one.feedback("b", "ok", START + 1) is Feedback.DUPLICATE


def test_a_label_is_led_to_the_version_before_that_this_process_still_knows(opened):
    """Of four workers that were all swapped, three have not made the prediction themselves."""
    store, elsewhere = opened(), opened()
    numbers = Settings(kind="classes", classes=(0, 1))
    named = Settings(kind="classes", classes=("ok", "late"))
    Quality(named, store=elsewhere, version="1").predicted(["a"], [0.9], START)
    before, after = Quality(named, store=store, version="1"), Quality(numbers, store=store, version="2")
    assert after.feedback("b", "late", START + 1, before) is Feedback.INVALID
    assert after.feedback("b", 1, START + 1, before) is Feedback.UNMATCHED
    assert before.counters().outcomes == Quality(named).counters().outcomes
    assert after.feedback("a", "late", START + 1, before) is Feedback.MATCHED
    assert after.feedback("a", "late", START + 1, before) is Feedback.DUPLICATE
    assert before.counters().total().labelled == 1
    assert after.counters().total().labelled == 0
    assert sum(after.counters().outcomes.values()) == 2


def test_an_id_that_is_kept_stays_as_it_is(opened):
    store = opened()
    store.remember([made("a")])
    store.join("a", START)
    store.remember([made("a", score=0.9), made("b")])
    assert store.join("a", START) == made("a")._replace(joined=True)
    assert store.join("b", START) == made("b")


def test_what_is_old_is_forgotten(opened):
    store = opened()
    store.remember([made(f"i{number}", at=START + number) for number in range(100)])
    assert store.sweep(START + 40) == 40
    assert store.sweep(START + 40) == 0
    assert store.join("i39", START) is None
    assert store.join("i40", START) is not None


@pytest.mark.parametrize("text", ["'; DROP TABLE inprocml_predictions; --", '"', "%s", ":id", "\\", "a'b"])
def test_an_id_is_a_value_and_never_a_query(opened, text):
    store = opened()
    store.remember([made("a"), made(text)])
    assert store.join(text, START) == made(text)
    assert store.join("a' OR '1'='1", START) is None
    assert store.join("a", START) == made("a")


def test_of_many_threads_and_stores_exactly_one_is_first(opened):
    stores = [opened() for _ in range(3)]
    stores[0].remember([made(f"i{number}") for number in range(20)])
    firsts, faults = [], []

    def ask(store):
        try:
            for number in range(20):
                firsts.append(not store.join(f"i{number}", START).joined)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=ask, args=(store,)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert sum(firsts) == 20
    assert len(firsts) == 120


def test_a_label_finds_the_prediction_of_another_process(opened):
    answering, hearing = Quality(TWO, store=opened()), Quality(TWO, store=opened())
    answering.predicted(["a", "b"], [0.9, 0.2], START)
    assert answering.pending == 0
    assert hearing.feedback("a", "late", START + 60) is Feedback.MATCHED
    assert hearing.feedback("a", "late", START + 60) is Feedback.DUPLICATE
    assert answering.feedback("a", "late", START + 60) is Feedback.DUPLICATE
    assert hearing.feedback("c", "late", START + 60) is Feedback.UNMATCHED
    assert hearing.feedback("b", "ok", START + 8 * 86400) is Feedback.UNMATCHED  # too late
    total = (answering.counters() + hearing.counters()).total()
    assert (total.seen, total.labelled) == (2, 1)
    answering.predicted(["d"], [0.9], START + 30 * 86400)  # sweeps
    assert hearing.feedback("b", "ok", START + 60) is Feedback.UNMATCHED


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*fork:DeprecationWarning")
def test_a_child_opens_its_own_connection(opened):
    store = opened()
    store.remember([made("a"), made("b")])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.remember([made("c")])
            code = 0 if store.join("a", START) == made("a") else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.join("a", START).joined
    assert store.join("b", START) == made("b")
    assert store.join("c", START) == made("c")


def test_what_was_remembered_survives_a_kill(tmp_path):
    path = tmp_path / "predictions.db"
    script = (
        "import sys\n"
        "from inprocml.monitoring.quality.sqlite import SqliteStore\n"
        "from inprocml.values import Remembered\n"
        "store = SqliteStore(sys.argv[1], model='m')\n"
        "for turn in range(10**6):\n"
        "    store.remember([Remembered(f'{turn}-{row}', 1.0, 0.5, 0, 0) for row in range(10)])\n"
        "    print(turn, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if int(line) == 30:
                process.send_signal(signal.SIGKILL)
                break
        last = max([30, *(int(line) for line in process.stdout if line.strip())])
    store = SqliteStore(path, model="m")
    assert all(store.join(f"{turn}-{row}", 2.0) for turn in range(last + 1) for row in range(10))
    # of the transaction it died in there is all or nothing
    assert sum(store.join(f"{last + 1}-{row}", 2.0) is not None for row in range(10)) in {0, 10}
    store.close()


def served(store, caplog):
    """Play a day on a store that may fail; whatever it does, labels of this process are joined."""
    quality = Quality(TWO, store=store)
    with caplog.at_level(logging.WARNING):
        for turn in range(30):
            ids = [f"{turn}-{row}" for row in range(100)]
            quality.predicted(ids, np.full(100, 0.9), START)
        said = {quality.feedback(f"{turn}-0", "late", START + 1) for turn in range(30)}
    return quality.counters(), said


def test_a_full_disk_costs_no_prediction(tmp_path, caplog):
    store = SqliteStore(tmp_path / "predictions.db", model="m", largest=80_000)
    counters, said = served(store, caplog)
    assert 0 < counters.lost["store_failures"] < 30
    assert said <= {Feedback.MATCHED, Feedback.FAILED}  # a full one may take no mark either
    assert counters.total().seen == 3000
    assert counters.outcomes["matched"] >= counters.lost["store_failures"] - counters.outcomes["failed"]
    store.sweep(START + 1)
    store.remember([made("again")])
    assert store.join("again", START) == made("again")
    store.close()


def test_a_locked_file_costs_no_prediction(tmp_path, caplog):
    path = tmp_path / "predictions.db"
    SqliteStore(path, model="m").sweep(0.0)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    store = SqliteStore(path, model="m", patience=0.01)
    counters, said = served(store, caplog)
    assert counters.lost["store_failures"] == 30
    assert said == {Feedback.MATCHED}  # from memory
    assert len([record for record in caplog.records if "store" in record.message]) == 1
    blocker.execute("ROLLBACK")
    blocker.close()
    store.remember([made("a")])
    assert store.join("a", START) == made("a")
    store.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 8192])
def test_a_corrupt_file_costs_no_prediction_and_is_left_as_it_is(tmp_path, caplog, content):
    path = tmp_path / "predictions.db"
    path.write_bytes(content)
    counters, said = served(SqliteStore(path, model="m"), caplog)
    assert counters.lost["store_failures"] == 30
    assert said == {Feedback.MATCHED}
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_costs_no_prediction(tmp_path, caplog):
    counters, said = served(SqliteStore(tmp_path / "missing" / "predictions.db", model="m"), caplog)
    assert counters.lost["store_failures"] == 30
    assert said == {Feedback.MATCHED}


def test_a_file_that_is_damaged_while_open_is_counted(tmp_path, caplog):
    path = tmp_path / "predictions.db"
    store = SqliteStore(path, model="m")
    store.remember([made(f"i{number}") for number in range(5000)])
    store.close()
    whole = bytearray(path.read_bytes())
    whole[4096:] = b"\xa5" * (len(whole) - 4096)
    path.write_bytes(whole)
    quality = Quality(TWO, store=SqliteStore(path, model="m"))
    with caplog.at_level(logging.WARNING):
        assert quality.feedback("i7", "late", START) is Feedback.FAILED
        quality.predicted(["a"], [0.9], START)
    assert quality.feedback("a", "late", START) is Feedback.MATCHED
    assert quality.counters().lost["store_failures"] >= 2


def test_a_database_that_went_away_costs_no_prediction(caplog):
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed: pip install 'inprocml[sql]'")
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    store = SqlStore(
        "postgresql+psycopg://who:secret@127.0.0.1:1/none", model="m", connect_args={"connect_timeout": 2}
    )
    counters, said = served(store, caplog)
    assert counters.lost["store_failures"] == 30
    assert said == {Feedback.MATCHED}
    assert "secret" not in caplog.text
    store.close()


def test_without_sqlalchemy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(BackendMissing, match=r"pip install 'inprocml\[sql\]'"):
        SqlStore("sqlite://", model="m")


def test_the_sqlite_file_is_read_by_nobody_else(tmp_path):
    store = SqliteStore(tmp_path / "predictions.db", model="m")
    store.remember([Remembered("a", 1.0, 0.5, 0, 0)])
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert "predictions.db" in modes
    assert set(modes.values()) == {0o600}
    store.close()


def test_the_sqlite_file_stays_within_its_bound(tmp_path):
    store = SqliteStore(tmp_path / "predictions.db", model="m", largest=200_000)
    began = time.monotonic()
    for turn in range(100):
        try:
            store.remember([made(f"{turn}-{row}", at=START + turn) for row in range(200)])
        except sqlite3.OperationalError:
            assert store.sweep(START + turn - 3) > 0
        assert time.monotonic() - began < 50
    assert (tmp_path / "predictions.db").stat().st_size <= 200_000
    store.close()

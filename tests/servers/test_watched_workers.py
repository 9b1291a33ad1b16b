"""Forked workers add up what they count, whoever is asked, though some are killed; labels find their way."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.servers.test_prefork import SERVERS, ask, gunicorn, serving

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]
GEVENT = gunicorn("--worker-class", "gevent")


def served(port, count):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(port), range(count)))
    assert {status for status, _ in answers} == {200}
    return [body for _, body in answers]


def known_of(port, path, name, least):
    """What any worker knows once each has looked, within a second or two: ``least`` of ``name``."""
    pause = threading.Event()
    for _ in range(200):
        status, known = ask(port, path=path)
        assert status == 200
        if known[name] >= least:
            return known
        pause.wait(0.05)
    pytest.fail(f"{known} where {name} must reach {least}")


def settled(port, rows):
    return known_of(port, "/watched", "seen", rows)


def judged(port, matched):
    return known_of(port, "/judged", "matched", matched)


@pytest.mark.parametrize(
    "command", [*(SERVERS[name] for name in SERVERS), lambda: GEVENT], ids=[*SERVERS, "gevent"]
)
def test_every_worker_knows_what_all_have_answered(command, store, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with serving(command(), store, tmp_path, TMPDIR=str(temporary)) as (port, _):
        answers = served(port, 300)
        first = settled(port, 301)  # one asked whether the server is up
        assert first["sampled"] == first["seen"]
        assert first["scope"] == "host"
        victim = answers[-1]["pid"]
        os.kill(victim, signal.SIGKILL)
        more = served(port, 100)
        assert victim not in {body["pid"] for body in more}
        assert settled(port, first["seen"] + 100)["seen"] == first["seen"] + 100


@pytest.mark.parametrize("server", SERVERS)
def test_workers_of_a_server_that_is_process_1_of_its_container_share_too(server, store, tmp_path):
    command = [*as_process_1(), *SERVERS[server]()]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with serving(command, store, tmp_path, TMPDIR=str(temporary)) as (port, _):
        answers = served(port, 300)
        assert len({body["pid"] for body in answers}) == 2
        known = settled(port, 301)
        assert known["scope"] == "host"
        assert known["seen"] in {301, 302}, "here the parent is of the server too, with the row of its start"
        (counts,) = temporary.glob("*/*.counts")
        assert counts.is_file()


def as_process_1():
    """The command that runs another as a container does: process 1 of its namespace, session and group."""
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"namespaces of processes cannot be made here: {error}")
    return [*command, "setsid"]


def test_labels_reach_the_prediction_through_any_worker(store, tmp_path):
    with serving(SERVERS["gunicorn"](), store, tmp_path, LABELS=str(tmp_path / "labels.db")) as (port, _):
        answers = served(port, 60)
        settled(port, 61)  # one asked whether the server is up
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda body: ask(port, path=f"/label/{body['id']}")[1], answers))
        assert {body["outcome"] for body in told} == {"matched"}
        again = ask(port, path=f"/label/{answers[0]['id']}")[1]
        assert again["outcome"] == "duplicate"
        elsewhere = [body["pid"] != answer["pid"] for body, answer in zip(told, answers, strict=True)]
        assert any(elsewhere)


@pytest.mark.parametrize(
    "command", [*(SERVERS[name] for name in SERVERS), lambda: GEVENT], ids=[*SERVERS, "gevent"]
)
def test_quality_is_of_all_workers_and_labels_of_killed_ones_stay(command, store, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    labels = str(tmp_path / "labels.db")
    with serving(command(), store, tmp_path, TMPDIR=str(temporary), LABELS=labels) as (port, _):
        answers = served(port, 60)
        settled(port, 61)
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda body: ask(port, path=f"/label/{body['id']}")[1], answers))
        assert {body["outcome"] for body in told} == {"matched"}
        known = judged(port, 60)
        assert (known["matched"], known["scope"]) == (60, "host")
        threading.Event().wait(2.5)  # each worker has shown what it heard
        os.kill(known["pid"], signal.SIGKILL)
        more = served(port, 20)
        settled(port, 81)
        for body in more:
            assert ask(port, path=f"/label/{body['id']}")[1]["outcome"] == "matched"
        assert judged(port, 80)["matched"] == 80

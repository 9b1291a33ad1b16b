"""The thread budget: what the machine allows this process, shared between workers."""

from __future__ import annotations

import os
import sys
import types

import pytest

from inprocml.backends import thread_budget


@pytest.fixture
def cores(monkeypatch):
    """Eight cores and no worker count, whatever this machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.setattr(os, "getppid", lambda: 77)


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu"

CASES = {
    "no cgroup": ({}, 8),
    "v2 unlimited": ({f"{V2}/cpu.max": "max 100000\n"}, 8),
    "v2 whole": ({f"{V2}/cpu.max": "200000 100000\n"}, 2),
    "v2 fraction, rounded up": ({f"{V2}/cpu.max": "150000 100000\n"}, 2),
    "v2 less than one": ({f"{V2}/cpu.max": "10000 100000\n"}, 1),
    "v2 above the cores": ({f"{V2}/cpu.max": "1600000 100000\n"}, 8),
    "v2 malformed": ({f"{V2}/cpu.max": "plenty\n"}, 8),
    "v2 no period": ({f"{V2}/cpu.max": "200000 0\n"}, 8),
    "v2 own group": (
        {"proc/self/cgroup": "0::/web/app\n", f"{V2}/web/app/cpu.max": "300000 100000\n"},
        3,
    ),
    "v2 a parent binds": (
        {
            "proc/self/cgroup": "0::/web/app\n",
            f"{V2}/web/app/cpu.max": "max 100000\n",
            f"{V2}/web/cpu.max": "200000 100000\n",
        },
        2,
    ),
    "v1 whole": ({f"{V1}/cpu.cfs_quota_us": "400000\n", f"{V1}/cpu.cfs_period_us": "100000\n"}, 4),
    "v1 unlimited": ({f"{V1}/cpu.cfs_quota_us": "-1\n", f"{V1}/cpu.cfs_period_us": "100000\n"}, 8),
    "v1 own group": (
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n",
            f"{V1}/docker/abc/cpu.cfs_quota_us": "100000\n",
            f"{V1}/docker/abc/cpu.cfs_period_us": "50000\n",
        },
        2,
    ),
    "a path that climbs out is not followed": (
        {"proc/self/cgroup": "0::/../../etc\n", f"{V2}/cpu.max": "300000 100000\n"},
        3,
    ),
    "not text": ({f"{V2}/cpu.max": "\uff12\uff10 \uff11\n"}, 8),
}


@pytest.mark.parametrize("case", CASES)
def test_quota(case, cores, tmp_path):
    files, expected = CASES[case]
    assert thread_budget(root=write(tmp_path, files)) == expected


def test_workers_share(cores, tmp_path, monkeypatch):
    assert thread_budget(4, root=tmp_path) == 2
    assert thread_budget(3, root=tmp_path) == 2
    assert thread_budget(100, root=tmp_path) == 1
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    assert thread_budget(root=tmp_path) == 4
    assert thread_budget(1, root=tmp_path) == 8  # what is said in code wins


@pytest.mark.parametrize("text", ["", "auto", "-2", "0", "2.5", "²"])
def test_a_worker_count_that_is_none_counts_as_one(text, cores, tmp_path, monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", text)
    assert thread_budget(root=tmp_path) == 8


def test_without_affinity_the_cores_count(tmp_path, monkeypatch):
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert thread_budget(root=tmp_path) == 6


def test_on_this_machine_it_is_at_least_one():
    assert thread_budget() >= 1


def test_workers_of_a_prefork_server_are_counted(tmp_path, cores):
    write(
        tmp_path,
        {
            "proc/self/cmdline": "gunicorn\0app:app\0",
            "proc/77/task/77/children": "80 81 82 83 ",
            "proc/80/cmdline": "gunicorn\0app:app\0",
            "proc/81/cmdline": "gunicorn\0app:app\0",
            "proc/82/cmdline": "tail\0-f\0log\0",
        },
    )
    assert thread_budget(root=tmp_path) == 4


def test_web_concurrency_is_believed_before_the_process_table(tmp_path, cores, monkeypatch):
    write(
        tmp_path, {"proc/self/cmdline": "a\0", "proc/77/task/77/children": "80 81", "proc/80/cmdline": "a\0"}
    )
    monkeypatch.setenv("WEB_CONCURRENCY", "8")
    assert thread_budget(root=tmp_path) == 1


def test_uwsgi_says_how_many_it_forks(tmp_path, cores, monkeypatch):
    uwsgi = types.ModuleType("uwsgi")
    uwsgi.numproc = 2
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    assert thread_budget(root=tmp_path) == 4

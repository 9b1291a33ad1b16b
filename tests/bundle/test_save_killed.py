"""Killed at any step, saving and signing leave the old state or the new one, and the next try succeeds."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from inprocml import Bundle
from inprocml.bundle.signing import new_key, sign, verify

PEM, KEY = new_key()
STEPS = ("open", "close", "fsync", "link", "rename", "replace", "unlink", "mkdir", "rmdir")


def killed(action, at):
    """Run ``action`` in a child that is killed before its ``at``-th step; say whether it was."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _arm(at)
            action()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _arm(at):
    taken = 0

    def armed(real):
        def step(*arguments, **keywords):
            nonlocal taken
            taken += 1
            if taken == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **keywords)

        return step

    for name in STEPS:
        setattr(os, name, armed(getattr(os, name)))


@pytest.mark.parametrize("name", ["x.inprocml", "x"])
def test_saving(store, tmp_path, name):
    bundle = Bundle.open(store / "1")
    out = tmp_path / "out" / name
    at, seen = 1, []
    while killed(lambda: bundle.save(out), at):
        seen.append(out.exists())
        if out.exists():
            assert Bundle.open(out).digest == bundle.digest
            shutil.rmtree(out) if out.is_dir() else out.unlink()
        at += 1
        assert at < 100
    assert Bundle.open(out).digest == bundle.digest
    assert {True, False} == set(seen)  # it was killed before it was there, and after


@pytest.mark.parametrize("name", ["x.inprocml", "x"])
def test_signing(store, tmp_path, name):
    bundle = Bundle.open(store / "1")
    out = bundle.save(tmp_path / "out" / name)
    at, seen = 1, []
    while killed(lambda: sign(out, PEM), at):
        seen.append(verify(out))
        assert Bundle.open(out).digest == bundle.digest
        if seen[-1]:
            shutil.rmtree(out) if out.is_dir() else out.unlink()
            bundle.save(out)
        at += 1
        assert at < 100
    assert verify(out) == (KEY,)
    assert set(seen) == {(), (KEY,)}

"""The cache of a host as a machine with states: whatever is harmed and evicted, it gives the right."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inprocml.schema.canonical import sha256
from inprocml.sources.cache import HostCache, cache_key

KEYS = st.sampled_from("abcdef")
KEEP = 3


class Failed(Exception):
    pass


class Cached(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.cache = HostCache(self.folder, "a place", keep=KEEP, where="a place")
        self.used, self.downloads, self.clock = [], 0, 0

    def teardown(self):
        shutil.rmtree(self.folder)

    def bring(self, key, *, fails=False):
        def fill(folder):
            self.downloads += 1
            (folder / "bundle").mkdir()
            (folder / "bundle" / "file").write_text(key)
            if fails:
                raise Failed
            return {"bundle/file": (1, sha256(key.encode()))}

        path = self.cache.bring(cache_key(key), single=False, fill=fill)
        self.clock += 1
        os.utime(path.parent, (self.clock, self.clock))  # a clock that moves on between any two uses
        return path

    @rule(key=KEYS)
    def use(self, key):
        before = self.downloads
        assert (self.bring(key) / "file").read_text() == key
        assert self.downloads - before == (key not in self.used)
        self.used = [*(used for used in self.used if used != key), key][-KEEP:]

    @rule(key=KEYS)
    def fail(self, key):
        if key not in self.used:
            with pytest.raises(Failed):
                self.bring(key, fails=True)

    @rule(key=KEYS, content=st.sampled_from(["", "x", "xx"]))
    def harm(self, key, content):
        if key in self.used:
            (self.cache.path(cache_key(key), single=False) / "file").write_text(content)
            before = self.downloads
            assert (self.bring(key) / "file").read_text() == key
            assert self.downloads == before + 1
            self.used = [*(used for used in self.used if used != key), key]

    @rule()
    def leave_a_download_behind(self):
        place = self.folder / cache_key("a place") / ".tmp-killed"
        place.mkdir(parents=True, exist_ok=True)

    @invariant()
    def what_was_used_last_is_there_and_nothing_else(self):
        here = {path.name for path in self.folder.glob("*/*") if path.is_dir() and path.name[0] != "."}
        assert here == {cache_key(key) for key in self.used}


TestCached = Cached.TestCase
TestCached.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_nobody_else_may_look_into_the_cache(tmp_path):
    cache = HostCache(tmp_path / "new", "a place", keep=1, where="a place")
    path = cache.bring(
        cache_key("a"),
        single=True,
        fill=lambda folder: (folder / "bundle.inprocml").touch() or {"bundle.inprocml": (0, sha256(b""))},
    )
    assert path.parent.parent.stat().st_mode & 0o077 == 0

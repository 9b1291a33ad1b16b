"""Which version a process tries next: the rules, in every order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inprocml.serving.follow import REFUSED_SECONDS, Following
from inprocml.testing import ManualClock


def following():
    return Following(ManualClock())


def test_a_starting_process_tries_the_newest_first_and_not_for_ever():
    assert following().first(["1", "2", "3"]) == ["3", "2", "1"]
    assert following().first([str(n) for n in range(100)]) == ["99", "98", "97", "96", "95"]


def test_nothing_new_is_nothing_to_try():
    rules = following()
    rules.serves("2", ["1", "2"])
    assert rules.newer(["1", "2"]) == []
    assert rules.newer(["1", "2", "3"]) == ["3"]


def test_a_deleted_version_pulls_nobody_backwards():
    rules = following()
    rules.serves("2", ["1", "2"])
    assert rules.newer(["1"]) == []
    assert rules.newer([]) == []


def test_a_roll_back_holds_until_something_newer_than_all_appears():
    rules = following()
    rules.serves("3", ["1", "2", "3"])
    rules.passes(["1", "2", "3"])
    assert rules.newer(["1", "2", "3"]) == []
    assert rules.newer(["1", "2"]) == []
    assert rules.newer(["0", "1", "2", "3"]) == []
    assert rules.newer(["1", "2", "3", "4"]) == ["4"]


def test_a_failed_reload_leaves_everything_as_it_was():
    rules = following()
    rules.serves("1", ["1"])
    before = rules.passes(["1", "2"])
    rules.restore(before)
    assert rules.newer(["1", "2"]) == ["2"]


def test_a_broken_newest_hides_no_sound_one_below_and_is_tried_again_later():
    clock = ManualClock()
    rules = Following(clock)
    rules.serves("1", ["1"])
    assert rules.newer(["1", "2", "3"]) == ["3", "2"]
    assert rules.refused.add("3")
    assert rules.newer(["1", "2", "3"]) == ["2"]
    rules.serves("2", ["1", "2", "3"])
    assert rules.newer(["1", "2", "3"]) == []
    clock.advance(REFUSED_SECONDS + 1)
    assert rules.newer(["1", "2", "3"]) == ["3"]


class Store(RuleBasedStateMachine):
    """A store that publishes, deletes and breaks versions, a process that polls it and is rolled back."""

    @initialize()
    def start(self):
        self.clock = ManualClock()
        self.rules = Following(self.clock)
        self.names = [1]
        self.broken = set()
        self.high = 1  # the newest ever served or rolled back over
        self.serving = 1
        self.last = 1
        self.rules.serves("1", ["1"])

    def listed(self):
        return [str(name) for name in sorted(self.names)]

    @rule(broken=st.booleans())
    def publish(self, broken):
        self.last += 1
        self.names.append(self.last)
        if broken:
            self.broken.add(self.last)

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def delete(self, data):
        self.names.remove(data.draw(st.sampled_from(self.names)))

    @rule()
    def poll(self):
        for name in self.rules.newer(self.listed()):
            if int(name) in self.broken:
                self.rules.refused.add(name)
                continue
            assert int(name) > self.high, "a poll never goes backwards, nor to what was passed"
            self.serving = self.high = int(name)
            self.rules.serves(name, self.listed())
            return

    @precondition(lambda self: [n for n in self.names if n not in self.broken])
    @rule(data=st.data())
    def reload_to(self, data):
        self.serving = data.draw(st.sampled_from([n for n in self.names if n not in self.broken]))
        self.rules.passes(self.listed())
        self.high = max(self.high, *self.names)

    @rule(seconds=st.sampled_from([1.0, REFUSED_SECONDS + 1]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def candidates_are_new_and_newest_first(self):
        if not hasattr(self, "rules"):
            return
        tried = [int(name) for name in self.rules.newer(self.listed())]
        assert tried == sorted(tried, reverse=True)
        assert all(name > self.high for name in tried)

    @rule()
    def settle(self):
        """Polls, with the minute that refusals last between them, reach the newest sound version in reach."""
        sound = [n for n in self.names if n not in self.broken and n > self.high]
        reach = sound and len([n for n in self.names if n >= max(sound)]) <= 5
        self.clock.advance(REFUSED_SECONDS + 1)
        self.poll()
        if reach:
            assert self.serving == max(sound)


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)

"""What is said of an episode when it is over, what is remembered of it, and how far learning is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.monitoring.alarm.columns import MIDNIGHT, MINUTE, Stream, category, normal, numbers, shifted

from inprocml.monitoring.alarm import Alarm
from inprocml.monitoring.alarm.words import clock, ended, why
from inprocml.monitoring.verdict import Action, DriftEvent, Reference, State, Test

CARRIERS = {"UA": 50, "AA": 30, "B6": 20}


def stream(**options):
    return Stream(normal("x"), normal("y", seed=1), category("carrier", CARRIERS), **options)


def healthy(**options):
    learnt = stream(**options)
    learnt.blocks(520)
    return learnt


def with_new(rng, rows):
    return rng.choice(np.array(["UA", "AA", "B6", "ZZ"], object), rows, p=[0.4, 0.3, 0.2, 0.1])


def over(watched, reference=Reference.TRAIN):
    return [e for e in watched.events if e.action is Action.CLOSED and e.reference is reference]


def test_an_episode_that_is_over_says_what_it_was_how_long_and_how_it_ended():
    watched = healthy()
    watched.blocks(60, x=shifted(0.8))
    watched.blocks(30, x=shifted(0.8), carrier=with_new)
    watched.blocks(200)
    (closed,) = over(watched)
    assert {each.name for each in closed.findings} == {"x", "carrier"}
    began, until = clock(closed.since, closed.at), clock(closed.at, closed.at)
    assert closed.why.startswith(f"x (higher), carrier (unseen): drift from {began} to {until} UTC (")
    assert closed.why.endswith("; back to training")
    (opened,) = [e for e in watched.events if e.action is Action.OPENED]
    assert opened.why == opened.findings[0].why
    assert opened.id == closed.id
    assert closed.since <= opened.since
    assert DriftEvent.from_dict(closed.to_dict()) == closed


def test_what_is_on_names_all_that_joined_and_where_it_began():
    watched = healthy()
    watched.blocks(60, x=shifted(0.8))
    began = watched.alarm.episodes()[0].since
    watched.blocks(30, x=shifted(0.8), carrier=with_new)
    (event,) = watched.alarm.episodes()
    assert {each.name for each in event.findings} == {"x", "carrier"}
    assert event.since == began
    assert event.why.count(";") == 1


def test_numbers_that_went_somewhere_are_said_to_have_gone_there():
    """Delays: most lie close together, and the test of shape sees twenty minutes more clearly than others."""
    delays = lambda rng, rows: np.round(rng.exponential(12, rows) - 8)
    watched = Stream(numbers("delay", delays(np.random.default_rng(0), 20_000)), normal("y"))
    watched.blocks(520)
    watched.blocks(30, delay=lambda rng, rows: delays(rng, rows) + 20)
    (event,) = [each for each in watched.events if each.reference is Reference.TRAIN]
    (found,) = event.findings
    assert found.test is Test.LOCATION
    assert "sigma higher than in training" in found.why
    assert found.value > found.threshold
    assert found.effect == pytest.approx(found.measures.location)


def test_before_the_first_block_is_full_that_is_what_is_wanting():
    watched = stream()
    watched.block(20_000, seconds=10.0)
    found = watched.alarm.findings(Reference.TRAIN, watched.now)
    assert {each.why for each in found} == {
        f"{name}: rows are judged by blocks, and the first one is not full" for name in ("x", "y", "carrier")
    }


def test_what_is_told_of_an_episode_that_a_swap_ended_is_what_was_seen():
    watched = healthy()
    watched.until_event(8, x=shifted(2.0))
    opened = watched.events[-1]
    (closed,) = watched.alarm.retire(watched.now + 7)
    assert [each.name for each in closed.findings] == ["x"]
    assert closed.findings[0].rows > 0
    assert closed.findings[0].state is not State.INSUFFICIENT
    assert opened.id == closed.id


def test_a_drift_that_stays_does_not_hide_what_comes_after_it():
    """Each column is told once, and those that join within an hour together."""
    watched = healthy()
    watched.blocks(120, carrier=with_new)
    assert {event.action for event in watched.events} == {Action.OPENED}
    watched.blocks(10, carrier=with_new, x=lambda _, rows: np.full(rows, np.nan))
    watched.blocks(300, carrier=with_new, x=lambda _, rows: np.full(rows, np.nan), y=shifted(2.0))
    watched.reload()
    watched.blocks(60, carrier=with_new, y=shifted(2.0))
    joins = [e for e in watched.events if e.action is Action.JOINED and e.reference is Reference.TRAIN]
    assert [[found.name for found in event.findings] for event in joins] == [["x"], ["y"]]
    (first, second), (opened,) = (
        joins,
        [e for e in watched.events if e.action is Action.OPENED and e.reference is Reference.TRAIN],
    )
    assert first.id == second.id == opened.id
    assert first.why.startswith("x: 100 % missing, 0 % in training, since ")
    assert first.why.endswith("; besides carrier")
    assert len({event.key for event in (opened, first, second)}) == 3
    assert second.at - first.at >= 3600
    assert DriftEvent.from_dict(first.to_dict()) == first


def test_a_day_without_rows_ends_it_in_words():
    watched = healthy()
    watched.until_event(8, x=shifted(-2.0))
    (closed,) = watched.alarm.look(watched.now + 90_000)
    assert closed.why.startswith("x (lower): drift from ")
    assert closed.why.endswith("; no rows came for a day")


def test_a_version_that_is_swapped_away_ends_its_episodes():
    watched = healthy()
    assert watched.alarm.retire(watched.now) == []
    watched.until_event(8, x=shifted(2.0))
    (closed,) = watched.alarm.retire(watched.now + 7)
    assert (closed.action, closed.at, closed.id) == (
        Action.CLOSED,
        watched.now + 7,
        watched.events[0].id,
    )
    assert closed.why.endswith("; version 7 no longer serves")
    assert watched.alarm.retire(watched.now + 9) == []
    assert watched.alarm.episodes() == ()


def test_the_last_eight_are_remembered_in_order_and_over_a_restart():
    watched = healthy()
    for round_ in range(10):
        watched.until_event(8, **{"xy"[round_ % 2]: shifted(2.0)})
        watched.now += 90_000
        watched.events += watched.alarm.look(watched.now)
        watched.blocks(30)
    closed = [event for event in watched.events if event.action is Action.CLOSED]
    assert len(closed) == 10
    watched.reload()
    kept = watched.alarm.ended(watched.now)
    assert [event.id for event in kept] == [event.id for event in closed[-8:]]
    assert [event.at for event in kept] == [event.at for event in closed[-8:]]
    assert [[each.name for each in event.findings] for event in kept] == [["x"], ["y"]] * 4
    assert "2023-" in kept[0].why  # days ago: with its date
    assert kept[-1].why.startswith("y (higher): drift from ")


def test_what_a_silence_ended_is_not_opened_again_by_its_own_rows():
    watched = healthy()
    watched.until_event(8, x=shifted(2.0))
    watched.now += 90_000
    watched.events += watched.alarm.look(watched.now)
    assert watched.blocks(300) == []
    assert watched.until_event(8, x=shifted(2.0)) is not None
    assert watched.events[-1].since > watched.now - 3600


def test_a_state_can_be_taken_up_at_every_block_of_an_episode():
    """One column is calm again while another drifts on."""
    watched = healthy()
    watched.blocks(60, x=shifted(0.8), y=shifted(0.8))
    cleared = 0
    for _ in range(80):
        watched.block(y=shifted(0.8))
        watched.reload()
        cleared += watched.alarm.findings(Reference.TRAIN, watched.now)[1].state is not State.DRIFT
    assert cleared


def test_many_columns_are_counted_and_not_all_named():
    said = ended(
        [(f"c{place}", "unseen") for place in range(12)], MIDNIGHT, MIDNIGHT + 3600, "over", MIDNIGHT
    )
    assert "c7 (unseen) and 4 more: drift from 00:00 to 01:00 UTC (1 h); over" in said


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([("=UA", 0.2, 0.3), ("other", 0.5, 0.2)], "20 % are UA, 30 % in training"),
        ([("=UA", 0.301, 0.3), ("other", 0.5, 0.2)], "50 % are other, 20 % in training"),
        ([("other", 0.5, 0.2)], "50 % are other, 20 % in training"),
        ([("=other", 0.5, 0.2), ("other", 0.1, 0.7)], "50 % are other, 20 % in training"),
    ],
)
def test_a_value_with_a_name_tells_more_than_all_others(cells, said):
    told = why("c", Test.SHAPE, 0.3, (0.0, 0.0), cells, False, Reference.TRAIN, None)
    assert told == f"c: {said}"


def test_learning_tells_how_far_it_is_and_how_long_it_will_take():
    watched = stream()
    told = watched.alarm.progress(Reference.TRAIN, watched.now)
    assert (told.done, told.wanted, told.left) == (0, 500, None)
    for _ in range(20):  # a block in an hour
        watched.block(50, seconds=1800)
        watched.block(50, seconds=1800)
    told = watched.alarm.progress(Reference.TRAIN, watched.now)
    assert (told.done, told.wanted, told.block_rows, told.block_seconds) == (20, 500, 100, 60.0)
    assert told.left == pytest.approx(480 * 3600, rel=0.06)
    live = watched.alarm.progress(Reference.LIVE, watched.now)
    assert (live.done, live.wanted) == (20, 1535)
    watched.blocks(1520, seconds=MINUTE)
    assert watched.alarm.progress(Reference.TRAIN, watched.now) is None
    assert watched.alarm.progress(Reference.LIVE, watched.now) is None
    assert watched.alarm.state(Reference.LIVE, watched.now) is not State.INSUFFICIENT


def test_before_the_first_block_the_rows_that_came_tell_the_pace():
    watched = stream()
    watched.block(10, seconds=600)
    told = watched.alarm.progress(Reference.TRAIN, watched.now)
    assert (told.done, told.left) == (0, pytest.approx(500 * 6000))


def test_nothing_is_learnt_of_no_columns():
    assert Stream().alarm.progress(Reference.TRAIN, MIDNIGHT) is None


def test_what_is_wanting_for_a_verdict_is_said_of_each_column():
    watched = Stream(normal("x"), normal("y", rows=10), numbers("z", [1.0, 2.0] * 30))
    watched.blocks(5)
    found = {each.name: each for each in watched.alarm.findings(Reference.TRAIN, watched.now)}
    assert found["x"].why == "x: needs 1,500 rows, has 500"
    assert found["x"].rows == 500
    assert found["y"].why == "y: training has 10 rows, 50 are needed"
    live = watched.alarm.findings(Reference.LIVE, watched.now)
    assert {each.why for each in live} == {f"{name}: nothing to compare with yet" for name in "xyz"}
    watched.blocks(12)
    assert watched.alarm.findings(Reference.TRAIN, watched.now)[0].why == ""


@pytest.mark.parametrize("hours", [3, 12, 30, 60])
def test_all_numbers_of_a_finding_are_of_one_window(hours):
    """Counts, rows, effect, measures: whatever window is shown, it is the same for all."""
    watched = Stream(normal("x"), normal("y", seed=1), category("carrier", CARRIERS))
    watched.blocks(hours * 60)
    watched.blocks(40, x=shifted(0.6))
    for reference in Reference:
        for found in watched.alarm.findings(reference, watched.now):
            assert found.rows == sum(found.current)
            if not found.rows or found.why.endswith("nothing to compare with yet"):
                continue
            assert found.begins < found.ends <= watched.now
            assert found.rows == pytest.approx((found.ends - found.begins) / 60 * 100, rel=0.02, abs=200)
            assert found.measures.missing == found.current[-1] / found.rows
            if found.test is Test.LOCATION:
                assert found.effect == pytest.approx(found.measures.location, abs=1e-9)
            if found.test is Test.SCALE:
                assert found.effect == pytest.approx(found.measures.scale, abs=1e-9)
    if hours >= 12:
        assert watched.alarm.findings(Reference.TRAIN, watched.now)[0].state is State.DRIFT


def test_an_hour_of_noise_lies_far_below_the_threshold_and_a_step_above():
    watched = healthy()
    quiet = [z for moment in watched.alarm.timeline() for z in moment.z.values()]
    assert quiet
    assert max(quiet) < watched.alarm.threshold / 1.2
    watched.blocks(120, x=shifted(0.5))
    assert watched.alarm.timeline()[-2].z["x"] > watched.alarm.threshold


def test_of_a_column_with_a_season_an_hour_tells_shares_alone():
    watched = Stream(normal("x"))
    for block in range(3 * 1440):
        watched.block(x=shifted(0.3 * np.sin(2 * np.pi * block / 1440)))
    assert watched.alarm.state(Reference.TRAIN, watched.now) is not State.DRIFT
    assert all(moment.z.get("x", 0) < watched.alarm.threshold for moment in watched.alarm.timeline())
    (found,) = watched.alarm.findings(Reference.TRAIN, watched.now)
    assert found.value < found.threshold
    assert found.ends - found.begins == 86_400


def test_a_state_of_an_earlier_form_is_refused():
    watched = stream()
    stored = watched.alarm.dump()
    earlier = stored.replace(b"ipmlalarm\x00\x02", b"ipmlalarm\x00\x01", 1)
    with pytest.raises(ValueError, match="another release"):
        Alarm.load(watched.layout, earlier, model="late", version="7")


def test_events_name_no_value_of_a_private_field():
    def most_aa(rng, rows):
        return rng.choice(np.array(["UA", "AA", "B6"], object), rows, p=[0.2, 0.6, 0.2])

    told = {}
    for private in (False, True):
        watched = Stream(normal("x"), replace(category("carrier", CARRIERS), private=private))
        watched.blocks(520)
        watched.blocks(60, carrier=most_aa)
        told[private] = watched.events[0]
    assert [event.why.replace("AA", "category 2") for event in told.values()] == [told[True].why] * 2
    assert "category 2" in told[True].findings[0].labels
    assert not any(name in told[True].to_json() for name in ("=UA", "=AA", "=B6", "AA"))

"""When each device is due."""

from __future__ import annotations

import random

import pytest

from agent.fleet.schedule import Due, Schedule

INTERVAL = 60.0


@pytest.fixture
def schedule() -> Schedule[str]:
    return Schedule(INTERVAL, 200.0, random.Random(1))


def keys(found: list[Due[str]]) -> set[str]:
    return {due.key for due in found}


def only(schedule: Schedule[str], until: float) -> Due[str]:
    (due,) = schedule.pop_due(until)
    return due


@pytest.mark.parametrize("groups", [1, 10])
def test_devices_are_spread_over_the_interval(schedule, groups):
    for number in range(240):
        schedule.add(f"d{number}", f"g{number % groups}", 0.0)
    dues = schedule.pop_due(INTERVAL + 1)
    assert len(dues) == 240
    by_quarter = [sum(due.at // 15 == quarter for due in dues) for quarter in range(4)]
    assert min(by_quarter) > 35  # of 60 where all is even
    assert dues == sorted(dues, key=lambda due: due.at)


def test_nobody_is_due_before_the_deadline_and_each_comes_once(schedule):
    schedule.add("a", "g", 100.0)
    due = only(schedule, 160.0)
    assert 100.0 <= due.at <= 160.0
    assert schedule.pop_due(1e9) == []
    schedule.again(due, due.at + 1)
    assert schedule.pop_due(due.at + INTERVAL - 0.001) == []
    assert only(schedule, due.at + INTERVAL).at == due.at + INTERVAL


@pytest.mark.parametrize("late_s", [0.0, 1.0, 59.9])
def test_the_phase_is_kept_however_late_the_poll(schedule, late_s):
    schedule.add("a", "g", 0.0)
    first = due = only(schedule, INTERVAL)
    for number in range(1, 6):
        schedule.again(due, due.at + late_s)
        due = only(schedule, due.at + 2 * INTERVAL)
        assert due.at == pytest.approx(first.at + number * INTERVAL)
    assert schedule.skipped == 0


def test_missed_deadlines_are_skipped_and_counted(schedule):
    schedule.add("a", "g", 0.0)
    due = only(schedule, INTERVAL)
    now = due.at + 3.5 * INTERVAL
    schedule.again(due, now)
    assert schedule.skipped == 3
    assert schedule.pop_due(now) == []
    assert only(schedule, now + INTERVAL).at == pytest.approx(due.at + 4 * INTERVAL)


def test_who_fails_is_left_alone_for_as_long_as_told(schedule):
    schedule.add("a", "g", 0.0)
    due = only(schedule, INTERVAL)
    schedule.again(due, 70.0, wait_s=600.0)
    assert schedule.pop_due(669.9) == []
    assert only(schedule, 670.0).at == 670.0
    assert schedule.skipped == 0


def test_a_device_left_alone_for_long_does_not_hold_up_its_group(schedule):
    schedule.add("bad", "g", 0.0)
    schedule.add("good", "g", 0.0)
    dues = {due.key: due for due in schedule.pop_due(INTERVAL + 1)}
    schedule.again(dues["bad"], 61.0, wait_s=600.0)
    schedule.again(dues["good"], 61.0)
    assert only(schedule, 200.0).at == pytest.approx(dues["good"].at + INTERVAL)


def test_removed_devices_are_not_due(schedule):
    schedule.add("a", "g", 0.0)
    schedule.add("b", "g", 0.0)
    schedule.remove("a")
    schedule.remove("nobody")
    assert ("a" in schedule, "b" in schedule, len(schedule)) == (False, True, 1)
    assert keys(schedule.pop_due(INTERVAL + 1)) == {"b"}


def test_again_for_a_removed_device_is_ignored(schedule):
    schedule.add("a", "g", 0.0)
    due = only(schedule, INTERVAL)
    schedule.remove("a")
    schedule.again(due, INTERVAL)
    schedule.again(due, INTERVAL, wait_s=1.0)
    assert schedule.pop_due(1e9) == []
    assert len(schedule) == 0


def test_a_device_that_was_removed_and_added_again_is_due_once(schedule):
    schedule.add("a", "g", 0.0)
    due = only(schedule, INTERVAL)
    schedule.remove("a")
    schedule.add("a", "h", 100.0)
    schedule.again(due, 100.0)  # the poll of before comes to its end
    assert len(schedule.pop_due(1e6)) == 1


@pytest.fixture
def eager() -> Schedule[str]:
    """A schedule by which every device would be due at once."""
    rng = random.Random()
    rng.random = lambda: 0.0  # type: ignore[method-assign]
    return Schedule(INTERVAL, 2.0, rng)


def test_the_gap_holds_also_towards_those_that_have_come(eager):
    eager.add("a", "g", 10.0)
    assert only(eager, 10.0).at == 10.0
    eager.add("b", "g", 10.0)
    eager.add("c", "g", 10.0)
    eager.add("d", "other", 10.0)
    assert [(due.key, due.at) for due in eager.pop_due(99.0)] == [
        ("d", 10.0),
        ("b", 10.5),
        ("c", 11.0),
    ]


def test_the_place_of_a_removed_device_is_free_again(eager):
    for key in ("a", "b"):
        eager.add(key, "g", 10.0)
    eager.remove("a")
    eager.add("c", "g", 10.0)
    assert [(due.key, due.at) for due in eager.pop_due(99.0)] == [("c", 10.0), ("b", 10.5)]


def test_added_twice_is_due_once(schedule):
    schedule.add("a", "g", 0.0)
    schedule.add("a", "g", 0.0)
    assert len(schedule) == 1
    assert len(schedule.pop_due(1e6)) == 1

"""Effects that were proved and are gone later: told once, and only where a reading shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.command.drift import Drift
from drivers.actions import Check, Expectation, Relation, Watched
from drivers.model import Kind, MinerReading, State

ONE, TWO = "asic-1", "asic-2"


class Told:
    """Keeps what it is told, and watches for it."""

    def __init__(self) -> None:
        self.undone: list[tuple[str, str]] = []
        self.drift = Drift(lambda device_id, verb: self.undone.append((device_id, verb)))

    def see(self, state: State = State.MINING, device_id: str = ONE, **values: float) -> None:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        reading = MinerReading(
            device_id=device_id, kind=Kind.ASIC, taken_at=at, state=state, **values
        )
        self.drift.observe(device_id, reading)


@pytest.fixture
def told() -> Told:
    return Told()


def wanted(*any_of: Check, watched: Watched = Watched.READING) -> Expectation:
    groups = tuple((check,) for check in any_of)
    return Expectation(any_of=groups, look_after_s=1.0, until_s=60.0, watched=watched)


ASLEEP = wanted(Check("state", Relation.EQUALS, State.SLEEPING))
LIMITED = wanted(Check("power_limit_w", Relation.AT_MOST, 2000.0))


@pytest.mark.parametrize(
    ("state", "undone"),
    [
        (State.SLEEPING, False),
        (State.MINING, True),
        (State.IDLE, True),
        (State.FAULT, True),
        (State.STARTING, False),
        (State.UNKNOWN, False),
        (State.UNREACHABLE, False),
    ],
)
def test_what_a_reading_says_of_a_machine_that_was_put_to_sleep(told, state, undone) -> None:
    told.drift.hold(ONE, "sleep", "mining.pause", ASLEEP)
    told.see(state)
    assert told.undone == ([(ONE, "mining.pause")] if undone else [])


@pytest.mark.parametrize(
    ("values", "undone"),
    [({"power_limit_w": 1500.0}, False), ({"power_limit_w": 3250.0}, True), ({}, False)],
)
def test_what_is_missing_is_not_gone(told, values, undone) -> None:
    told.drift.hold(ONE, "power", "power.limit", LIMITED)
    told.see(**values)
    assert bool(told.undone) is undone


def test_it_is_told_once_until_it_was_proved_again(told) -> None:
    told.drift.hold(ONE, "sleep", "mining.pause", ASLEEP)
    for _ in range(3):
        told.see(State.MINING)
    assert told.undone == [(ONE, "mining.pause")]
    told.drift.hold(ONE, "sleep", "mining.pause", ASLEEP)
    told.see(State.MINING)
    assert len(told.undone) == 2


def test_what_is_no_longer_wanted_is_not_missed(told) -> None:
    told.drift.hold(ONE, "sleep", "mining.pause", ASLEEP)
    told.drift.release(ONE, "sleep")
    told.see(State.MINING)
    assert told.undone == []


def test_a_later_effect_takes_the_place_of_an_earlier_one_of_its_aspect(told) -> None:
    awake = wanted(Check("state", Relation.EQUALS, State.MINING))
    told.drift.hold(ONE, "sleep", "mining.pause", ASLEEP)
    told.drift.hold(ONE, "sleep", "mining.resume", awake)
    told.see(State.MINING)
    assert told.undone == []
    told.see(State.SLEEPING)
    assert told.undone == [(ONE, "mining.resume")]


def test_aspects_and_devices_are_held_apart(told) -> None:
    told.drift.hold(ONE, "sleep", "mining.pause", ASLEEP)
    told.drift.hold(ONE, "power", "power.limit", LIMITED)
    told.drift.hold(TWO, "sleep", "mining.pause", ASLEEP)
    told.drift.release(TWO, "power")
    told.see(State.SLEEPING, power_limit_w=3250.0)
    assert told.undone == [(ONE, "power.limit")]
    told.see(State.MINING, TWO)
    assert told.undone[1:] == [(TWO, "mining.pause")]
    told.see(State.MINING)
    assert told.undone[2:] == [(ONE, "mining.pause")]


def test_one_reading_may_show_that_all_is_gone(told) -> None:
    told.drift.hold(ONE, "sleep", "mining.pause", ASLEEP)
    told.drift.hold(ONE, "power", "power.limit", LIMITED)
    told.see(State.MINING, power_limit_w=3250.0)
    assert told.undone == [(ONE, "mining.pause"), (ONE, "power.limit")]


@pytest.mark.parametrize(
    "once",
    [
        wanted(Check("uptime_s", Relation.BELOW_BEFORE)),
        wanted(Check("power_w", Relation.AT_MOST_OF_BEFORE, 0.9)),
        wanted(ASLEEP.any_of[0][0], Check("uptime_s", Relation.BELOW_BEFORE)),
        wanted(Check("hostname", Relation.EQUALS, "b7"), watched=Watched.IDENTITY),
    ],
)
def test_what_shows_only_once_is_not_missed_later(told, once) -> None:
    told.drift.hold(ONE, "sleep", "any", once)
    told.see(State.MINING, uptime_s=5.0, power_w=3000.0)
    assert told.undone == []


def test_nobody_is_held_to_what_was_never_proved(told) -> None:
    told.drift.release(ONE, "sleep")
    told.see(State.MINING)
    assert told.undone == []

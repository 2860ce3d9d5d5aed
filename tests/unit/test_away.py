"""When the broker stays away: nothing, or sleep; once for each outage."""

from __future__ import annotations

from typing import Any

import pytest

from agent.command.away import WHO, Away
from agent.config.schema import Away as Settings
from agent.errors import AgentError
from tests.fakes import FakeClock


class Desk:
    """Notes what is ordered."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.refuses = False

    def order(self, verb: str, params: dict[str, Any], target: str, who: str) -> Any:
        if self.refuses:
            raise AgentError("observe only")
        return (verb, params, target, who)

    def begin(self, order: Any) -> Any:
        self.begun.append(order)


class House:
    def __init__(self, order: str) -> None:
        self.clock, self.desk, self.connected = FakeClock(), Desk(), True
        settings = Settings(order=order, after_s=60)  # type: ignore[arg-type]
        self.away = Away(settings, self.desk, self.clock, lambda: self.connected)

    def pass_s(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.away.look()


def test_by_default_what_was_ordered_last_is_held() -> None:
    assert Settings().order == "hold"
    house = House("hold")
    house.connected = False
    house.pass_s(1000)
    assert not house.desk.begun


def test_the_miners_sleep_once_the_outage_has_lasted() -> None:
    house = House("pause")
    house.connected = False
    house.pass_s(58)
    assert not house.desk.begun
    house.pass_s(1000)
    assert house.desk.begun == [("mining.pause", {}, "kind=asic", WHO)]


def test_each_outage_counts_anew() -> None:
    house = House("pause")
    for _ in range(3):
        house.connected = False
        house.pass_s(50)
        house.connected = True
        house.pass_s(1)
    assert not house.desk.begun
    for _ in range(2):
        house.connected = False
        house.pass_s(70)
        house.connected = True
        house.pass_s(1)
    assert len(house.desk.begun) == 2


def test_a_node_that_only_observes_says_that_it_cannot(caplog: pytest.LogCaptureFixture) -> None:
    house = House("pause")
    house.desk.refuses, house.connected = True, False
    house.pass_s(100)
    assert caplog.text.count("observe only") == 1

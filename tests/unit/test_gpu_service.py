"""A service that is away is told once, after a while, and when it is back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from agent.fleet.events import Event
from agent.fleet.gpu_service import GRACE_S, ServiceWatch
from drivers.api_gpu import Verdict
from drivers.errors import BadReply, Unreachable
from drivers.model import Fault, State
from tests.fakes import FakeClock

AWAY = Verdict(State.UNREACHABLE, Fault("service", "away"), everywhere=True)


@dataclass
class Watched:
    clock: FakeClock = field(default_factory=FakeClock)
    events: list[Event] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    gpus: int = 4

    def __post_init__(self) -> None:
        self.watch = ServiceWatch(
            self.clock, self.events.append, self.counts.append, lambda _verdict: self.gpus
        )

    def fails(self, error: Exception | None = None) -> bool:
        return self.watch.failed(error or Unreachable("away"), AWAY)  # type: ignore[arg-type]

    def names(self) -> list[str]:
        return [event.name for event in self.events]


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_moment_is_no_outage(watched: Watched) -> None:
    assert not watched.fails()
    watched.clock.advance(GRACE_S - 1)
    assert not watched.fails()
    watched.watch.answered()
    watched.clock.advance(2)
    assert not watched.fails()
    assert (watched.events, watched.counts) == ([], [])


def test_an_outage_is_told_once_for_all(watched: Watched) -> None:
    watched.fails()
    watched.clock.advance(GRACE_S)
    assert watched.fails()
    assert watched.fails()
    (event,) = watched.events
    assert event.name == "gpu.unserved"
    assert event.details == {"error": "Unreachable", "devices": 4}
    assert watched.counts[-1] == 4
    watched.watch.answered()
    watched.watch.answered()
    assert watched.names() == ["gpu.unserved", "gpu.served"]
    assert watched.counts[-1] == 0


def test_another_reason_is_told_as_well(watched: Watched) -> None:
    watched.fails()
    watched.clock.advance(GRACE_S)
    watched.fails()
    watched.fails(BadReply("an old version"))
    assert [event.details["error"] for event in watched.events] == ["Unreachable", "BadReply"]


def test_a_host_without_gpus_misses_nothing(watched: Watched) -> None:
    watched.gpus = 0
    watched.fails()
    watched.clock.advance(GRACE_S)
    assert watched.fails()
    assert (watched.events, watched.counts) == ([], [0])

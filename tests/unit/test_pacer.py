"""A stream of actions held to a rate."""

from __future__ import annotations

import itertools

import pytest

from agent.fleet import pacer as module
from agent.fleet.pacer import Pacer
from tests.fakes import FakeClock


@pytest.fixture
def clock(monkeypatch) -> FakeClock:
    """A clock that sleeping turns."""
    clock = FakeClock()

    class Loop:
        @staticmethod
        async def sleep(seconds: float) -> None:
            clock.advance(seconds)

    monkeypatch.setattr(module, "asyncio", Loop)
    return clock


async def turns(pacer: Pacer, clock: FakeClock, groups: list[str]) -> list[float]:
    found = []
    for group in groups:
        await pacer.turn(group)
        found.append(clock.monotonic())
    return found


async def test_the_rate_is_kept_over_many_turns(clock):
    pacer = Pacer(200.0, clock)
    times = await turns(pacer, clock, [""] * 1000)
    assert times[-1] - times[0] == pytest.approx(999 / 200, abs=0.02)


async def test_the_first_turn_does_not_wait(clock):
    start = clock.monotonic()
    await Pacer(1.0, clock).turn()
    assert clock.monotonic() == start


async def test_a_slow_rate_spaces_every_turn(clock):
    times = await turns(Pacer(2.0, clock), clock, [""] * 5)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps == pytest.approx([0.5] * 4, abs=0.006)


async def test_unused_time_is_not_saved_up(clock):
    pacer = Pacer(10.0, clock)
    await pacer.turn()
    clock.advance(3600.0)
    times = await turns(pacer, clock, [""] * 10)
    assert times[-1] - times[0] == pytest.approx(0.9, abs=0.02)


async def test_each_group_has_a_rate_of_its_own_besides(clock):
    pacer = Pacer(1000.0, clock, 10.0)
    times = await turns(pacer, clock, ["a", "b"] * 10)
    for first in (0, 1):
        gaps = [after - before for before, after in itertools.pairwise(times[first::2])]
        assert min(gaps) > 0.09
    assert times[-1] - times[0] == pytest.approx(0.9, abs=0.05)  # both groups side by side

"""What shedding would have to wait for is had beforehand, and asked for only when it is due."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from agent.command.keeper import RETRY_S, Keeper
from agent.config.locations import NOWHERE
from agent.fleet.inventory import Device, Inventory
from agent.fleet.turn import Rank
from drivers.api import Endpoint
from drivers.errors import Unreachable
from drivers.mock import MockMiner, MockReader, mock_identity
from drivers.probe import Finding
from tests.fakes import FakeClock, kept, settled_loop

AGAIN_S = 900.0


class Tokened(MockMiner):
    """A miner whose driver needs a token before it can act."""

    renewals = 0

    async def keep_ready(self) -> float:
        await self.script.called("keep_ready")
        self.renewals += 1
        return AGAIN_S


class Rig:
    """A keeper over a few devices, all read once."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.inventory = Inventory(lambda *_: NOWHERE)
        self.forbidden: set[str] = set()
        self.keeper = Keeper(
            self.inventory, self.clock, lambda device: device.id not in self.forbidden
        )

    async def add(self, number: int, kind: type[MockReader] = Tokened) -> tuple[MockReader, Device]:
        miner = kind(mock_identity(number), self.clock)
        finding = Finding(Endpoint(f"10.0.0.{number}"), "mock", miner, miner.identity, ())
        device = self.inventory.settle(finding, self.clock.now()).device
        device.last = (await miner.read()).reading
        miner.script.calls.clear()
        return miner, device

    async def rounds(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        await settled_loop()


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr("agent.command.keeper.ROUND_S", 0)
    monkeypatch.setattr("agent.command.keeper.PER_SECOND", 1e6)
    rig = Rig()
    async with kept(rig.keeper.run()):
        yield rig


async def test_each_is_asked_once_and_again_when_it_is_due(rig) -> None:
    miners = [(await rig.add(number))[0] for number in (1, 2, 3)]
    await rig.rounds()
    assert [miner.renewals for miner in miners] == [1, 1, 1]
    await rig.rounds(AGAIN_S - 1.0)
    assert [miner.renewals for miner in miners] == [1, 1, 1]
    await rig.rounds(1.0)
    assert [miner.renewals for miner in miners] == [2, 2, 2]


@pytest.mark.parametrize("kind", [MockReader, MockMiner])
async def test_who_needs_nothing_is_not_asked(rig, kind) -> None:
    miner, _ = await rig.add(1, kind)
    await rig.rounds()
    assert miner.script.calls == []


async def test_where_nothing_may_be_shed_nothing_is_written(rig) -> None:
    rig.forbidden.add(mock_identity(1).id)
    miner, _ = await rig.add(1)
    await rig.rounds()
    assert miner.script.calls == []
    rig.forbidden.clear()
    await rig.rounds()
    assert miner.renewals == 1


async def test_who_was_never_read_is_not_asked_yet(rig) -> None:
    miner, device = await rig.add(1)
    reading, device.last = device.last, None
    await rig.rounds()
    assert miner.script.calls == []
    device.last = reading
    await rig.rounds()
    assert miner.renewals == 1


@pytest.mark.parametrize("error", [Unreachable("gone"), KeyError("a fault of the driver's own")])
async def test_who_fails_is_asked_again_after_a_while_and_holds_up_nobody(rig, error) -> None:
    failing, _ = await rig.add(1)
    other, _ = await rig.add(2)
    failing.script.fail_next("keep_ready", error)
    await rig.rounds()
    assert (failing.renewals, other.renewals) == (0, 1)
    await rig.rounds(RETRY_S - 1.0)
    assert failing.script.calls == [("keep_ready",)]
    await rig.rounds(1.0)
    assert failing.renewals == 1


async def test_a_fault_of_the_driver_is_logged(rig, caplog) -> None:
    miner, _ = await rig.add(1)
    miner.script.fail_next("keep_ready", KeyError("oops"))
    with caplog.at_level(logging.ERROR):
        await rig.rounds()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_another_machine_at_the_address_is_asked_at_once(rig) -> None:
    await rig.add(1)
    await rig.rounds()
    miner = Tokened(mock_identity(9), rig.clock)
    finding = Finding(Endpoint("10.0.0.1"), "mock", miner, miner.identity, ())
    rig.inventory.settle(finding, rig.clock.now()).device.last = miner.now
    await rig.rounds()
    assert miner.renewals == 1


async def test_one_at_a_time_at_a_device(rig) -> None:
    miner, device = await rig.add(1)
    async with device.turn.action(Rank.ACTION):
        await rig.rounds()
        assert miner.script.calls == []
    await rig.rounds()
    assert miner.renewals == 1


async def test_shedding_does_not_wait_for_it(rig) -> None:
    miner, device = await rig.add(1)
    miner.script.hold("keep_ready")
    await rig.rounds()
    assert miner.script.calls == [("keep_ready",)]
    async with device.turn.action(Rank.URGENT):
        await miner.pause()
    assert ("pause",) in miner.script.calls

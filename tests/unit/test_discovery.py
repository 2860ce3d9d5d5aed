"""Sweeps over the addresses of a node."""

from __future__ import annotations

import asyncio

import pytest

from agent.config.schema import Discovery as Settings
from agent.fleet.discovery import Discovery
from drivers.api import Endpoint
from drivers.mock import mock_identity
from tests.fakes import Fleet, kept

ADDRESSES = [f"10.0.0.{number}" for number in range(1, 21)]


class Sweeper:
    """A discovery over twenty addresses; a sweep ends, the next begins after a moment."""

    def __init__(self, fleet: Fleet, **settings: float) -> None:
        self.fleet = fleet
        self.swept: list[list[str]] = []
        fast = {"per_second": 1e5, "per_subnet_per_s": 1e5, "sweep_interval_s": 0.01}
        self.discovery = Discovery(
            Settings(**{**fast, **settings}),
            fleet.inventory,
            fleet.registrar,
            fleet.clock,
            self.endpoints,
        )

    def endpoints(self) -> list[Endpoint]:
        self.swept.append(list(self.fleet.world.probes))
        return [Endpoint(address) for address in ADDRESSES]

    async def sweeps(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.discovery.stats.sweeps < count:
                await asyncio.sleep(0.001)


@pytest.fixture
async def fleet(monkeypatch) -> Fleet:
    fleet = Fleet()
    # The pacer's clock stands still: let it never wait.
    monkeypatch.setattr("agent.fleet.discovery.Pacer", lambda *_: Unhurried())
    monkeypatch.setattr("agent.fleet.registrar.probe", fleet.world.probe)
    return fleet


class Unhurried:
    async def turn(self, _group: str) -> None:
        await asyncio.sleep(0)


async def test_every_address_is_asked_and_who_answers_is_entered(fleet):
    fleet.world.put(ADDRESSES[3], 1)
    fleet.world.put(ADDRESSES[7], 2)
    sweeper = Sweeper(fleet)
    async with kept(sweeper.discovery.run()):
        await sweeper.sweeps(1)
        assert sorted(fleet.world.probes) == sorted(ADDRESSES)
        assert fleet.sink.names() == ["device.found"] * 2
        stats = sweeper.discovery.stats
        assert (stats.asked, stats.found) == (20, 2)


async def test_known_devices_are_not_asked_and_newcomers_are_found_later(fleet):
    fleet.world.put(ADDRESSES[3], 1)
    sweeper = Sweeper(fleet)
    async with kept(sweeper.discovery.run()):
        await sweeper.sweeps(1)
        fleet.world.put(ADDRESSES[5], 2)
        await sweeper.sweeps(3)
        assert fleet.world.probes.count(ADDRESSES[3]) == 1
        assert fleet.inventory.by_id(mock_identity(2).id).address == ADDRESSES[5]


async def test_no_more_are_asked_at_once_than_allowed(fleet):
    gates = [
        fleet.world.put(address, n).script.hold("identify")
        for n, address in enumerate(ADDRESSES, 1)
    ]
    sweeper = Sweeper(fleet, concurrency=4)
    async with kept(sweeper.discovery.run()):
        await asyncio.gather(*(gate.reached.wait() for gate in gates[:4]))
        await asyncio.sleep(0.02)  # in which a fifth could be asked
        assert len(fleet.world.probes) == 4
        for gate in gates:
            gate.open()
        await sweeper.sweeps(1)
        assert len(fleet.inventory) == 20


async def test_a_hostile_address_costs_its_own_discovery_alone(fleet, caplog):
    bad = fleet.world.put(ADDRESSES[0], 1)
    bad.script.fail_always("identify", RecursionError("nested too deep"))
    fleet.world.put(ADDRESSES[19], 2)
    sweeper = Sweeper(fleet)
    async with kept(sweeper.discovery.run()):
        await sweeper.sweeps(2)
        assert [device.address for device in fleet.inventory] == [ADDRESSES[19]]
        assert ADDRESSES[0] in caplog.text

"""Machines that are swapped, moved and rebooted between two polls, seen from the broker.

The simulator runs in this process, so that a test can swap a machine at a chosen moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from drivers.sim import Pace, SimServer, Site
from tests.broker import Broker
from tests.harness import Node, Subscriber

NETWORK = "127.21.0.0/16"
STOCK = {"Antminer S19": 1.0}


class Scene:
    """A small site, the agent that reads it, and a subscriber."""

    def __init__(self, server: SimServer, node: Node, subscriber: Subscriber) -> None:
        self.server = server
        self.site = server.site
        self.node = node
        self.subscriber = subscriber

    async def wait_for(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        return await asyncio.to_thread(self.subscriber.wait_for, condition, timeout_s)

    def id_at(self, address: str) -> str:
        machine = self.site.at(address)
        assert machine
        return f"asic-{machine.mac.lower()}"

    async def readings_of(self, device_id: str, more: int) -> None:
        """Wait for some more readings under an id."""
        before = len(self.subscriber.readings(device_id))
        await self.wait_for(lambda: len(self.subscriber.readings(device_id)) >= before + more)


@asynccontextmanager
async def scene(tmp_path: Path, broker: Broker, count: int = 4) -> AsyncIterator[Scene]:
    site = Site(3, NETWORK, count, mix=STOCK)
    server = SimServer(site, rpc_port=0, web_port=0, pace=Pace(delay_scale=0))
    async with server:
        node = Node(
            tmp_path,
            broker_port=broker.port,
            addresses="127.21.0.1-127.21.0.8",
            rpc_port=server.rpc_port,
            web_port=server.web_port,
            sweep_s=1,
        )
        with Subscriber(broker.port) as subscriber:
            await asyncio.to_thread(node.start)
            try:
                await asyncio.to_thread(node.await_devices, count)
                yield Scene(server, node, subscriber)
            finally:
                assert node.process
                await asyncio.to_thread(node.process.stop)


async def test_a_swapped_machine_is_replaced_and_never_speaks_for_the_old_one(
    tmp_path: Path, broker: Broker
) -> None:
    async with scene(tmp_path, broker) as here:
        old_id = here.id_at("127.21.0.1")
        await here.readings_of(old_id, 2)
        old_users = {pool["user"] for pool in _last(here, old_id)["pools"]}
        here.site.swap("127.21.0.1")
        new_id = here.id_at("127.21.0.1")
        assert new_id != old_id
        await here.wait_for(lambda: here.subscriber.events("device.replaced"))
        await here.readings_of(new_id, 3)
        event = here.subscriber.events("device.replaced")[0]
        assert event["device_id"] == new_id
        assert event["details"]["former_id"] == old_id
        under_old = here.subscriber.readings(old_id)
        assert under_old[-1]["state"] == "unreachable"
        for reading in under_old[:-1]:
            assert {pool["user"] for pool in reading["pools"]} <= old_users
        _assert_uptimes_go_on(under_old[:-1])


async def test_a_moved_machine_keeps_its_id(tmp_path: Path, broker: Broker) -> None:
    async with scene(tmp_path, broker) as here:
        moved_id = here.id_at("127.21.0.2")
        here.site.move("127.21.0.2", "127.21.0.7")
        await here.wait_for(lambda: here.subscriber.events("device.moved"))
        event = here.subscriber.events("device.moved")[0]
        assert event["device_id"] == moved_id
        assert event["address"] == "127.21.0.7"
        await here.readings_of(moved_id, 3)
        assert here.node.status()["devices"] == 4


async def test_two_machines_that_change_places(tmp_path: Path, broker: Broker) -> None:
    async with scene(tmp_path, broker) as here:
        one, other = here.id_at("127.21.0.1"), here.id_at("127.21.0.2")
        here.site.move("127.21.0.1", "127.21.0.8")
        here.site.move("127.21.0.2", "127.21.0.1")
        here.site.move("127.21.0.8", "127.21.0.2")
        await here.wait_for(lambda: len(here.subscriber.events("device.moved")) >= 2)
        for device_id in (one, other):
            await here.readings_of(device_id, 3)
            readings = here.subscriber.readings(device_id)
            mining = [reading for reading in readings if reading["state"] == "mining"]
            assert len({reading["pools"][0]["user"] for reading in mining}) == 1
            _assert_uptimes_go_on(mining)


async def test_a_rebooted_machine_stays_itself(tmp_path: Path, broker: Broker) -> None:
    async with scene(tmp_path, broker) as here:
        device_id = here.id_at("127.21.0.3")
        here.site.reboot("127.21.0.3")
        await here.readings_of(device_id, 1)
        await here.wait_for(lambda: (_last(here, device_id)["uptime_s"] or 1e9) < 60)
        await here.readings_of(device_id, 2)
        assert not here.subscriber.events("device.replaced")
        assert not here.subscriber.events("device.moved")


def _last(here: Scene, device_id: str) -> dict[str, Any]:
    return here.subscriber.readings(device_id)[-1]


def _assert_uptimes_go_on(readings: list[dict[str, Any]]) -> None:
    uptimes = [reading["uptime_s"] for reading in readings]
    assert uptimes == sorted(uptimes)
    assert uptimes[-1] - uptimes[0] < 120

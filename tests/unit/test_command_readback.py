"""After a crash devices are looked at until they show what was ordered; nothing is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from agent.command import readback as module
from agent.command.effects import Verdict
from agent.command.orders import Result
from agent.command.readback import LOST, SEEN, SILENCE_S, ReadBack
from agent.command.verbs import VERBS, Verb
from agent.config.locations import NOWHERE
from agent.fleet.inventory import Device
from drivers.api import Endpoint
from drivers.mock import MockMiner, mock_identity
from drivers.model import State
from drivers.probe import Finding
from tests.fakes import FakeClock, settled_loop


class Eyes:
    """Reads a miner whenever it is looked at, unless it is silent."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.looks: list[str] = []
        self.silent = False
        self.at_once = 0
        self.most_at_once = 0

    async def glance(self, device: Device) -> None:
        raise AssertionError("what is kept from before proves nothing")

    async def look(self, device: Device) -> None:
        self.looks.append(device.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if not self.silent:
            device.last = (await device.driver.read()).reading


class Rig:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.eyes = Eyes(self.clock)
        self.readback = ReadBack(self.eyes, self.clock)
        self.miner, self.device = self.add(1)

    def add(self, number: int) -> tuple[MockMiner, Device]:
        miner = MockMiner(mock_identity(number), self.clock)
        finding = Finding(Endpoint(f"10.0.0.{number}"), "mock", miner, miner.identity, ())
        return miner, Device(finding, NOWHERE, self.clock.now())

    def settle(
        self, verb: str, ago_s: float = 1.0, device: Device | None = None, **params: Any
    ) -> asyncio.Task[Result]:
        """Begin to look back at an order that was marked so many seconds ago."""
        row: Verb = VERBS[verb]
        made = msgspec.convert(params, row.params)
        work = self.readback.settle(device or self.device, row, made, self.clock.now() - ago_s)
        return asyncio.create_task(work)


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture(autouse=True)
def _no_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_GAP_S", 0.0)


async def ended(task: asyncio.Task[Result]) -> Result:
    async with asyncio.timeout(5):
        return await task


@pytest.mark.parametrize(
    ("verb", "params", "shows"),
    [
        ("mining.pause", {}, {"state": State.SLEEPING, "hashrate_ths": 0.0}),
        ("mining.resume", {}, {"state": State.STARTING}),
        ("device.reboot", {}, {"uptime_s": 5.0}),
        ("mining.restart", {}, {"uptime_s": 5.0}),
        ("power.limit", {"watts": 2000.4}, {"power_limit_w": 2000.0}),
        ("power.throttle", {"percent": 60}, {"throttle_percent": 60.0}),
        ("power.mode", {"mode": "eco"}, {"mode": "Eco"}),
        ("power.preset", {"preset": "2500W"}, {"preset": "2500W"}),
        ("locate", {"on": True}, {"locating": True}),
    ],
)
async def test_what_a_later_reading_shows_is_verified(rig, verb, params, shows) -> None:
    if verb == "mining.resume":
        rig.miner.show(state=State.SLEEPING)
    task = rig.settle(verb, 30.0, **params)
    await settled_loop()
    assert not task.done()
    rig.clock.advance(10.0)
    rig.miner.show(**shows)
    result = await ended(task)
    assert (result.verdict, result.words) == (Verdict.VERIFIED_UNANSWERED, SEEN)
    assert result.after is not None
    assert result.after.at == datetime.fromtimestamp(rig.clock.now(), UTC)
    assert {name for name, *_ in rig.miner.script.calls} == {"read"}  # nothing is sent


async def test_what_no_reading_shows_in_its_time_is_interrupted(rig) -> None:
    task = rig.settle("mining.pause")
    await settled_loop()
    assert not task.done()
    rig.clock.advance(VERBS["mining.pause"].settles_s)
    result = await ended(task)
    assert result.verdict is Verdict.INTERRUPTED
    assert result.words == f"{LOST}; its readings show another state"
    assert result.after is not None
    assert result.after.state is State.MINING


async def test_where_the_time_is_over_one_look_decides(rig) -> None:
    task = rig.settle("mining.pause", 3600.0)
    assert (await ended(task)).verdict is Verdict.INTERRUPTED
    assert rig.eyes.looks == [rig.device.id]
    rig.clock.advance(1.0)
    rig.miner.show(state=State.SLEEPING, hashrate_ths=0.0)
    assert (await ended(rig.settle("mining.pause", 3600.0))).verdict is Verdict.VERIFIED_UNANSWERED


async def test_a_silent_device_is_waited_for_and_not_for_ever(rig) -> None:
    rig.eyes.silent = True
    task = rig.settle("mining.pause", 3600.0)
    await settled_loop()
    rig.clock.advance(SILENCE_S - 1)
    await settled_loop()
    assert not task.done()
    rig.clock.advance(1)
    assert (await ended(task)).words == f"{LOST}; it has not answered since"


async def test_a_reading_that_says_nothing_of_it_claims_nothing(rig) -> None:
    rig.miner.show(power_limit_w=None)
    task = rig.settle("power.limit", watts=2000)
    rig.clock.advance(VERBS["power.limit"].settles_s)
    assert (await ended(task)).words == f"{LOST}; its readings do not show it"


async def test_what_was_read_before_the_order_shows_nothing(rig) -> None:
    rig.miner.show(state=State.SLEEPING, hashrate_ths=0.0)
    rig.device.last = (await rig.miner.read()).reading
    rig.miner.show(state=State.MINING)
    rig.clock.advance(10.0)
    task = rig.settle("mining.pause", 5.0)
    await settled_loop()
    assert not task.done()
    rig.clock.advance(VERBS["mining.pause"].settles_s)
    assert (await ended(task)).verdict is Verdict.INTERRUPTED


async def test_a_poll_that_shows_it_spares_the_look(rig) -> None:
    rig.miner.show(state=State.SLEEPING, hashrate_ths=0.0)
    rig.device.last = (await rig.miner.read()).reading
    assert (await ended(rig.settle("mining.pause"))).verdict is Verdict.VERIFIED_UNANSWERED
    assert rig.eyes.looks == []


@pytest.mark.parametrize("verb", ["hostname.set", "device.factory_reset"])
async def test_what_no_reading_can_show_is_not_looked_for(rig, verb) -> None:
    params = {"hostname": "b7-12"} if verb == "hostname.set" else {}
    result = await ended(rig.settle(verb, **params))
    assert (result.verdict, result.words) == (
        Verdict.INTERRUPTED,
        f"{LOST}; no reading can show it",
    )
    assert rig.eyes.looks == []


async def test_a_site_is_looked_at_a_few_at_a_time(rig) -> None:
    devices = [rig.add(number)[1] for number in range(2, 202)]
    tasks = [rig.settle("mining.pause", 3600.0, device) for device in devices]
    results = [await ended(task) for task in tasks]
    assert {each.device_id for each in results} == {device.id for device in devices}
    assert rig.eyes.most_at_once == module.LOOKS_AT_ONCE
    assert len(rig.eyes.looks) == 200


async def test_looks_come_further_and_further_apart(rig, monkeypatch) -> None:
    monkeypatch.setattr(module, "FIRST_GAP_S", 2.0)
    gaps: list[float] = []

    async def sleep(seconds: float, _sleep: Callable[..., Any] = asyncio.sleep) -> None:
        gaps.append(seconds)
        rig.clock.advance(seconds)
        await _sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    await ended(rig.settle("mining.pause"))
    gaps = [each for each in gaps if each]
    assert gaps[:5] == [2.0, 4.0, 8.0, 16.0, 30.0]
    assert set(gaps[5:]) == {30.0}

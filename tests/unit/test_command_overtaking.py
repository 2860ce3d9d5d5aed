"""An order to shed overtakes what waits for the device, and what it overtook never comes after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent.command.actor import Actor
from agent.command.dispatcher import Dispatcher
from agent.command.effects import Verdict
from agent.command.orders import Job, Objection, Order, Result
from agent.command.params import Params
from agent.command.prover import Prover
from agent.command.starts import Starts
from agent.command.verbs import VERBS
from agent.command.work import Work
from agent.fleet.inventory import Device
from agent.fleet.turn import Preempted
from drivers.actions import Expectation
from drivers.api import Endpoint
from drivers.errors import OutOfRange
from drivers.mock import MockMiner, mock_identity
from drivers.model import State
from drivers.probe import Finding
from tests.fakes import Fleet, kept, settled_loop


class Rules:
    """Everything is allowed until the test forbids it."""

    def __init__(self) -> None:
        self.forbidden: Objection | None = None

    def objection(self, _device: Device, _order: Order) -> Objection | None:
        return self.forbidden

    def start_group(self, _device: Device) -> str:
        return "group"

    def sending(self, device: Device, order: Order) -> None:
        pass

    def proved(self, device: Device, order: Order, wanted: Expectation) -> None:
        pass

    def ended(self, order: Order, device: Device, result: Result) -> None:
        pass

    def finished(self, job: Job) -> None:
        pass


class Rig:
    """One miner that acts, and the dispatcher before it."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        clock = self.fleet.clock
        self.rules = Rules()
        self.miner = MockMiner(mock_identity(1), clock)
        self.prover = Prover(clock, self.fleet.poller, self.fleet.registrar.reidentify)
        self.fleet.poller.observe = self.prover.observe
        self.dispatcher = Dispatcher(
            actor=Actor(self.fleet.poller, clock),
            prover=self.prover,
            starts=Starts[Work](1e6, 1e6),
            rules=self.rules,
            precedence=self.fleet.precedence,
            concurrency=100,
            clock=clock,
        )

    async def enter(self) -> None:
        finding = Finding(Endpoint("10.0.0.1"), "mock", self.miner, self.miner.identity, ())
        settled = self.fleet.inventory.settle(finding, self.fleet.clock.now())
        now = self.fleet.clock.monotonic()
        self.device = self.fleet.registrar._enter(settled, await self.miner.read(), now)
        self.miner.script.calls.clear()

    def order(self, verb: str) -> Job:
        order = Order(id="1", verb=VERBS[verb], params=Params(), who="local:ana")
        return self.dispatcher.submit(order, [self.device])

    async def look(self) -> None:
        """Read the device, as its poll would."""
        self.fleet.poller.accept(self.device, await self.miner.read())
        await settled_loop()

    @property
    def acts(self) -> list[str]:
        return [name for name, *_ in self.miner.script.calls if name not in {"read", "identify"}]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    async with kept(rig.prover.run()), kept(rig.dispatcher.run()):
        await rig.enter()
        yield rig


async def verdict(job: Job) -> Verdict:
    async with asyncio.timeout(10):
        (result,) = [result async for result in job.follow()]
    return result.verdict


async def test_what_waits_for_a_reading_is_not_sent_after_the_pause_that_overtook_it(rig) -> None:
    reading = asyncio.Event()

    async def poll() -> None:
        try:
            async with rig.device.turn:
                reading.set()
                await asyncio.Event().wait()
        except Preempted:
            pass

    async with kept(poll()):
        await reading.wait()
        resume = rig.order("mining.resume")
        await settled_loop()
        pause = rig.order("mining.pause")
        await settled_loop()
    await rig.look()
    assert await verdict(pause) is Verdict.VERIFIED
    assert await verdict(resume) is Verdict.SUPERSEDED
    assert rig.acts == ["pause"]
    assert rig.miner.now.state is State.SLEEPING


async def test_what_reads_before_it_acts_does_not_act_where_a_pause_has_come(rig) -> None:
    gate = rig.miner.script.hold("read")
    resume = rig.order("mining.resume")
    await gate.reached.wait()
    pause = rig.order("mining.pause")
    await settled_loop()
    gate.open()
    await settled_loop()
    await rig.look()
    assert await verdict(resume) is Verdict.SUPERSEDED
    assert await verdict(pause) is Verdict.VERIFIED
    assert rig.acts == ["pause"]


async def test_what_is_being_sent_is_sent_and_the_pause_comes_after_it(rig) -> None:
    gate = rig.miner.script.hold("resume")
    resume = rig.order("mining.resume")
    await gate.reached.wait()
    pause = rig.order("mining.pause")
    await settled_loop()
    gate.open()
    await settled_loop()
    await rig.look()
    assert await verdict(pause) is Verdict.VERIFIED
    assert await verdict(resume) is Verdict.SUPERSEDED
    assert rig.acts == ["resume", "pause"]
    assert rig.miner.now.state is State.SLEEPING


async def test_what_the_driver_refuses_after_it_was_overtaken_was_overtaken(rig) -> None:
    gate = rig.miner.script.hold("resume")
    rig.miner.script.fail_next("resume", OutOfRange("it", "something else"))
    resume = rig.order("mining.resume")
    await gate.reached.wait()
    rig.order("mining.pause")
    await settled_loop()
    gate.open()
    assert await verdict(resume) is Verdict.SUPERSEDED


async def test_what_is_forbidden_while_it_waits_for_the_device_is_not_sent(rig) -> None:
    gate = rig.miner.script.hold("read")
    resume = rig.order("mining.resume")
    await gate.reached.wait()
    rig.rules.forbidden = Objection("locked", "rack=B7 is locked")
    gate.open()
    assert await verdict(resume) is Verdict.REFUSED
    assert rig.acts == []

"""Orders whose sender may call them off: asked before each device, and then sent to nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from agent.command.orders import Held, Job
from agent.fleet.inventory import Device
from drivers.errors import Unreachable
from tests.fakes import settled_loop
from tests.unit.test_command_dispatch import House, house, verdicts

EXPIRED = Held(Verdict.EXPIRED, "not sent: its time was over")
CANCELLED = Held(Verdict.CANCELLED, "not sent: cancelled by ben")
SHUT = Held(Verdict.CANCELLED, "not sent: it cannot be written down")


class Gate:
    """Lets everything pass until a test says otherwise."""

    def __init__(self) -> None:
        self.closed: Held | None = None
        self.refused: Held | None = None
        self.asked: list[str] = []
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.opened.set()

    def held(self, _device: Device) -> Held | None:
        return self.closed

    async def sending(self, device: Device) -> Held | None:
        self.asked.append(device.id)
        self.reached.set()
        await self.opened.wait()
        return self.refused


def begin(place: House, gate: Gate | None, verb: str, target: str = "all", **params: Any) -> Job:
    order = place.control.order(verb, params, target, "key:ops")
    return place.control.begin(msgspec.structs.replace(order, gate=gate))


def acts(place: House) -> list[str]:
    calls = [call for miner in place.miners.values() for call in miner.script.calls]
    return [name for name, *_ in calls if name not in ("read", "identify")]


# --- called off while it waits --------------------------------------------------------------------


async def test_a_thousand_waiting_starts_end_at_once() -> None:
    async with house(1000, starts_per_minute=0.001) as place:
        gate = Gate()
        job = begin(place, gate, "mining.resume")
        await settled_loop()
        dispatcher = place.control.dispatcher
        assert dispatcher.waiting_starts == 999  # the next one is hours away
        gate.closed = CANCELLED
        dispatcher.withdraw(job)
        assert dispatcher.waiting_starts == 0
        await settled_loop()
        results = await place.done(job)
        assert job.verdicts == {Verdict.CANCELLED: 999, Verdict.VERIFIED: 1}
        assert {each.words for each in results if not each.verdict.good} == {CANCELLED.words}
        assert len(acts(place)) == len(gate.asked) == 1
        assert len(dispatcher) == 0


async def test_what_expires_while_it_waits_says_so() -> None:
    async with house(3, starts_per_minute=0.001) as place:
        gate = Gate()
        job = begin(place, gate, "mining.resume")
        await settled_loop()
        gate.closed = EXPIRED
        place.control.dispatcher.withdraw(job)
        assert verdicts(await place.done(job)) == ["expired", "expired", "verified"]


async def test_an_order_without_a_gate_can_be_withdrawn_too() -> None:
    async with house(2, starts_per_minute=0.001) as place:
        job = begin(place, None, "mining.resume")
        await settled_loop()
        place.control.dispatcher.withdraw(job)
        results = await place.done(job)
        assert verdicts(results) == ["cancelled", "verified"]
        assert "withdrawn" in results[0].words


async def test_another_job_waits_on() -> None:
    async with house(2, starts_per_minute=0.001) as place:
        first, second = (begin(place, Gate(), "mining.resume") for _ in range(2))
        await settled_loop()
        place.control.dispatcher.withdraw(first)
        await settled_loop()
        assert len(first.results) == 1  # the other is under way
        assert not second.results


async def test_what_is_called_off_behind_another_lets_nobody_past_that_one() -> None:
    async with house(1, starts_per_minute=0.001) as place:
        (miner,) = place.miners.values()
        miner.lazy = True
        reboot = begin(place, Gate(), "device.reboot")
        await _acted(place, "reboot")  # and not proved yet
        resume, light = (
            begin(place, Gate(), "mining.resume"),
            begin(place, Gate(), "locate", on=True),
        )
        await settled_loop()
        place.control.dispatcher.withdraw(resume)
        assert verdicts(await place.done(resume)) == ["cancelled"]
        assert place.control.dispatcher.waiting_starts == 0
        await settled_loop()
        assert acts(place) == ["reboot"]
        miner.lazy = False
        miner.settle()
        assert verdicts(await place.done(reboot) + await place.done(light)) == ["verified"] * 2
        assert acts(place) == ["reboot", "locate"]


async def _acted(place: House, *names: str) -> None:
    async with asyncio.timeout(5):
        while acts(place) != list(names):
            await asyncio.sleep(0)


async def test_what_is_called_off_while_others_are_admitted_asks_nothing_of_its_device() -> None:
    async with house(2, concurrency=4) as place:  # one place for what does not shed
        first, second = place.miners.values()
        held = first.script.hold("locate")
        gate = Gate()
        job = begin(place, gate, "locate", on=True)
        await held.reached.wait()
        gate.closed = CANCELLED
        place.control.dispatcher.withdraw(job)
        held.open()
        assert verdicts(await place.done(job)) == ["cancelled", "verified"]
        assert second.script.calls == []


async def test_what_waits_for_its_distance_is_called_off_as_well() -> None:
    async with house(2, starts_per_minute=0.001) as place:
        dispatcher = place.control.dispatcher
        for _ in range(2):  # as if others had been let go just before
            dispatcher._starts.spacing.reserve("rack=R0", place.clock.monotonic())
        gate = Gate()
        job = begin(place, gate, "mining.resume", "rack=R0")
        await settled_loop()
        assert dispatcher.waiting_starts == 0
        gate.closed = CANCELLED
        dispatcher.withdraw(job)
        assert verdicts(await place.done(job)) == ["cancelled"]
        assert acts(place) == []


# --- asked before each device ---------------------------------------------------------------------


async def test_what_expires_between_two_devices_reaches_one() -> None:
    async with house(2, concurrency=1) as place:
        gate = Gate()
        for miner in place.miners.values():
            _expire_with(gate, miner)
        results = await place.done(begin(place, gate, "mining.pause"))
        assert verdicts(results) == ["expired", "verified"]
        assert acts(place) == ["pause"]


def _expire_with(gate: Gate, miner: Any) -> None:
    pause = miner.pause

    async def pause_and_expire() -> Any:
        gate.closed = EXPIRED
        return await pause()

    miner.pause = pause_and_expire


@pytest.mark.parametrize("verb", ["mining.pause", "mining.resume", "device.reboot"])
async def test_what_is_over_before_it_begins_asks_nothing_of_a_device(verb: str) -> None:
    async with house(2) as place:
        gate = Gate()
        gate.closed = EXPIRED
        results = await place.done(begin(place, gate, verb))
        assert {(each.verdict, each.words) for each in results} == {EXPIRED[:2]}
        assert not any(miner.script.calls for miner in place.miners.values())
        assert gate.asked == []


@pytest.mark.parametrize("verb", ["mining.pause", "mining.resume"])
async def test_nothing_comes_between_the_mark_and_the_order(verb: str) -> None:
    async with house(1) as place:
        (miner,) = place.miners.values()
        gate = Gate()
        gate.opened.clear()
        job = begin(place, gate, verb)
        await gate.reached.wait()
        before = list(miner.script.calls)
        assert acts(place) == []
        gate.opened.set()
        assert verdicts(await place.done(job)) == ["verified"]
        assert miner.script.calls[len(before)][0] == verb.removeprefix("mining.")


async def test_what_cannot_be_marked_is_not_sent() -> None:
    async with house(1) as place:
        gate = Gate()
        gate.refused = SHUT
        (result,) = await place.done(begin(place, gate, "device.reboot"))
        assert (result.verdict, result.words) == SHUT[:2]
        assert acts(place) == []


async def test_each_try_is_marked_and_a_later_one_may_be_called_off() -> None:
    async with house(1) as place:
        (miner,) = place.miners.values()
        gate = Gate()
        miner.script.fail_always("pause", Unreachable("switch"))
        job = begin(place, gate, "mining.pause")
        await _acted(place, "pause")
        gate.closed = CANCELLED
        (result,) = await place.done(job)
        assert result.verdict is Verdict.CANCELLED
        assert acts(place) == ["pause"]
        assert len(gate.asked) == 1


@pytest.mark.parametrize("how", ["cancelled", "superseded"])
async def test_what_is_called_off_while_it_is_marked_is_not_sent(how: str) -> None:
    async with house(1) as place:
        gate = Gate()
        gate.opened.clear()
        resume = begin(place, gate, "mining.resume")
        await gate.reached.wait()
        if how == "cancelled":
            gate.closed = CANCELLED
            place.control.dispatcher.withdraw(resume)
        else:
            pause = begin(place, None, "mining.pause")
            await settled_loop()
        gate.opened.set()
        assert verdicts(await place.done(resume)) == [how]
        if how == "superseded":
            assert verdicts(await place.done(pause)) == ["verified"]
        assert "resume" not in acts(place)


async def test_what_was_sent_is_followed_to_its_proof() -> None:
    async with house(1) as place:
        (miner,) = place.miners.values()
        miner.lazy = True
        gate = Gate()
        job = begin(place, gate, "mining.pause")
        await _acted(place, "pause")
        gate.closed = CANCELLED
        place.control.dispatcher.withdraw(job)
        await settled_loop()
        assert not job.results
        miner.settle()
        assert verdicts(await place.done(job)) == ["verified"]


async def test_what_a_gate_breaks_breaks_no_other_order() -> None:
    class Broken(Gate):
        def held(self, _device: Device) -> Held | None:
            raise RuntimeError("a bug")

    async with house(1) as place:
        assert verdicts(await place.done(begin(place, Broken(), "mining.pause"))) == ["failed"]
        assert verdicts(await place.do("mining.pause")) == ["verified"]


# --- why this node objects ------------------------------------------------------------------------


async def test_an_objection_names_its_reason() -> None:
    async with house(1) as place:
        (incapable,) = await place.do("power.mode", mode="eco")
        await place.control.lock("all", "wet floor", "local:ana")
        (locked,) = await place.do("device.reboot")
        (done,) = await place.do("mining.pause")
        assert [each.reason for each in (incapable, locked, done)] == ["incapable", "locked", None]
    async with house(1, allow=()) as place:
        (forbidden,) = await place.do("mining.pause")
        assert forbidden.reason == "not_allowed"

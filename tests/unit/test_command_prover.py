"""Waiting for the reading that proves an action: looked for in time, never taken from before."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from agent.command.effects import Verdict
from agent.command.prover import FIRST_LOOK_S, LONGEST_GAP_S, Prover, Shown
from agent.fleet.inventory import Device
from agent.fleet.turn import Preempted
from drivers.actions import Answer, Check, Expectation, Receipt, Relation, Watched
from drivers.errors import Unreachable
from drivers.model import Identity, Kind, MinerReading, State
from tests.devices import device_at
from tests.fakes import FakeClock, kept, settled_loop

LOOK_S, UNTIL_S = 10.0, 120.0
VERB = "mining.pause"
MINING, SLEEPING, STARTING = State.MINING, State.SLEEPING, State.STARTING


class Rig:
    """A prover with a clock that stands still, and the proofs it was asked for."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.looks: list[float] = []
        self.glances: list[float] = []
        self.asked: list[Device] = []
        self.says: Identity | Exception = Unreachable("nobody")
        self.prover = Prover(self.clock, self, self._reidentify)
        self.device = device_at()

    async def glance(self, device: Device) -> None:
        self.glances.append(self.clock.monotonic() - 1000.0)
        await self.look(device)

    async def look(self, device: Device) -> None:
        assert device is self.device
        self.looks.append(self.clock.monotonic() - 1000.0)

    async def _reidentify(self, device: Device) -> Identity:
        self.asked.append(device)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    async def prove(
        self, answer: Answer = Answer.ACCEPTED, watched: Watched = Watched.READING, **values: Any
    ) -> asyncio.Task[Shown]:
        """Begin to wait for sleep, or for what `values` say of the identity."""
        values = values or {"state": SLEEPING}
        checks = tuple(Check(key, Relation.EQUALS, value) for key, value in values.items())
        expectation = Expectation(
            any_of=(checks,), look_after_s=LOOK_S, until_s=UNTIL_S, watched=watched
        )
        receipt = Receipt(answer=answer, words="", expectation=expectation)
        before = self.reading(MINING) if watched is Watched.READING else self.device.identity
        task = asyncio.create_task(self.prover.prove(self.device, VERB, receipt, before))
        await settled_loop()
        return task

    def reading(self, state: State, age_s: float = 0.0) -> MinerReading:
        at = datetime.fromtimestamp(self.clock.now() - age_s, UTC)
        return MinerReading(device_id=self.device.id, kind=Kind.ASIC, taken_at=at, state=state)

    def show(self, state: State, age_s: float = 0.0) -> MinerReading:
        reading = self.reading(state, age_s)
        self.prover.observe(self.device, reading, self.clock.monotonic() - age_s)
        return reading

    async def pass_time(self, seconds: float, step_s: float = 0.5) -> None:
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            await settled_loop(5)


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr("agent.command.prover.TICK_S", 0)
    rig = Rig()
    async with kept(rig.prover.run()):
        yield rig


# --- the verdict ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "states", "verdict"),
    [
        (Answer.ACCEPTED, [SLEEPING], Verdict.VERIFIED),
        (Answer.ACCEPTED, [STARTING, SLEEPING], Verdict.VERIFIED),
        (Answer.ACCEPTED, [MINING], Verdict.CONTRADICTED),
        (Answer.ACCEPTED, [STARTING], Verdict.NOT_VERIFIED),
        (Answer.ACCEPTED, [], Verdict.NOT_VERIFIED),
        (Answer.UNANSWERED, [SLEEPING], Verdict.VERIFIED_UNANSWERED),
        (Answer.UNANSWERED, [MINING], Verdict.NOT_VERIFIED),
        (Answer.UNANSWERED, [], Verdict.NOT_VERIFIED),
        (Answer.REFUSED, [SLEEPING], Verdict.CONTRADICTED),
        (Answer.REFUSED, [MINING], Verdict.REFUSED),
        (Answer.REFUSED, [], Verdict.REFUSED),
    ],
)
async def test_what_readings_show_until_time_is_up(rig, answer, states, verdict) -> None:
    waiting = await rig.prove(answer)
    last = None
    for state in states:
        await rig.pass_time(LOOK_S)
        if not waiting.done():
            last = rig.show(state)
            await settled_loop()
    await rig.pass_time(UNTIL_S)
    assert await waiting == Shown(verdict, last)
    assert len(rig.prover) == 0


async def test_it_ends_with_its_time_and_not_before(rig) -> None:
    waiting = await rig.prove()
    await rig.pass_time(UNTIL_S - 0.5)
    assert not waiting.done()
    await rig.pass_time(1.0)
    assert waiting.done()


async def test_an_effect_that_shows_before_it_usually_does_counts(rig) -> None:
    waiting = await rig.prove()
    reading = rig.show(SLEEPING)
    assert await waiting == Shown(Verdict.VERIFIED, reading)


async def test_what_nothing_can_prove_is_not_waited_for(rig) -> None:
    receipt = Receipt(answer=Answer.ACCEPTED, words="ok")
    shown = await rig.prover.prove(rig.device, VERB, receipt, rig.reading(MINING))
    assert shown == Shown(Verdict.NOT_VERIFIED, None)


# --- what proves nothing --------------------------------------------------------------------------


@pytest.mark.parametrize("age_s", [0.001, 1.0, 86_400.0])
async def test_a_reading_from_before_the_action_proves_nothing(rig, age_s) -> None:
    waiting = await rig.prove()
    rig.show(SLEEPING, age_s)
    await rig.pass_time(UNTIL_S)
    assert await waiting == Shown(Verdict.NOT_VERIFIED, None)


async def test_a_reading_from_before_the_action_refutes_nothing(rig) -> None:
    waiting = await rig.prove()
    await rig.pass_time(LOOK_S)
    rig.show(MINING, LOOK_S + 1.0)
    await rig.pass_time(UNTIL_S)
    assert (await waiting).verdict is Verdict.NOT_VERIFIED


async def test_what_another_device_shows_proves_nothing(rig) -> None:
    waiting = await rig.prove()
    other = device_at("10.1.2.4", number=2)
    rig.prover.observe(other, rig.reading(SLEEPING), rig.clock.monotonic())
    await rig.pass_time(UNTIL_S)
    assert await waiting == Shown(Verdict.NOT_VERIFIED, None)


async def test_readings_that_nobody_waits_for_are_let_pass(rig) -> None:
    rig.show(SLEEPING)
    waiting = await rig.prove()
    rig.show(SLEEPING)
    rig.show(MINING)  # the first has settled it
    assert (await waiting).verdict is Verdict.VERIFIED


# --- superseded -----------------------------------------------------------------------------------


async def test_a_proof_gives_way_to_what_is_done_next(rig) -> None:
    first = await rig.prove()
    second = await rig.prove()
    assert await first == Shown(Verdict.SUPERSEDED, None)
    assert not second.done()
    assert len(rig.prover) == 1
    rig.show(SLEEPING)
    assert (await second).verdict is Verdict.VERIFIED


async def test_the_first_look_is_a_glance_and_later_ones_ask_everything_anew(rig) -> None:
    await rig.prove()
    await rig.pass_time(UNTIL_S)
    assert rig.glances == rig.looks[:1]
    assert len(rig.looks) > 3


async def test_different_things_are_proved_side_by_side(rig) -> None:
    first = await rig.prove()
    receipt = Receipt(
        answer=Answer.ACCEPTED,
        words="",
        expectation=Expectation(
            any_of=((Check("locating", Relation.EQUALS, True),),),
            look_after_s=LOOK_S,
            until_s=UNTIL_S,
        ),
    )
    other = rig.prover.prove(rig.device, "locate", receipt, rig.reading(MINING))
    second = asyncio.create_task(other)
    await settled_loop()
    assert len(rig.prover) == 2
    rig.show(SLEEPING)
    assert (await first).verdict is Verdict.VERIFIED
    lit = msgspec.structs.replace(rig.reading(SLEEPING), locating=True)
    rig.prover.observe(rig.device, lit, rig.clock.monotonic())
    assert (await second).verdict is Verdict.VERIFIED


async def test_a_clock_set_back_does_not_age_a_reading(rig) -> None:
    waiting = await rig.prove()
    reading = rig.reading(SLEEPING, age_s=3600.0)  # by the clock on the wall
    rig.prover.observe(rig.device, reading, rig.clock.monotonic())
    assert (await waiting).verdict is Verdict.VERIFIED


async def test_a_proof_that_is_superseded_keeps_what_it_saw_last(rig) -> None:
    waiting = await rig.prove()
    reading = rig.show(STARTING)
    rig.prover.supersede(rig.device.id, VERB)
    assert await waiting == Shown(Verdict.SUPERSEDED, reading)


async def test_what_is_proved_is_not_superseded_afterwards(rig) -> None:
    waiting = await rig.prove()
    rig.show(SLEEPING)
    rig.prover.supersede(rig.device.id, VERB)
    rig.prover.supersede("nobody", VERB)
    assert (await waiting).verdict is Verdict.VERIFIED


async def test_nothing_is_looked_for_after_the_end(rig) -> None:
    waiting = await rig.prove()
    rig.prover.supersede(rig.device.id, VERB)
    await waiting
    await rig.pass_time(UNTIL_S)
    assert rig.looks == []


async def test_who_waits_no_more_leaves_nothing_behind(rig) -> None:
    waiting = await rig.prove()
    waiting.cancel()
    await settled_loop()
    assert len(rig.prover) == 0
    await rig.pass_time(UNTIL_S)
    assert rig.looks == []


# --- looks ----------------------------------------------------------------------------------------


async def test_it_is_looked_for_soon_when_it_usually_shows_and_ever_more_rarely(rig) -> None:
    waiting = await rig.prove()
    await rig.pass_time(UNTIL_S + 1.0)
    assert waiting.done()
    assert rig.looks[0] == FIRST_LOOK_S
    assert LOOK_S in rig.looks
    later = [at for at in rig.looks if at >= LOOK_S]
    gaps = [after - before for before, after in itertools.pairwise(later)]
    assert gaps == sorted(gaps)
    assert max(gaps) <= LONGEST_GAP_S + 0.5
    assert rig.looks[-1] < UNTIL_S


# --- effects that show in who a device is ---------------------------------------------------------


async def renaming(rig: Rig) -> asyncio.Task[Shown]:
    return await rig.prove(watched=Watched.IDENTITY, hostname="b7-12")


@pytest.mark.parametrize(
    ("hostname", "verdict"),
    [
        ("b7-12", Verdict.VERIFIED),
        ("antMiner", Verdict.CONTRADICTED),
        (None, Verdict.NOT_VERIFIED),
    ],
)
async def test_a_name_is_seen_when_the_device_is_asked_who_it_is(rig, hostname, verdict) -> None:
    rig.says = msgspec.structs.replace(rig.device.identity, hostname=hostname)
    waiting = await renaming(rig)
    await rig.pass_time(UNTIL_S)
    assert (await waiting).verdict is verdict
    assert rig.asked
    assert rig.looks == []


@pytest.mark.parametrize("error", [Unreachable("rebooting"), Preempted(), KeyError("a fault")])
async def test_who_does_not_say_who_it_is_is_asked_again(rig, error) -> None:
    rig.says = error
    waiting = await renaming(rig)
    await rig.pass_time(LOOK_S)
    assert rig.asked
    rig.says = msgspec.structs.replace(rig.device.identity, hostname="b7-12")
    await rig.pass_time(LONGEST_GAP_S)
    assert (await waiting).verdict is Verdict.VERIFIED


async def test_another_machine_of_that_name_proves_nothing(rig) -> None:
    other = device_at(number=2).identity
    rig.says = msgspec.structs.replace(other, hostname="b7-12")
    waiting = await renaming(rig)
    await rig.pass_time(UNTIL_S)
    assert (await waiting).verdict is Verdict.NOT_VERIFIED


async def test_a_reading_does_not_show_a_name(rig) -> None:
    waiting = await renaming(rig)
    await rig.pass_time(LOOK_S)
    rig.show(SLEEPING)
    await rig.pass_time(UNTIL_S)
    assert await waiting == Shown(Verdict.NOT_VERIFIED, None)

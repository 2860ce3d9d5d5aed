"""What an earlier run or an action left half done: told, put right, and until then in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.command.effects import Verdict
from agent.command.orders import Job, Order, Result
from agent.command.params import Params
from agent.command.recovery import RECOVER, RETRY_S, WHO, Recovery
from agent.command.verbs import VERBS, Load
from agent.config.locations import NOWHERE
from agent.fleet.events import Event
from agent.fleet.inventory import Device, Inventory
from drivers.actions import Answer, Receipt
from drivers.api import Endpoint
from drivers.errors import Unsupported
from drivers.mock import MockMiner, mock_identity
from drivers.probe import Finding
from tests.fakes import FakeClock, kept, settled_loop

ONE, TWO = mock_identity(1).id, mock_identity(2).id


class Rig:
    """A recovery whose orders the test ends as it likes."""

    def __init__(self, *left: str) -> None:
        self.clock = FakeClock()
        self.inventory = Inventory(lambda *_: NOWHERE)
        self.unfinished = set(left)
        self.events: list[Event] = []
        self.jobs: list[Job] = []
        self.recovery = Recovery(
            left=left,
            unfinished=self.unfinished.__contains__,
            inventory=self.inventory,
            dispatcher=self,  # type: ignore[arg-type]
            clock=self.clock,
            tell=self.events.append,
        )

    def submit(self, order: Order, devices: list[Device]) -> Job:
        job = Job(order, devices, self.clock.monotonic())
        self.jobs.append(job)
        return job

    async def appear(self, number: int = 1, *, read: bool = True) -> Device:
        miner = MockMiner(mock_identity(number), self.clock)
        finding = Finding(Endpoint(f"10.0.0.{number}"), "mock", miner, miner.identity, ())
        device = self.inventory.settle(finding, self.clock.now()).device
        device.last = miner.now if read else None
        await settled_loop()
        return device

    async def end(self, verdict: Verdict, *, mended: bool, at: int = -1) -> None:
        job = self.jobs[at]
        (device,) = job.devices
        if mended:
            self.unfinished.discard(device.id)
        words = "put back to sleep"
        job.end(Result(device_id=device.id, address=device.address, verdict=verdict, words=words))
        await settled_loop()

    async def rounds(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        await settled_loop()

    @property
    def told(self) -> list[tuple[str, str | None]]:
        return [(event.name.removeprefix("action."), event.device_id) for event in self.events]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.command.recovery.ROUND_S", 0)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """One device was left in mid-change by an earlier run."""
    rig = Rig(ONE)
    async with kept(rig.recovery.run()):
        yield rig


async def test_what_an_earlier_run_left_is_told_and_in_the_way_until_it_is_put_right(rig) -> None:
    assert rig.told == [("unfinished", ONE)]
    assert (ONE in rig.recovery, TWO in rig.recovery) == (True, False)
    await rig.appear()
    (job,) = rig.jobs
    assert (job.order.verb, job.order.who, job.order.target) == (RECOVER, WHO, ONE)
    assert ONE in rig.recovery
    await rig.end(Verdict.VERIFIED, mended=True)
    assert ONE not in rig.recovery
    assert rig.told == [("unfinished", ONE), ("recovered", ONE)]


async def test_who_does_not_answer_is_waited_for(rig) -> None:
    await rig.rounds(10 * RETRY_S)
    assert rig.jobs == []
    device = await rig.appear(read=False)
    await rig.rounds()
    assert rig.jobs == []
    device.last = MockMiner(device.identity, rig.clock).now
    await rig.rounds()
    assert [job.devices for job in rig.jobs] == [[device]]


async def test_others_are_left_alone(rig) -> None:
    await rig.appear(2)
    await rig.rounds(RETRY_S)
    assert rig.jobs == []


@pytest.mark.parametrize(
    "verdict", [Verdict.FAILED, Verdict.REFUSED, Verdict.SUPERSEDED, Verdict.NOT_VERIFIED]
)
async def test_what_is_not_put_right_is_tried_again_and_stays_in_the_way(rig, verdict) -> None:
    await rig.appear()
    await rig.end(verdict, mended=False)
    assert ONE in rig.recovery
    await rig.rounds(RETRY_S - 1.0)
    assert len(rig.jobs) == 1
    await rig.rounds(1.0)
    assert len(rig.jobs) == 2
    assert rig.told == [("unfinished", ONE)]
    await rig.end(Verdict.VERIFIED, mended=True)
    await rig.rounds(10 * RETRY_S)
    assert len(rig.jobs) == 2


@pytest.mark.parametrize(
    ("verdict", "seen"),
    [
        (Verdict.VERIFIED, True),
        (Verdict.VERIFIED_UNANSWERED, True),
        (Verdict.NOT_VERIFIED, False),
        (Verdict.CONTRADICTED, False),
    ],
)
async def test_what_no_reading_shows_is_not_claimed(rig, verdict, seen) -> None:
    await rig.appear()
    await rig.end(verdict, mended=True)
    message = rig.events[-1].message
    assert message.startswith("put back to sleep")
    assert ("not yet seen" in message) is not seen


async def test_an_action_that_breaks_off_is_told_once_and_put_right(rig) -> None:
    await rig.appear(2)
    rig.recovery.check(TWO)
    assert TWO not in rig.recovery  # it left nothing undone
    rig.unfinished.add(TWO)
    for _ in range(3):
        rig.recovery.check(TWO)
    assert rig.told == [("unfinished", ONE), ("unfinished", TWO)]
    await rig.rounds()
    assert [job.order.target for job in rig.jobs] == [TWO]


async def test_each_is_put_right_for_itself() -> None:
    rig = Rig(ONE, TWO)
    async with kept(rig.recovery.run()):
        await rig.appear(1)
        await rig.appear(2)
        assert sorted(job.order.target for job in rig.jobs) == [ONE, TWO]
        await rig.end(Verdict.VERIFIED, mended=True, at=1)
        (still,) = {ONE, TWO} - {rig.jobs[1].order.target}
        assert still in rig.recovery
        assert rig.told[2:] == [("recovered", rig.jobs[1].order.target)]


# --- the order itself -----------------------------------------------------------------------------


class Recovering(MockMiner):
    """A miner whose driver knows how to end what was begun."""

    receipt: Receipt | None = None

    async def recover(self) -> Receipt | None:
        await self.script.called("recover")
        return self.receipt


def test_nobody_can_order_it() -> None:
    assert RECOVER.name not in VERBS
    assert RECOVER.load(Params(), None) is Load.KEEPS


@pytest.mark.parametrize(
    ("receipt", "wanted"),
    [
        (None, (Answer.ACCEPTED, "nothing was left undone")),
        (
            Receipt(answer=Answer.UNANSWERED, words="told to wake"),
            (Answer.UNANSWERED, "told to wake"),
        ),
    ],
)
async def test_the_driver_says_what_it_did(receipt, wanted) -> None:
    miner = Recovering(mock_identity(), FakeClock())
    miner.receipt = receipt
    found = await RECOVER.call(miner, Params())
    assert (found.answer, found.words) == wanted
    assert miner.script.calls == [("recover",)]


async def test_a_driver_that_cannot_says_so() -> None:
    with pytest.raises(Unsupported, match="does not know how to finish"):
        await RECOVER.call(MockMiner(mock_identity(), FakeClock()), Params())

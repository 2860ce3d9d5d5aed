"""GPUs in memory whose settings are ordered, undone, and put back as the policy says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from agent.command.control import Control, Durable
from agent.command.desired import APART_S
from agent.command.effects import Verdict
from agent.command.orders import Result
from agent.command.reconciler import KEY, RESTORER
from agent.config.schema import Allow
from agent.config.schema import Control as ControlSettings
from agent.fleet.inventory import Device
from drivers.actions import Answer
from drivers.api import Endpoint
from drivers.errors import OutOfRange
from drivers.mock_gpu import MockGpu, mock_gpu_identity
from drivers.probe import Finding
from tests.fakes import START, FakeClock, Fleet, kept, settled_loop
from tests.unit.test_command_dispatch import Shelf

ME = "local:tester"
MIG = ("gpu.mig.mode", "gpu.mig.layout")
HOUR = APART_S


class LeapingClock(FakeClock):
    """Time as it is, and leaps."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def monotonic(self) -> float:
        return self._monotonic + time.monotonic() - self._began

    def now(self) -> float:
        return START + self.monotonic()


class Rack:
    """One GPU, and what controls it."""

    def __init__(self, shelf: Shelf, gpu: MockGpu | None, clock: LeapingClock, **more: Any) -> None:
        self.fleet = Fleet(interval_s=600.0)
        self.clock = clock
        for part in (self.fleet, self.fleet.registrar, self.fleet.poller):
            part.clock = part._clock = clock  # type: ignore[attr-defined]
        self.gpu = gpu or MockGpu(mock_gpu_identity(), clock)
        self.fleet.registrar._contexts = lambda _: self.gpu  # type: ignore[assignment]
        self.shelf = shelf
        restores = more.pop("restores", False)
        fast = {"starts_per_minute": 100_000, "starts_per_group_per_minute": 100_000}
        allow = (Allow(), Allow(verbs=MIG))
        self.control = Control(
            ControlSettings(**{"allow": allow, **fast, **more}),
            inventory=self.fleet.inventory,
            poller=self.fleet.poller,
            registrar=self.fleet.registrar,
            clock=clock,
            durable=Durable(shelf, [], shelf),
            tell=self.fleet.sink.event,
            restores=restores,
        )

    async def enter(self) -> None:
        finding = Finding(Endpoint("gpu0"), "mock", self.gpu, self.gpu.identity, ())
        settled = self.fleet.inventory.settle(finding, self.clock.now())
        sample = await self.gpu.read()
        self.device: Device = self.fleet.registrar._enter(settled, sample, self.clock.monotonic())

    async def order(self, verb: str, **params: Any) -> Result:
        job = self.control.begin(self.control.order(verb, params, self.gpu.identity.id, ME))
        async with asyncio.timeout(10):
            (result,) = [result async for result in job.follow()]
        return result

    async def read(self, after_s: float = 5.0, **shows: Any) -> None:
        """The next reading, and the end of whatever it brings about."""
        self.clock.advance(after_s)
        self.gpu.show(**shows)
        self.fleet.poller.accept(self.device, await self.gpu.read())
        async with asyncio.timeout(10):
            while self.control.is_busy(self.device):
                await asyncio.sleep(0)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [event.details for event in self.fleet.sink.named("action.undone")]

    @property
    def restored(self) -> list[dict[str, Any]]:
        done = [event.details for event in self.fleet.sink.named("action.done")]
        return [each for each in done if each["who"] == RESTORER]

    @property
    def limits(self) -> list[float]:
        return [call[1] for call in self.gpu.script.calls if call[0] == "limit_power"]


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe(endpoint: Endpoint, contexts: Any) -> Finding:
        gpu = contexts(endpoint)
        return Finding(endpoint, "mock", gpu, await gpu.identify(), ())

    monkeypatch.setattr("agent.fleet.registrar.probe", probe)


@asynccontextmanager
async def rack(
    shelf: Shelf | None = None, gpu: MockGpu | None = None, **more: Any
) -> AsyncIterator[Rack]:
    made = Rack(shelf or Shelf(), gpu, more.pop("clock", None) or LeapingClock(), **more)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(made.fleet.running())
        for _, part in made.control.parts():
            await stack.enter_async_context(kept(part))
        await made.enter()
        yield made


# --- told ---------------------------------------------------------------------------------------


async def test_a_limit_that_somebody_else_changes_is_told_with_the_next_reading() -> None:
    async with rack() as place:
        result = await place.order("power.limit", watts=400)
        assert result.verdict == "verified"
        await place.read()
        assert place.told == []
        await place.read(power_limit_w=700.0)
        (told,) = place.told
        assert told == {
            "verb": "power.limit",
            "params": {"watts": 400.0},
            "order": told["order"],
            "cause": "changed",
            "times": 1,
        }
        for _ in range(5):
            await place.read(after_s=HOUR)
        assert (len(place.told), place.restored, place.limits) == (1, [], [400.0])


@pytest.mark.parametrize(
    ("verb", "params", "undone"),
    [
        ("gpu.clocks.lock", {"min_mhz": 900, "max_mhz": 1200}, {"sm_clock_mhz": 1980}),
        ("gpu.memory_clocks.lock", {"min_mhz": 900, "max_mhz": 1200}, {"memory_clock_mhz": 2619}),
        ("gpu.persistence", {"on": False}, {"persistence": True}),
        ("gpu.compute_mode", {"mode": "prohibited"}, {"compute_mode": "default"}),
        ("gpu.ecc", {"on": False}, {"ecc_pending": True}),
        ("gpu.mig.mode", {"on": True}, {"mig_pending": False}),
        ("gpu.mig.layout", {"profiles": ["1g.10gb"]}, {"mig_instances": ()}),
    ],
)
async def test_every_setting_is_kept(verb, params, undone) -> None:
    async with rack(restores=True) as place:
        assert (await place.order(verb, **params)).verdict == "verified"
        await place.read()
        assert place.told == []
        await place.read(**undone)
        assert [(each["verb"], each["restoring"]) for each in place.told] == [(verb, True)]
        (restored,) = place.restored
        assert (restored["verb"], restored["result"]["verdict"]) == (verb, "verified")


@pytest.mark.parametrize("verb", ["gpu.clocks.reset", "gpu.memory_clocks.reset"])
async def test_a_clock_that_was_let_go_is_not_missed(verb) -> None:
    async with rack(restores=True) as place:
        lock = verb.replace("reset", "lock")
        await place.order(lock, min_mhz=900, max_mhz=1200)
        await place.order(verb)
        await place.read()
        assert (place.told, place.restored) == ([], [])


async def test_a_clock_below_its_lock_is_no_loss() -> None:
    async with rack() as place:
        await place.order("gpu.clocks.lock", min_mhz=900, max_mhz=1200)
        await place.read(sm_clock_mhz=210)
        assert place.told == []


async def test_what_was_never_proved_is_not_missed() -> None:
    async with rack() as place:
        place.gpu.lazy = True
        job = place.control.begin(
            place.control.order("power.limit", {"watts": 400}, place.gpu.identity.id, ME)
        )
        while place.gpu.script.calls[-2:] != [("limit_power", 400), ("read",)]:
            await asyncio.sleep(0)
        await settled_loop()
        place.clock.advance(61)  # the proof is waited for no longer
        async with asyncio.timeout(10):
            assert [each.verdict async for each in job.follow()] == ["contradicted"]
        await place.read()
        assert place.told == []


async def test_what_was_refused_leaves_what_was_wanted_before() -> None:
    async with rack() as place:
        await place.order("power.limit", watts=400)
        place.gpu.script.fail_next("limit_power", OutOfRange("9000 W", "200 to 700 W"))
        assert (await place.order("power.limit", watts=9000)).verdict == "refused"
        await place.read()
        assert place.told == []
        await place.read(power_limit_w=700.0)
        assert [each["params"] for each in place.told] == [{"watts": 400.0}]


# --- put back -------------------------------------------------------------------------------------


async def test_a_limit_is_put_back_after_the_driver_was_loaded_anew() -> None:
    async with rack(restores=True) as place:
        await place.order("power.limit", watts=400)
        await place.order("gpu.persistence", on=True)
        place.gpu.forget()
        await place.read()
        assert {(each["verb"], each["cause"]) for each in place.told} == {
            ("power.limit", "forgotten"),
            ("gpu.persistence", "forgotten"),
        }
        assert {each["result"]["verdict"] for each in place.restored} == {"verified"}
        assert (place.gpu.now.power_limit_w, place.gpu.now.persistence) == (400.0, True)


async def test_a_rival_is_told_and_not_fought() -> None:
    async with rack(restores=True) as place:
        await place.order("power.limit", watts=400)
        for _ in range(100):
            await place.read(after_s=60, power_limit_w=700.0)
            await place.read()
        assert place.limits == [400.0, 400.0]
        assert [each.get("contested", False) for each in place.told[:2]] == [False, True]
        assert len(place.told) <= 6
        await place.order("power.limit", watts=400)  # anew: it counts again
        await place.read(power_limit_w=700.0)
        assert place.limits == [400.0] * 4
        assert place.restored[-1]["result"]["verdict"] == "verified"


async def test_nothing_goes_past_a_lock_or_the_configuration() -> None:
    async with rack(restores=True) as place:
        await place.order("power.limit", watts=400)
        await place.control.lock(place.gpu.identity.id, "the riser is exchanged", ME)
        await place.read(power_limit_w=300.0)
        (restored,) = place.restored
        assert (restored["result"]["verdict"], restored["result"]["reason"]) == (
            "refused",
            "locked",
        )
        await place.read()
        assert len(place.restored) == 1


async def test_what_was_put_back_stands_in_the_audit() -> None:
    async with rack(restores=True) as place:
        await place.order("power.limit", watts=400)
        await place.read(power_limit_w=700.0)
        assert (RESTORER, "order.result") in [note[:2] for note in place.shelf.audit]


async def test_nothing_is_put_back_in_the_middle_of_an_order() -> None:
    async with rack(restores=True) as place:
        await place.order("power.limit", watts=400)
        gate = place.gpu.script.hold("limit_power")
        job = place.control.begin(
            place.control.order("power.limit", {"watts": 300}, place.gpu.identity.id, ME)
        )
        await gate.reached.wait()
        place.gpu.show(power_limit_w=700.0)
        place.fleet.poller.accept(place.device, await place.gpu.read())
        gate.open()
        async with asyncio.timeout(10):
            assert [each.verdict async for each in job.follow()] == ["verified"]
        await place.read()
        assert (place.told, place.limits) == ([], [400.0, 300.0])


async def test_fans_are_never_put_back() -> None:
    async with rack(restores=True, allow=(Allow(verbs=("gpu.fan",)),)) as place:
        await place.order("gpu.fan", percent=90)
        await place.read(fans=None)
        assert (place.told, place.shelf.memories.get(place.gpu.identity.id, {})) == ([], {})


# --- over restarts --------------------------------------------------------------------------------


async def again(first: Rack, **more: Any) -> Any:
    return rack(first.shelf, first.gpu, clock=first.clock, **more)


async def test_what_is_wanted_outlives_the_agent() -> None:
    async with rack(restores=True) as first:
        await first.order("power.limit", watts=400)
        await first.read()
        first.gpu.forget()
    async with await again(first, restores=True) as place:
        await place.read()
        (told,) = place.told
        assert (told["cause"], told["restoring"]) == ("unknown", True)
        assert place.gpu.now.power_limit_w == 400.0


async def test_a_restart_puts_nothing_back_a_second_time_within_the_hour() -> None:
    async with rack(restores=True) as first:
        await first.order("power.limit", watts=400)
        await first.read(power_limit_w=700.0)
        assert len(first.restored) == 1
    for _ in range(3):
        first.gpu.show(power_limit_w=700.0)
        async with await again(first, restores=True) as place:
            await place.read()
            await place.read()
            assert place.restored == []


async def test_a_rival_is_remembered_over_a_restart() -> None:
    async with rack(restores=True) as first:
        await first.order("power.limit", watts=400)
        await first.read(power_limit_w=700.0)
        await first.read(power_limit_w=700.0)
        assert first.told[-1]["contested"]
    async with await again(first, restores=True) as place:
        for _ in range(3):
            await place.read(after_s=HOUR)
        assert (place.restored, place.told) == ([], [])


@pytest.mark.parametrize(("shown", "kept_w"), [(300.0, 300.0), (400.0, 400.0)])
async def test_an_order_that_the_agent_died_over_is_settled_by_what_is_seen(shown, kept_w) -> None:
    async with rack() as first:
        await first.order("power.limit", watts=400)
        await first.read()
        gate = first.gpu.script.hold("limit_power")
        first.control.begin(
            first.control.order("power.limit", {"watts": 300}, first.gpu.identity.id, ME)
        )
        await gate.reached.wait()
        memory = first.shelf.memories[first.gpu.identity.id]
        while b'"sent"' not in memory[KEY]:
            await asyncio.sleep(0)
        record = dict(memory)
    first.shelf.memories[first.gpu.identity.id] = record
    first.gpu.script._gates.clear()
    first.gpu.show(power_limit_w=shown)
    async with await again(first) as place:
        await place.read()
        await place.read(power_limit_w=700.0)
        assert [each["params"] for each in place.told] == [{"watts": kept_w}]


async def test_an_answer_that_never_came_is_settled_by_what_is_seen() -> None:
    async with rack() as place:
        place.gpu.lazy = True
        place.gpu.script.answer_next("limit_power", Answer.UNANSWERED, "DriverHung")
        job = place.control.begin(
            place.control.order("power.limit", {"watts": 400}, place.gpu.identity.id, ME)
        )
        while not place.limits:
            await asyncio.sleep(0)
        place.clock.advance(61)
        async with asyncio.timeout(10):
            assert [each.verdict async for each in job.follow()] == ["not_verified"]
        await place.read(power_limit_w=400.0)  # it was obeyed after all
        await place.read(power_limit_w=700.0)
        assert [each["params"] for each in place.told] == [{"watts": 400.0}]


async def test_the_verdict_of_an_order_says_nothing_of_another_one() -> None:
    async with rack() as place:
        first, second = (
            place.control.order("power.limit", {"watts": watts}, place.device.id, ME)
            for watts in (400, 300)
        )
        for order in (first, second):
            place.control.sending(place.device, order)
        result = Result(
            device_id=place.device.id,
            address=place.device.address,
            verdict=Verdict.REFUSED,
            words="no",
            answer=Answer.REFUSED,
        )
        place.control.ended(first, place.device, result)
        await place.read(power_limit_w=300.0)
        await place.read(power_limit_w=700.0)
        assert [each["params"] for each in place.told] == [{"watts": 300.0}]


async def test_a_lock_that_was_being_lifted_when_the_agent_died_is_wanted_no_more() -> None:
    sent = {"order": "a", "who": ME, "at": 1.0}
    lock = {"verb": "gpu.clocks.lock", "params": {"min_mhz": 900, "max_mhz": 1200}, **sent}
    reset = {"verb": "gpu.clocks.reset", "params": {}, **sent, "order": "b"}
    record = msgspec.json.encode({"clocks": {"held": lock, "sent": reset}})
    shelf = Shelf()
    shelf.memories[mock_gpu_identity().id] = {KEY: record}
    async with rack(shelf, restores=True) as place:
        await place.read(sm_clock_mhz=1980)
        assert (place.told, place.restored) == ([], [])


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"\xff",
        b'{"power":{"held":{"verb":"power.limit","params":{"watts":0},"order":"a","who":"b","at":1}}}',
        b'{"power":{"held":{"verb":"power.boost","params":{},"order":"a","who":"b","at":1}}}',
        b'{"clocks":{"sent":{"verb":"gpu.clocks.reset","params":{},"order":"a","who":"b","at":1}}}',
    ],
)
async def test_a_record_that_cannot_be_used_stops_nothing(record) -> None:
    shelf = Shelf()
    shelf.memories[mock_gpu_identity().id] = {KEY: record}
    async with rack(shelf, restores=True) as place:
        await place.read()
        assert (place.told, place.restored) == ([], [])
        assert (await place.order("power.limit", watts=400)).verdict == "verified"


async def test_what_is_wanted_no_more_is_forgotten_on_disk() -> None:
    async with rack() as place:
        await place.order("gpu.clocks.lock", min_mhz=900, max_mhz=1200)
        await place.read()
        kept_now = place.shelf.memories[place.gpu.identity.id]
        assert msgspec.json.decode(kept_now[KEY]).keys() == {"clocks"}
        await place.order("gpu.clocks.reset")
        await place.read()
        assert KEY not in kept_now

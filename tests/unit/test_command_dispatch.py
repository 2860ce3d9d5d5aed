"""Orders on their way through a fleet in memory: who goes first, who waits, what is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from agent.command.control import Control, Durable
from agent.command.orders import Job, Result
from agent.config.locations import Location
from agent.config.schema import Allow
from agent.config.schema import Control as Settings
from agent.fleet.inventory import Device
from drivers.actions import Answer
from drivers.api import Endpoint
from drivers.capabilities import UNFINISHED
from drivers.errors import DeviceTimeout, OutOfRange, Unreachable
from drivers.mock import Gate, MockMiner, mock_identity
from drivers.model import Sample, State
from drivers.probe import Finding
from tests.fakes import START, FakeClock, Fleet, kept, settled_loop

RACKS = 4
ME = "local:tester"


class FastClock(FakeClock):
    """Time that runs a hundred times faster than the test's."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def monotonic(self) -> float:
        return 1000.0 + (time.monotonic() - self._began) * 100

    def now(self) -> float:
        return START + self.monotonic()


class Machine(MockMiner):
    """A miner whose uptime goes on with the clock."""

    def __init__(self, number: int, clock: FakeClock) -> None:
        self.booted_at = clock.monotonic() - 86_400.0
        super().__init__(mock_identity(number), clock)

    def show(self, **values: Any) -> None:
        if "uptime_s" in values:
            self.booted_at = self._clock.monotonic() - values["uptime_s"]
        super().show(**values)

    async def read(self) -> Sample:
        self.show(uptime_s=self._clock.monotonic() - self.booted_at)
        return await super().read()


class Memories:
    """The memory of one device, in a shelf."""

    def __init__(self, kept: dict[str, bytes]) -> None:
        self._kept = kept

    def get(self, key: str) -> bytes | None:
        return self._kept.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self._kept[key] = value

    async def forget(self, key: str) -> None:
        self._kept.pop(key, None)


class Shelf:
    """A store in memory."""

    def __init__(self) -> None:
        self.audit: list[tuple[str, str, bytes]] = []
        self.locks: dict[str, bytes] = {}
        self.memories: dict[str, dict[str, bytes]] = {}

    def note(self, who: str, what: str, content: Any) -> None:
        self.audit.append((who, what, msgspec.json.encode(content)))

    def remembered(self, device_id: str) -> dict[str, bytes]:
        return self.memories.setdefault(device_id, {})

    def remembering(self, key: str) -> list[str]:
        return [device_id for device_id, memory in self.memories.items() if key in memory]

    def memory(self, whose: Callable[[], str]) -> Memories:
        return Memories(self.remembered(whose()))

    async def save_lock(self, scope: str, record: bytes | None) -> None:
        if record is None:
            self.locks.pop(scope)
        else:
            self.locks[scope] = record


class House:
    """A fleet of miners that act, and what controls them."""

    def __init__(self, settings: Settings, shelf: Shelf) -> None:
        self.fleet = Fleet(locate=_place, interval_s=600.0)
        clock = self.clock = FastClock()
        for part in (self.fleet, self.fleet.registrar, self.fleet.poller):
            part.clock = part._clock = clock  # type: ignore[attr-defined]
        self.fleet.world.clock = clock
        self.fleet.registrar._contexts = lambda _: self.present  # type: ignore[assignment]
        self.miners: dict[str, MockMiner] = {}
        self.shelf = shelf
        self.control = Control(
            settings,
            inventory=self.fleet.inventory,
            poller=self.fleet.poller,
            registrar=self.fleet.registrar,
            clock=clock,
            durable=Durable(shelf, list(shelf.locks.values()), shelf),
            tell=self.fleet.sink.event,
        )

    async def add(self, number: int) -> tuple[MockMiner, Device]:
        miner = Machine(number, self.clock)
        self.miners[miner.identity.id] = miner
        address = f"10.0.{number >> 8}.{number & 255}"
        finding = Finding(Endpoint(address), "mock", miner, miner.identity, ())
        settled = self.fleet.inventory.settle(finding, self.clock.now())
        self.fleet.registrar._enter(settled, await miner.read(), self.clock.monotonic())
        miner.script.calls.clear()
        return miner, settled.device

    def present(self, endpoint: Endpoint) -> MockMiner:
        """The machine at an address."""
        device = self.fleet.inventory.at(endpoint.address)
        assert device is not None
        return self.miners[device.id]

    async def fill(self, count: int) -> None:
        for number in range(count):
            await self.add(number)

    def begin(self, verb: str, target: str = "all", **params: Any) -> Job:
        return self.control.begin(self.control.order(verb, params, target, ME))

    async def done(self, job: Job) -> list[Result]:
        async with asyncio.timeout(10):
            return [result async for result in job.follow()]

    async def do(self, verb: str, target: str = "all", **params: Any) -> list[Result]:
        return await self.done(self.begin(verb, target, **params))

    def events(self, name: str) -> list[Any]:
        return self.fleet.sink.named(name)


def _place(address: str, _mac: str | None) -> Location:
    return Location(rack=f"R{int(address.rpartition('.')[2]) % RACKS}")


def settings(**values: Any) -> Settings:
    fast = {"starts_per_minute": 100_000, "starts_per_group_per_minute": 100_000}
    return Settings(**{"allow": (Allow(),), **fast, **values})


@pytest.fixture(autouse=True)
def _known_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is asked who it is says so."""

    async def probe(endpoint: Endpoint, contexts: Any) -> Finding:
        miner = contexts(endpoint)
        return Finding(endpoint, "mock", miner, await miner.identify(), ())

    monkeypatch.setattr("agent.fleet.registrar.probe", probe)


@asynccontextmanager
async def house(count: int, shelf: Shelf | None = None, **values: Any) -> AsyncIterator[House]:
    made = House(settings(**values), shelf or Shelf())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(made.fleet.running())
        for _, part in made.control.parts():
            await stack.enter_async_context(kept(part))
        await made.fill(count)
        yield made


def verdicts(results: list[Result]) -> list[str]:
    return sorted(str(result.verdict) for result in results)


# --- the verdict comes from readings --------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "params"),
    [
        ("mining.pause", {}),
        ("mining.restart", {}),
        ("device.reboot", {}),
        ("power.limit", {"watts": 2000.0}),
        ("pools.set", {"pools": [{"url": "stratum+tcp://b:1", "user": "w"}]}),
        ("locate", {"on": True}),
    ],
)
async def test_what_is_done_is_verified(verb: str, params: dict[str, Any]) -> None:
    async with house(1) as place:
        (result,) = await place.do(verb, **params)
        assert result.verdict == "verified"
        assert result.before is not None
        assert result.after is not None
        assert result.after.at > result.before.at


async def test_an_ok_without_effect_is_contradicted() -> None:
    async with house(1) as place:
        (miner,) = place.miners.values()
        miner.lazy = True
        (result,) = await place.do("mining.pause")
        assert (result.verdict, result.answer) == ("contradicted", "accepted")
        assert result.after is not None
        assert result.after.state is State.MINING


async def test_a_silent_machine_is_judged_by_what_it_does() -> None:
    async with house(2) as place:
        silent, deaf = place.miners.values()
        for miner in (silent, deaf):
            miner.script.answer_next("pause", Answer.UNANSWERED)
        deaf.lazy = True
        found = {result.device_id: result for result in await place.do("mining.pause")}
        assert found[silent.identity.id].verdict == "verified_unanswered"
        assert found[deaf.identity.id].verdict == "not_verified"


async def test_a_refusal_is_told_in_the_device_s_words() -> None:
    async with house(1) as place:
        (miner,) = place.miners.values()
        miner.script.answer_next("pause", Answer.REFUSED, "not now")
        (result,) = await place.do("mining.pause")
        assert (result.verdict, result.words) == ("refused", "not now")


async def test_a_value_out_of_range_is_refused_with_the_range() -> None:
    async with house(1) as place:
        (miner,) = place.miners.values()
        miner.script.fail_next("limit_power", OutOfRange("9000 W", "771 to 6435 W"))
        (result,) = await place.do("power.limit", watts=9000.0)
        assert result.verdict == "refused"
        assert "771 to 6435 W" in result.words


# --- repeats ----------------------------------------------------------------------------------


async def test_an_order_that_was_not_sent_is_sent_again_where_that_is_harmless() -> None:
    async with house(1) as place:
        (miner,) = place.miners.values()
        miner.script.fail_next("pause", Unreachable("switch"), DeviceTimeout("switch"))
        (result,) = await place.do("mining.pause")
        assert result.verdict == "verified"
        assert miner.script.calls.count(("pause",)) == 3


async def test_a_reboot_is_never_repeated() -> None:
    async with house(1) as place:
        (miner,) = place.miners.values()
        miner.script.fail_next("reboot", Unreachable("switch"))
        (result,) = await place.do("device.reboot")
        assert result.verdict == "failed"
        assert miner.script.calls.count(("reboot",)) == 1


# --- one at a time, and shedding first --------------------------------------------------------


async def test_a_poll_never_delays_shedding() -> None:
    async with house(1) as place:
        (miner,), (device,) = place.miners.values(), place.fleet.inventory
        gate = miner.script.hold("read")
        async with kept(place.fleet.poller.look(device)):
            await gate.reached.wait()
            job = place.begin("mining.pause")
            async with asyncio.timeout(5):
                while ("pause",) not in miner.script.calls:
                    await asyncio.sleep(0)
            gate.open()
        assert verdicts(await place.done(job)) == ["verified"]


async def test_shedding_supersedes_what_waits_on_the_device() -> None:
    async with house(1, starts_per_minute=0.001) as place:
        (miner,) = place.miners.values()
        await place.do("mining.pause")
        first = place.begin("mining.resume")
        assert verdicts(await place.done(first)) == ["verified"]
        waiting = place.begin("mining.resume")  # the next start is hours away
        await settled_loop()
        assert place.control.dispatcher.waiting_starts == 1
        miner.script.calls.clear()
        assert verdicts(await place.do("mining.pause")) == ["verified"]
        assert verdicts(await place.done(waiting)) == ["superseded"]
        assert place.control.dispatcher.waiting_starts == 0
        assert ("resume",) not in miner.script.calls


async def test_one_action_at_a_time() -> None:
    async with house(1) as place:
        (miner,) = place.miners.values()
        gate: Gate = miner.script.hold("reboot")
        reboot = place.begin("device.reboot")
        await gate.reached.wait()
        light = place.begin("locate", on=True)
        await settled_loop()
        assert ("locate", True) not in miner.script.calls
        gate.open()
        assert verdicts(await place.done(reboot) + await place.done(light)) == ["verified"] * 2


async def test_those_that_do_not_answer_do_not_hold_up_the_rest() -> None:
    async with house(60, concurrency=8) as place:
        hung = [miner for at, miner in enumerate(place.miners.values()) if at % 3 == 0]
        gates = [miner.script.hold("pause") for miner in hung]
        job = place.begin("mining.pause")
        async with asyncio.timeout(8):
            async for _ in job.follow():
                if len(job.results) == 40:
                    break
        assert job.verdicts == {"verified": 40}
        for gate in gates:
            gate.open()
        assert verdicts(await place.done(job)) == ["verified"] * 60


# --- starts -----------------------------------------------------------------------------------


async def test_starts_keep_their_rate_and_shedding_does_not_wait() -> None:
    async with house(12, starts_per_minute=600, starts_per_group_per_minute=300) as place:
        starts: list[tuple[float, str]] = []
        for device in place.fleet.inventory:
            _note_starts(place, device, starts)
        began = place.clock.monotonic()
        assert verdicts(await place.do("mining.pause")) == ["verified"] * 12
        assert place.clock.monotonic() - began < 60
        assert verdicts(await place.do("mining.resume")) == ["verified"] * 12
        times = [at for at, _ in starts]
        assert len(times) == 12
        assert times[-1] - times[0] >= 11 * 0.1 - 0.05
        for rack in {rack for _, rack in starts}:
            mine = [at for at, each in starts if each == rack]
            assert mine[-1] - mine[0] >= (len(mine) - 1) * 0.2 - 0.05


def _note_starts(place: House, device: Device, starts: list[tuple[float, str]]) -> None:
    miner = place.miners[device.id]
    resume = miner.resume

    async def noted() -> Any:
        starts.append((place.clock.monotonic(), str(device.location.rack)))
        return await resume()

    miner.resume = noted  # type: ignore[method-assign]


# --- what is not allowed ------------------------------------------------------------------------


async def test_observe_only_sends_nothing() -> None:
    async with house(2, allow=()) as place:
        results = await place.do("mining.pause")
        assert verdicts(results) == ["refused"] * 2
        assert "only observes" in results[0].words
        assert not any(miner.script.calls for miner in place.miners.values())
        assert place.control.mode == "observe only"


async def test_a_locked_rack_is_refused_with_owner_and_reason_and_may_still_be_shed() -> None:
    async with house(8) as place:
        await place.control.lock("rack=R1", "new fans, Ana", "local:ana")
        results = await place.do("device.reboot")
        refused = [result for result in results if result.verdict == "refused"]
        assert len(refused) == 8 / RACKS
        assert all("local:ana" in each.words for each in refused)
        assert all("new fans, Ana" in each.words for each in refused)
        assert verdicts(await place.do("mining.pause")) == ["verified"] * 8
        await place.control.unlock("rack=R1", "local:ben")
        assert verdicts(await place.do("mining.resume")) == ["verified"] * 8
        assert [event.name for event in place.events("lock.set")] == ["lock.set"]


async def test_a_lock_stops_what_waits_to_start() -> None:
    async with house(2, starts_per_minute=40) as place:
        await place.do("mining.pause")
        job = place.begin("mining.resume")
        async with asyncio.timeout(5):
            while not job.results:
                await asyncio.sleep(0)
        await place.control.lock("all", "fire drill", ME)
        results = await place.done(job)
        assert verdicts(results) == ["refused", "verified"]


async def test_locks_outlive_a_restart() -> None:
    shelf = Shelf()
    async with house(4, shelf) as place:
        await place.control.lock("rack=R1", "wet floor", ME)
    async with house(4, shelf) as place:
        results = await place.do("device.reboot", "rack=R1")
        assert "wet floor" in results[0].words


async def test_another_machine_at_the_address_is_not_acted_upon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.command.actor.CONFIRMING_S", (0.01, 0.01))
    async with house(1) as place:
        monkeypatch.setattr("agent.fleet.registrar.probe", _nobody)
        (miner,) = place.miners.values()
        miner.show(uptime_s=5.0)
        (result,) = await place.do("device.reboot")
        assert result.verdict == "failed"
        assert "another machine" in result.words
        assert ("reboot",) not in miner.script.calls


async def _nobody(*_: object) -> Finding:
    raise Unreachable("nobody says who it is")


# --- what is told afterwards --------------------------------------------------------------------


async def test_an_effect_that_is_undone_later_is_told_once() -> None:
    async with house(1) as place:
        (miner,), (device,) = place.miners.values(), place.fleet.inventory
        await place.do("mining.pause")
        miner.show(state=State.MINING, hashrate_ths=110.0)  # it rebooted and forgot
        for _ in range(2):
            place.fleet.poller.accept(device, await miner.read())
        assert [event.details["verb"] for event in place.events("action.undone")] == [
            "mining.pause"
        ]
        await place.do("mining.resume")
        await place.do("mining.pause")
        assert len(place.events("action.undone")) == 1


async def test_every_order_is_audited_without_passwords() -> None:
    async with house(2) as place:
        pools = [{"url": "stratum+tcp://b:1", "user": "w", "password": "verysecret"}]
        await place.do("pools.set", pools=pools)
        await settled_loop()
        notes = place.shelf.audit
        assert [what for _, what, _ in notes] == ["order.begun", "order.results", "order.ended"]
        assert {who for who, _, _ in notes} == {ME}
        assert not any(b"verysecret" in content for _, _, content in notes)
        assert place.events("action.ended")[0].details["verdicts"] == {"verified": 2}


async def test_what_was_left_unfinished_is_reported_and_put_right_first() -> None:
    shelf = Shelf()
    shelf.memories[mock_identity(0).id] = {UNFINISHED: b"{}"}
    async with house(0, shelf) as place:
        assert [event.name for event in place.events("action.unfinished")] == ["action.unfinished"]
        miner, device = await place.add(0)
        objection = place.control.objection(
            device, place.control.order("device.reboot", {}, device.id, ME)
        )
        assert objection is not None
        assert objection.reason == "recovering"
        assert "put right first" in objection.words

        async def recover() -> None:
            shelf.memories[device.id].clear()

        miner.recover = recover  # type: ignore[attr-defined]
        await place.fleet.sink.until(lambda: place.events("action.recovered"))
        assert verdicts(await place.do("device.reboot")) == ["verified"]

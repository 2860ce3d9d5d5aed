"""The GPUs of a host in the fleet: entered, read, missed, forgotten, and no trouble to others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.config.schema import Gpu
from agent.fleet.gpu_around import Around
from agent.fleet.gpu_record import GpuRecord
from agent.fleet.gpus import Gpus
from agent.fleet.inventory import Known
from agent.fleet.turn import Rank
from drivers.api_gpu import Happened, Mark
from drivers.errors import Unreachable
from drivers.model import Identity, Kind, State
from tests.fakes import Fleet, KeepingSink, kept
from tests.gpu_hosts import FakeGpu, FakeHost, Hung, Lost, fault, happening
from tests.unit.test_gpu_news import Memory

A, B, C = (f"pci:0000:{bus}:00.0" for bus in ("1b", "43", "52"))
QUICK = {"fast_interval_s": 0.02, "medium_interval_s": 0.02, "slow_interval_s": 0.05}


class Watched:
    """`Gpus` in a fleet without anything else."""

    def __init__(self, host: FakeHost, **settings: Any) -> None:
        self.host = host
        self.fleet = Fleet()
        self.sink: KeepingSink = self.fleet.sink
        self.inventory = self.fleet.inventory
        self.poller = self.fleet.poller
        self.missing: list[int] = []
        self.unserved: list[int] = []
        self.forgotten: list[str] = []
        self.memory = Memory()
        self.heard_lines: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        around = Around(
            self.inventory,
            self.poller,
            self.sink,
            SystemClock(),
            self.forgotten.append,
            self.missing.append,
            self.unserved.append,
        )
        record = GpuRecord(self.memory, "boot")
        self.gpus = Gpus(Gpu(**(QUICK | settings)), host.opened, self._listen, record, around)

    async def _listen(self, take: Callable[[str, float], bool]) -> None:
        take("a line", 1.0)
        if not self.heard_lines.done():
            self.heard_lines.set_result(None)
        await asyncio.Event().wait()

    def known(self, device_id: str, address: str) -> None:
        """A former run saw it there."""
        self.inventory.remember(Known(Identity(id=device_id, kind=Kind.GPU), address, 1.0, "fake"))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with kept(self.gpus.run()):
            yield

    def of(self, device_id: str) -> list[Any]:
        return [each for each in self.sink.readings if each.device_id == device_id]

    async def until_read(self, device_id: str, more: int = 2) -> None:
        wanted = len(self.of(device_id)) + more
        await self.sink.until(lambda: len(self.of(device_id)) >= wanted)

    async def until_state(self, device_id: str, state: State) -> Any:
        def shows() -> bool:
            return bool(self.of(device_id)) and self.of(device_id)[-1].state is state

        await self.sink.until(shows)
        return self.of(device_id)[-1]


@pytest.fixture
def a() -> FakeGpu:
    return FakeGpu("gpu-a", A)


@pytest.fixture
def b() -> FakeGpu:
    return FakeGpu("gpu-b", B)


@pytest.fixture
def host(a: FakeGpu, b: FakeGpu) -> FakeHost:
    return FakeHost(a, b)


async def test_they_are_entered_and_read(host: FakeHost) -> None:
    watched = Watched(host)
    async with watched.running():
        await watched.until_read("gpu-a")
        await watched.until_read("gpu-b")
    assert [event.message for event in watched.sink.named("device.found")] == [
        f"NVIDIA H100 at {A}",
        f"NVIDIA H100 at {B}",
    ]
    device = watched.inventory.by_id("gpu-a")
    assert device is not None
    assert (device.address, device.driver_name) == (A, "fake")
    assert watched.missing == [0]
    assert watched.poller.total.outcomes["ok"] >= 4
    assert watched.sink.named("gpu.missing") == []


async def test_one_that_hangs_holds_up_no_other_and_no_end(
    host: FakeHost, a: FakeGpu, b: FakeGpu
) -> None:
    a.gate = asyncio.Event()
    watched = Watched(host)
    async with watched.running():
        await watched.until_read("gpu-b", 10)
        waiting = [task for task in asyncio.all_tasks() if task.get_name() == "read-gpu-a"]
        assert len(waiting) == 1
    assert a.reads == 1


async def test_what_cannot_be_read_is_said_at_once_and_each_time(
    host: FakeHost, a: FakeGpu
) -> None:
    watched = Watched(host)
    async with watched.running():
        await watched.until_read("gpu-a")
        a.error = Hung("nvmlDeviceGetPowerUsage has not come back")
        reading = await watched.until_state("gpu-a", State.UNREACHABLE)
        await watched.until_read("gpu-a")
        a.error = None
        await watched.until_state("gpu-a", State.OK)
    assert (reading.power_w, reading.faults[0].code) == (None, "hung")
    states = [event.details for event in watched.sink.named("device.state")]
    assert states == [
        {"before": "ok", "after": "unreachable"},
        {"before": "unreachable", "after": "ok"},
    ]


async def test_a_driver_that_fails_costs_its_own_gpu_a_reading(
    host: FakeHost, a: FakeGpu, caplog: pytest.LogCaptureFixture
) -> None:
    a.error = ValueError("a bug")
    watched = Watched(host)
    async with watched.running():
        reading = await watched.until_state("gpu-a", State.UNREACHABLE)
        await watched.until_read("gpu-b")
    assert reading.faults[0].message == "the driver failed, see the log"
    assert "reading failed unexpectedly" in caplog.text


async def test_one_that_is_gone_keeps_its_place(host: FakeHost, a: FakeGpu) -> None:
    watched = Watched(host)
    async with watched.running():
        await watched.until_read("gpu-a")
        host.gone.add("gpu-a")
        a.error = Lost("fell off")
        host.told(happening(Happened.LOST))
        await watched.sink.until(lambda: watched.sink.named("gpu.missing"))
        await watched.until_state("gpu-a", State.FAULT)
        assert watched.missing[-1] == 1
        host.gone.clear()
        a.error = None
        await watched.sink.until(lambda: watched.sink.named("gpu.complete"))
    (event,) = watched.sink.named("gpu.missing")
    assert event.details == {"expected": 2, "seen": 1, "missing": ["gpu-a"]}
    assert watched.inventory.by_id("gpu-a") is not None
    assert watched.missing[-1] == 0
    assert len(watched.sink.named("device.found")) == 2


async def test_one_that_cannot_be_examined_stays_what_it_was(host: FakeHost, a: FakeGpu) -> None:
    watched = Watched(host)
    async with watched.running():
        await watched.until_read("gpu-a")
        host.silent.add("gpu-a")
        before = host.surveys
        await watched.sink.until(lambda: host.surveys > before + 1)
    device = watched.inventory.by_id("gpu-a")
    assert device is not None
    assert (device.identity.model, device.address) == ("NVIDIA H100", A)
    assert watched.sink.named("device.changed") == watched.sink.named("gpu.missing") == []


async def test_one_that_a_former_run_knew_is_missed(host: FakeHost) -> None:
    watched = Watched(host)
    watched.known("gpu-c", C)
    watched.gpus.restore()
    assert watched.sink.settled_ids == ["gpu-c"]
    async with watched.running():
        await watched.until_state("gpu-c", State.FAULT)
        await watched.sink.until(lambda: watched.sink.named("gpu.missing"))
    assert watched.sink.named("gpu.missing")[0].details["missing"] == ["gpu-c"]


async def test_one_in_the_place_of_another_replaces_it(host: FakeHost) -> None:
    watched = Watched(host)
    watched.known("gpu-old", A)
    watched.gpus.restore()
    async with watched.running():
        await watched.until_read("gpu-a")
    (event,) = watched.sink.named("device.replaced")
    assert (event.device_id, event.details["former_id"]) == ("gpu-a", "gpu-old")
    assert watched.sink.gone_ids == ["gpu-old"]
    assert watched.of("gpu-old")[-1].state is State.UNREACHABLE
    assert watched.missing[-1] == 0


async def test_two_that_changed_places_are_both_there(
    host: FakeHost, a: FakeGpu, b: FakeGpu
) -> None:
    watched = Watched(host)
    watched.known("gpu-a", B)
    watched.known("gpu-b", A)
    watched.gpus.restore()
    async with watched.running():
        await watched.until_read("gpu-a")
        await watched.until_read("gpu-b")
    assert {device.id: device.address for device in watched.gpus} == {"gpu-a": A, "gpu-b": B}
    assert watched.sink.gone_ids == []


async def test_one_that_nobody_expects_any_more_is_forgotten(host: FakeHost) -> None:
    watched = Watched(host, expected=2)
    watched.known("gpu-c", C)
    watched.gpus.restore()
    async with watched.running():
        await watched.sink.until(lambda: watched.sink.named("gpu.forgotten"))
    assert watched.forgotten == watched.sink.gone_ids == ["gpu-c"]
    assert watched.inventory.by_id("gpu-c") is None
    assert watched.inventory.known.keys() == {"gpu-a", "gpu-b"}
    assert watched.missing[-1] == 0


async def test_fewer_than_expected_are_a_finding_though_nobody_knows_which(host: FakeHost) -> None:
    watched = Watched(host, expected=4)
    async with watched.running():
        await watched.sink.until(lambda: watched.sink.named("gpu.missing"))
    assert watched.sink.named("gpu.missing")[0].details == {
        "expected": 4,
        "seen": 2,
        "missing": [],
    }
    assert watched.missing[-1] == 2


async def test_a_service_that_is_away_is_no_change_of_state_of_each(
    host: FakeHost, a: FakeGpu, b: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.fleet.gpu_service.GRACE_S", 0.1)
    watched = Watched(host)
    async with watched.running():
        await watched.until_read("gpu-a")
        await watched.until_read("gpu-b")
        a.error = b.error = host.trouble = Unreachable("no such file")
        await watched.until_state("gpu-a", State.UNREACHABLE)
        await watched.until_state("gpu-b", State.UNREACHABLE)
        assert watched.unserved[-1] == 2
        a.error = b.error = host.trouble = None
        await watched.until_state("gpu-a", State.OK)
    assert watched.sink.names().count("gpu.unserved") == 1
    assert watched.sink.names().count("gpu.served") == 1
    assert watched.sink.named("device.state") == []
    assert watched.unserved[-1] == 0


async def test_a_host_without_gpus_is_left_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.fleet.gpu_service.GRACE_S", 0.0)
    monkeypatch.setattr("agent.fleet.gpus.AGAIN_FIRST_S", 0.01)
    host = FakeHost()
    host.trouble, host.absent = Unreachable("no socket"), True
    watched = Watched(host)
    async with watched.running():
        async with asyncio.timeout(5):
            while host.surveys < 4:
                await asyncio.sleep(0.01)
    assert watched.sink.events == []
    assert {*watched.unserved} == {0}


async def test_a_service_that_is_there_and_answers_nothing_is_a_finding_without_any_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.fleet.gpu_service.GRACE_S", 0.0)
    host = FakeHost()
    host.trouble = Unreachable("version 1 of the protocol; stoker-gpu speaks 2")
    watched = Watched(host)
    async with watched.running():
        await watched.sink.until(lambda: watched.sink.named("gpu.unserved"))
    (event,) = watched.sink.events
    assert event.details == {"error": "Unreachable", "devices": 1}
    assert "speaks 2" in event.message


async def test_a_fault_of_a_gpu_that_only_its_address_names(host: FakeHost, a: FakeGpu) -> None:
    watched = Watched(host)
    async with watched.running():
        await watched.until_read("gpu-a")
        host.told(fault(None, address=A))
        reading = await watched.until_state("gpu-a", State.QUARANTINED)
    assert watched.sink.named("gpu.fault")[0].device_id == "gpu-a"
    assert reading.power_w == 70.0


async def test_orders_go_before_readings(host: FakeHost, a: FakeGpu) -> None:
    watched = Watched(host)
    async with watched.running():
        await watched.until_read("gpu-a")
        device = watched.inventory.by_id("gpu-a")
        assert device is not None
        async with device.turn.action(Rank.ACTION):
            before = a.reads
            await watched.until_read("gpu-b", 4)
            assert a.reads == before
        await watched.until_read("gpu-a")
    assert watched.poller.total.outcomes["acted_on"] > 0


async def test_a_look_for_the_proof_of_an_order_is_as_any_reading(
    host: FakeHost, a: FakeGpu
) -> None:
    watched = Watched(host, fast_interval_s=60.0, medium_interval_s=60.0, slow_interval_s=60.0)
    async with watched.running():
        await watched.sink.until(lambda: watched.sink.settled_ids == ["gpu-a", "gpu-b"])
        host.told(fault())
        device = watched.inventory.by_id("gpu-a")
        assert device is not None
        await watched.poller.look(device)
        assert watched.of("gpu-a")[-1].state is State.QUARANTINED
        assert (await watched.poller.read_before(device)).state is State.OK
        assert (await watched.poller.read_now(device)).state is State.QUARANTINED


async def test_the_kernel_s_log_is_read_once_it_is_known_who_stands_where(host: FakeHost) -> None:
    watched = Watched(host)
    async with watched.running():
        await asyncio.wait_for(watched.heard_lines, 5)
        assert host.surveys > 0
    assert host.lines == ["a line"]


async def test_without_any_gpu_no_log_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.fleet.gpus.AGAIN_FIRST_S", 0.01)
    host = FakeHost()
    host.trouble, host.absent = Unreachable("no socket"), True
    watched = Watched(host)
    async with watched.running():
        async with asyncio.timeout(5):
            while host.surveys < 3:
                await asyncio.sleep(0.01)
    assert host.lines == []


async def test_it_goes_on_where_a_former_run_stopped(host: FakeHost) -> None:
    watched = Watched(host)
    async with watched.running():
        host.told(fault())
        async with asyncio.timeout(5):
            while not watched.memory.kept:
                await asyncio.sleep(0.01)
    host.begun_at = Mark()
    again = Watched(host)
    again.memory.kept = watched.memory.kept
    record = GpuRecord(again.memory, "boot")
    assert record.record.mark == Mark("epoch", 7)
    assert record.record.counts == {"gpu-a": {"xid-79": 1}}
    assert record.record.quarantines.keys() == {"gpu-a"}


async def test_a_part_that_fails_leaves_the_others_alone(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise RuntimeError("a bug")

    watched = Watched(host)
    run: Callable[[], Coroutine[Any, Any, None]] = broken
    monkeypatch.setattr(host, "run", run)
    async with watched.running():
        await watched.until_read("gpu-a")
    assert "gpu-service failed unexpectedly" in caplog.text

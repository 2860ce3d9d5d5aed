"""What happens to GPUs as events: once each, counted, and what follows from it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from agent.contract.details import EVENTS
from agent.fleet.events import Event
from agent.fleet.flood import BURST, PERIOD_S
from agent.fleet.gpu_news import GpuNews
from agent.fleet.gpu_record import GpuRecord
from drivers.api_gpu import Happened, Mark
from drivers.model import State
from tests.fakes import FakeClock
from tests.gpu_hosts import AT, MILD, FakeGpu, fault, happening

LATER = AT + timedelta(seconds=5)


class Memory:
    """A durable memory whose disk never fails."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self.kept[key] = value

    async def forget(self, key: str) -> None:
        self.kept.pop(key, None)


@dataclass
class Told:
    memory: Memory = field(default_factory=Memory)
    boot_id: str = "boot-1"
    clock: FakeClock = field(default_factory=FakeClock)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.record = GpuRecord(self.memory, self.boot_id)
        self.news = GpuNews(self.record, self.clock, self.events.append)

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    def shown(self, state: State = State.OK, **values: Any) -> Any:
        gpu = FakeGpu("gpu-a")
        gpu.state = state
        return self.news.shown("gpu-a", gpu.reading(**values))

    async def restarted(self, boot_id: str = "boot-1") -> Told:
        """The agent after a restart: the record was written a moment before."""
        task = asyncio.create_task(self.record.run())
        self.record.note()
        while not self.memory.kept:
            await asyncio.sleep(0)
        task.cancel()
        return Told(self.memory, boot_id)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(autouse=True)
def all_details_are_in_the_contract(told: Told) -> Any:
    yield
    for event in told.events:
        details = msgspec.to_builtins(event.details)
        msgspec.convert(details, EVENTS[event.name], strict=True)
        assert details.keys() <= {each.name for each in msgspec.structs.fields(EVENTS[event.name])}


def test_a_fault_says_what_is_to_be_done(told: Told) -> None:
    told.news.take(fault(process="4242 python3", gpu_instance=1))
    (event,) = told.named("gpu.fault")
    assert (event.device_id, event.address, event.at) == ("gpu-a", "pci:0000:1b:00.0", AT)
    assert event.details == {
        "code": "xid-79",
        "count": 1,
        "untold": 0,
        "title": "fell off the bus",
        "severity": "fatal",
        "cause": "gpu",
        "action": "reboot",
        "quarantine": True,
        "source": "driver",
        "process": "4242 python3",
        "gpu_instance": 1,
    }


def test_the_same_twice_is_two_events_and_they_are_counted_by_gpu_and_code(told: Told) -> None:
    for happened in (fault(), fault(), fault("gpu-b"), fault(code="xid-48")):
        told.news.take(happened)
    counts = [event.details["count"] for event in told.named("gpu.fault")]
    assert counts == [1, 2, 1, 1]


async def test_counts_and_what_was_heard_outlive_a_restart(told: Told) -> None:
    told.record.mark = lambda: Mark("epoch", 9)
    told.news.take(fault())
    again = await told.restarted()
    assert again.record.record.mark == Mark("epoch", 9)
    again.news.take(fault())
    assert again.named("gpu.fault")[0].details["count"] == 2


def test_a_gpu_that_nobody_knows_is_told_by_its_address(told: Told) -> None:
    told.news.take(fault(None))
    (event,) = told.named("gpu.fault")
    assert (event.device_id, event.address) == (None, "pci:0000:1b:00.0")
    assert not told.news.quarantines


def test_a_flood_is_told_by_number(told: Told) -> None:
    for _ in range(1000):
        told.news.take(fault(meaning=MILD))
    assert len(told.named("gpu.fault")) == BURST
    told.clock.advance(PERIOD_S)
    told.news.tick()
    last = told.named("gpu.fault")[-1]
    assert last.details == {"code": "xid-79", "count": 1000, "untold": 1000 - BURST}
    assert last.device_id == "gpu-a"


def test_a_fatal_fault_begins_a_quarantine_and_says_so_once(told: Told) -> None:
    told.news.take(fault())
    told.news.take(fault())
    (event,) = told.named("gpu.quarantined")
    assert event.details == {"reasons": ["xid-79"], "action": "reboot", "since": AT}
    assert told.shown().state is State.QUARANTINED
    told.news.take(fault(code="xid-48"))
    assert told.named("gpu.quarantined")[-1].details["reasons"] == ["xid-79", "xid-48"]


def test_a_mild_one_begins_none(told: Told) -> None:
    told.news.take(fault(meaning=MILD))
    assert told.shown().state is State.OK
    assert told.named("gpu.quarantined") == []


@pytest.mark.parametrize(
    ("mends", "by"),
    [
        (happening(Happened.RESET, at=LATER), "reset"),
        (happening(Happened.BACK, at=LATER), "back"),
        (happening(Happened.DRIVER, None, at=LATER), "driver"),
        (happening(Happened.ADVICE, at=LATER, action="none"), "recovered"),
    ],
)
def test_it_ends_when_the_gpu_was_mended_and_is_seen_well(told: Told, mends: Any, by: str) -> None:
    told.news.take(fault())
    assert told.shown(State.FAULT).state is State.FAULT
    told.news.take(mends)
    assert told.shown(State.FAULT).faults[-1].code == "quarantine"
    assert told.shown().state is State.OK
    (event,) = told.named("gpu.recovered")
    assert (event.details["by"], event.details["reasons"]) == (by, ["xid-79"])
    assert not told.news.quarantines


def test_what_mends_another_mends_not_this_one(told: Told) -> None:
    told.news.take(fault())
    told.news.take(happening(Happened.RESET, "gpu-b", at=LATER))
    assert told.shown().state is State.QUARANTINED


def test_counters_that_began_anew_show_that_the_driver_was_loaded_anew(told: Told) -> None:
    told.shown(energy_restarts=3)
    told.news.take(fault())
    assert told.shown(energy_restarts=3).state is State.QUARANTINED
    assert told.shown(energy_restarts=4).state is State.OK
    assert told.named("gpu.recovered")[0].details["by"] == "driver"


async def test_it_outlives_the_agent_and_a_start_of_the_host_mends(told: Told) -> None:
    told.news.take(fault())
    again = await told.restarted()
    assert again.shown().state is State.QUARANTINED
    assert again.events == []
    rebooted = await again.restarted("boot-2")
    later = datetime.fromtimestamp(rebooted.clock.now(), UTC) + timedelta(seconds=1)
    gpu = msgspec.structs.replace(FakeGpu("gpu-a").reading(), taken_at=later)
    assert rebooted.news.shown("gpu-a", gpu).state is State.OK
    assert rebooted.named("gpu.recovered")[0].details["by"] == "reboot"


def test_what_the_driver_wants_done_is_a_reason_and_its_end_mends(told: Told) -> None:
    told.news.take(happening(Happened.ADVICE, action="reset"))
    assert told.named("gpu.recovery")[0].details == {"action": "reset"}
    assert told.named("gpu.quarantined")[0].details["reasons"] == ["recovery-reset"]
    assert told.shown().state is State.QUARANTINED
    told.news.take(happening(Happened.ADVICE, at=LATER, action="none"))
    assert told.shown().state is State.OK
    assert told.named("gpu.recovered")[0].details["by"] == "recovered"


def test_what_a_person_begins_a_person_ends(told: Told) -> None:
    told.news.put("gpu-a", "fan rattles", "local:ana")
    assert told.named("gpu.quarantined")[0].details["who"] == "local:ana"
    told.news.take(happening(Happened.RESET, at=AT + timedelta(days=400)))
    assert told.shown().state is State.QUARANTINED
    assert told.news.lift("gpu-a", "local:ben")
    assert told.shown().state is State.OK
    (event,) = told.named("gpu.recovered")
    assert (event.details["by"], event.details["who"]) == ("lifted", "local:ben")
    assert not told.news.lift("gpu-a", "local:ben")


@pytest.mark.parametrize(
    "what", sorted(set(Happened) - {Happened.FAULT, Happened.FOUND, Happened.OTHER})
)
def test_each_thing_that_happens_has_its_event(told: Told, what: Happened) -> None:
    told.news.take(happening(what, action="none" if what is Happened.ADVICE else None))
    (event,) = told.events
    assert (event.device_id, event.message) == ("gpu-a", what.value)


def test_what_concerns_the_service_alone_is_no_event(told: Told) -> None:
    told.news.take(happening(Happened.FOUND))
    told.news.take(happening(Happened.OTHER, None))
    assert told.events == []


def test_where_the_kernel_names_no_start_of_the_host_none_is_claimed() -> None:
    memory = Memory()
    memory.kept["record"] = b"{}"
    assert not GpuRecord(memory, "boot-1").rebooted
    memory.kept["record"] = b'{"boot_id": "boot-0"}'
    assert GpuRecord(memory, "boot-1").rebooted


async def test_a_record_that_cannot_be_read_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory()
    memory.kept["record"] = b'{"counts": 5}'
    told = Told(memory)
    told.news.take(fault())
    assert told.named("gpu.fault")[0].details["count"] == 1
    assert "cannot be read" in caplog.text

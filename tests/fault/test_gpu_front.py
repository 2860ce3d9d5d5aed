"""What the agent is told of its GPUs: through a socket where a test says what `stoker-gpu` says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.api_gpu import GpuSettings, Happened, Happening, HostGpus, Mark
from drivers.errors import BadReply, DeviceTimeout, DriverError, Unreachable
from drivers.gpu.answers import (
    DriverFacts,
    Event,
    EventKind,
    Failed,
    GpuFound,
    Inventoried,
    Problem,
    Welcome,
)
from drivers.gpu.errors import (
    Cause,
    DriverHung,
    DriverNotLoaded,
    GpuLost,
    GpuUnknown,
    VersionMismatch,
)
from drivers.gpu.framing import REQUEST_LIMIT_BYTES, Frames, frame
from drivers.gpu.protocol import VERSION, Follow, Hello, Inventory, decode_client_message, encode
from drivers.model import State
from drivers.model_gpu import GpuFacts
from drivers.registry import check_fault_table, gpus
from tests.fakes import FakeClock

UUID, PLACE = "GPU-5A0052B9-13b2", "0000:1b:00.0"
ID = "gpu-5a0052b9-13b2"
EPOCH = "first-life"


class Server:
    """A `stoker-gpu` that says what it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epoch = EPOCH
        self.events: list[Event] = []
        self.gpus: list[GpuFound] = [
            GpuFound(UUID, GpuFacts(uuid=UUID, name="H100", pci_address="00000000:1B:00.0"))
        ]
        self.refuses: Problem | None = None
        self.followed: list[Follow] = []
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._serve, self.path)
        try:
            yield
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        frames = Frames(REQUEST_LIMIT_BYTES)
        while data := await reader.read(65536):
            for payload in frames.feed(data):
                for answer in self._answers(decode_client_message(payload)):
                    writer.write(frame(encode(answer)))

    def _answers(self, message: Any) -> list[msgspec.Struct]:
        if isinstance(message, Hello):
            if self.refuses:
                return [Failed(self.refuses)]
            return [Welcome(VERSION, self.epoch, len(self.events))]
        if isinstance(message, Follow):
            self.followed.append(message)
            after = message.after if message.epoch == self.epoch else 0
            return [event for event in self.events if event.seq > after]
        assert isinstance(message, Inventory)
        driver = DriverFacts("580.65.06", "13.580", "13.0")
        return [Inventoried(id=message.id, driver=driver, gpus=tuple(self.gpus))]

    def say(self, kind: EventKind = EventKind.XID, **values: Any) -> Event:
        """An event for all who are connected, and for those who come."""
        values = {"uuid": UUID, "pci_address": PLACE, "message": "", "at": time.time()} | values
        event = Event(seq=len(self.events) + 1, kind=kind, **values)
        self.events.append(event)
        for writer in self._writers:
            writer.write(frame(encode(event)))
        return event


class Told:
    """What the agent hears."""

    def __init__(self, path: Path, mark: Mark | None = None) -> None:
        self.heard: list[Happening] = []
        self._news = asyncio.Event()
        settings = GpuSettings(socket=path, medium_s=15.0, slow_s=60.0)
        clock = FakeClock()
        clock.now = time.time  # type: ignore[method-assign]
        self.gpus: HostGpus = gpus(settings, clock, self._take, mark or Mark())

    def _take(self, heard: Happening) -> None:
        self.heard.append(heard)
        self._news.set()

    def codes(self) -> list[str]:
        return [heard.code for heard in self.heard if heard.code is not None]

    async def until(self, count: int) -> list[Happening]:
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                self._news.clear()
                await self._news.wait()
        return self.heard

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.gpus.run())
        try:
            async with asyncio.timeout(10):
                while isinstance(self.gpus.problem, Unreachable):
                    await asyncio.sleep(0.01)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path / "gpu.sock")
    async with made.serving():
        yield made


@pytest.fixture
def told(server: Server) -> Told:
    return Told(server.path)


def line(xid: int, rest: str = "pid=77, name=python3, Ch 00000008") -> str:
    return f"NVRM: Xid (PCI:0000:1b:00): {xid}, {rest}"


async def test_who_is_there(server: Server, told: Told) -> None:
    server.gpus.append(GpuFound("GPU-2", problem=Problem(Cause.LOST, "fell off")))
    server.say(EventKind.GPU_LOST, uuid="GPU-2", pci_address="0000:43:00.0")
    async with told.running():
        await told.until(1)
        there, gone = await told.gpus.survey()
    assert (there.identity.id, there.identity.make, there.identity.model) == (ID, "NVIDIA", "H100")
    assert there.address == f"pci:{PLACE}"
    assert there.facts is not None
    assert there.facts.driver_version == "580.65.06"
    assert there.problem is None
    assert (gone.identity.id, gone.address, gone.facts) == ("gpu-2", "pci:0000:43:00.0", None)
    assert isinstance(gone.problem, GpuLost)
    assert told.gpus.driver(ID) is there.driver


async def test_a_fault_with_what_the_table_says(server: Server, told: Told) -> None:
    async with told.running():
        server.say(xid=79, gpu_instance=1)
        (heard,) = await told.until(1)
    assert (heard.what, heard.code, heard.device_id) == (Happened.FAULT, "xid-79", ID)
    assert heard.address == f"pci:{PLACE}"
    assert heard.meaning is not None
    assert (heard.meaning.action, heard.meaning.quarantine) == ("reboot", True)
    assert heard.message.startswith("XID 79: ")
    assert (heard.source, heard.gpu_instance) == ("driver", 1)


async def test_what_both_tell_is_told_once_whoever_is_first(server: Server, told: Told) -> None:
    async with told.running():
        server.say(xid=79)
        await told.until(1)
        assert told.gpus.report(line(79), time.time())
        assert told.gpus.report(line(31), time.time())
        await told.until(2)
        server.say(xid=31)
        server.say(xid=48)
        await told.until(3)
    assert told.codes() == ["xid-79", "xid-31", "xid-48"]
    assert told.heard[1].process == "77 python3"
    assert told.heard[1].source == "kernel_log"


async def test_twice_from_both_is_twice(server: Server, told: Told) -> None:
    async with told.running():
        for _ in range(2):
            server.say(xid=79)
            told.gpus.report(line(79), time.time())
        await told.until(2)
        server.say(xid=13)
        await told.until(3)
    assert told.codes() == ["xid-79", "xid-79", "xid-13"]


async def test_other_lines_say_nothing(told: Told) -> None:
    assert not told.gpus.report("usb 1-1: new device", time.time())
    assert told.heard == []


async def test_a_later_agent_goes_on_where_this_one_stopped(server: Server, told: Told) -> None:
    async with told.running():
        server.say(xid=79)
        server.say(EventKind.HUNG, message="does not return")
        await told.until(2)
    mark = msgspec.json.decode(msgspec.json.encode(told.gpus.mark), type=Mark)
    assert (mark.epoch, mark.seq) == (EPOCH, 2)
    server.say(xid=48)
    again = Told(server.path, mark)
    async with again.running():
        await again.until(1)
        # the kernel's words for what the driver had told before
        assert again.gpus.report(line(79), time.time())
    assert again.codes() == ["xid-48"]
    assert server.followed[-1].after == 2


async def test_what_was_told_long_ago_is_not_remembered(server: Server, told: Told) -> None:
    async with told.running():
        server.say(xid=79, at=time.time() - 3600)
        await told.until(1)
    assert told.gpus.mark.recent == ()


async def test_an_epoch_that_ended_hides_nothing(server: Server) -> None:
    server.say(xid=79)
    told = Told(server.path, Mark("another-life", 40))
    async with told.running():
        await told.until(1)
    assert told.codes() == ["xid-79"]
    assert told.gpus.mark.epoch == EPOCH


@pytest.mark.parametrize("kind", sorted(set(EventKind) - {EventKind.XID}))
async def test_every_kind_of_event_is_taken(server: Server, told: Told, kind: EventKind) -> None:
    async with told.running():
        server.say(kind, message="words", recovery_action="reset")
        (heard,) = await told.until(1)
    assert heard.what is not Happened.FAULT
    assert (heard.message, heard.device_id) == ("words", ID)


async def test_another_version_says_so(server: Server, told: Told) -> None:
    words = "version 1 of the protocol; stoker-gpu speaks 2"
    server.refuses = Problem(Cause.BAD_REQUEST, words)
    async with told.running():
        with pytest.raises(BadReply, match="speaks 2") as caught:
            await told.gpus.survey()
    verdict = told.gpus.verdict(caught.value)
    assert (verdict.everywhere, verdict.absent) == (True, False)


@pytest.mark.parametrize(
    ("error", "state", "code", "everywhere"),
    [
        (GpuLost("fell off"), State.FAULT, "lost", False),
        (GpuUnknown("never was"), State.FAULT, "missing", False),
        (DriverHung("does not return"), State.UNREACHABLE, "hung", False),
        (DeviceTimeout("late"), State.UNREACHABLE, "timeout", False),
        (VersionMismatch("570 and 580"), State.UNREACHABLE, "version_mismatch", True),
        (DriverNotLoaded("none"), State.UNREACHABLE, "not_loaded", True),
        (Unreachable("hung up"), State.UNREACHABLE, "service", True),
    ],
)
async def test_what_errors_say_of_a_gpu(
    told: Told, error: DriverError, state: State, code: str, everywhere: bool
) -> None:
    verdict = told.gpus.verdict(error)
    assert (verdict.state, verdict.fault.code, verdict.everywhere) == (state, code, everywhere)
    assert verdict.fault.message == str(error)
    assert verdict.absent == (code == "not_loaded")


async def test_where_there_is_no_socket_there_may_be_no_gpus(tmp_path: Path) -> None:
    told = Told(tmp_path / "none.sock")
    with pytest.raises(Unreachable) as caught:
        await told.gpus.survey()
    assert told.gpus.verdict(caught.value).absent


def test_a_table_that_is_wrong_is_said_beforehand(tmp_path: Path) -> None:
    table = tmp_path / "faults.toml"
    table.write_text("version = 1\n[xid.79]\nquarantine = 5\n")
    with pytest.raises(DriverError, match=r"xid\.79"):
        check_fault_table(table)
    table.write_text("version = 1\n[xid.79]\nquarantine = false\n")
    check_fault_table(table)

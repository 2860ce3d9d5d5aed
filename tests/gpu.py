"""`stoker-gpu` for tests: the real supervisor and its real child, on fake GPUs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from drivers.gpu.answers import Event, EventKind
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import Restarting
from drivers.gpu.protocol import Tier
from drivers.sim.nvml.build import NEWEST
from drivers.sim.nvml.control import FakeGpus
from tests.fake_nvml import binding, built

QUICK = {
    "slow_s": 0.3,
    "hung_s": 1.0,
    "leave_s": 1.2,
    "again_first_s": 0.1,
    "again_most_s": 0.4,
    "shun_first_s": 0.3,
    "shun_most_s": 0.6,
    "handover_s": 0.1,
    "lost_again_s": 0.1,
    "stop_s": 0.8,
}
"""Bounds with which faults show within a second or two."""
FAST = (Tier.FAST,)
ALL = (Tier.FAST, Tier.MEDIUM, Tier.SLOW)


@dataclass
class Service:
    """A running `stoker-gpu`."""

    fake: FakeGpus
    path: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def uuids(self) -> list[str]:
        """Of the GPUs, in the order of their slots."""
        return [gpu.uuid for gpu in self.fake.gpus]

    def children(self) -> list[psutil.Process]:
        """The processes that it started and that still live."""
        return [
            child
            for child in psutil.Process(self.process.pid).children()
            if child.status() != psutil.STATUS_ZOMBIE
        ]

    def stop(self) -> int:
        """End it as systemd does; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextlib.contextmanager
def fake_gpus(
    directory: Path, gpus: str = "h100-sxm*4", driver: str = NEWEST
) -> Iterator[FakeGpus]:
    """GPUs that everybody may set."""
    binding()
    fake = FakeGpus.create(directory / "gpus", gpus, built=built(driver))
    fake.let_write("all")
    try:
        yield fake
    finally:
        fake.close()


@contextlib.contextmanager
def service(
    directory: Path,
    fake: FakeGpus,
    *options: str,
    bounds: Mapping[str, float] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """`stoker-gpu` on these GPUs, ended in the end whatever hangs."""
    path, log = directory / "gpu.sock", directory / "log"
    words = [f"--bound={name}={value}" for name, value in (QUICK | dict(bounds or {})).items()]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "drivers.gpu", "--socket", str(path), *words, *options],
            stdout=out,
            stderr=out,
            env={**os.environ, **fake.environment(), **(environment or {})},
        )
    found = Service(fake, path, process, log)
    children: list[psutil.Process] = []
    try:
        yield found
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
        for child in children:  # those that hung and were left to themselves
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


@dataclass
class Heard:
    """Events as they come, to be waited for."""

    events: list[Event] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.news.set()

    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in self.events if event.kind is kind]

    async def until(self, kind: EventKind, count: int = 1, within_s: float = 10.0) -> list[Event]:
        """The events of a kind, once there are so many."""
        async with asyncio.timeout(within_s):
            while len(self.of(kind)) < count:
                self.news.clear()
                await self.news.wait()
        return self.of(kind)


@contextlib.asynccontextmanager
async def connected(path: Path, heard: Heard | None = None) -> AsyncIterator[GpuClient]:
    """A client, connected once the socket is there."""
    client = GpuClient(path, told=heard, wait=lambda _: 0.05)
    task = asyncio.create_task(client.run())
    try:
        async with asyncio.timeout(10):
            await client.connected.wait()
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def opened(client: GpuClient) -> None:
    """Wait until the driver is open: on a busy machine its child takes seconds to begin."""
    async with asyncio.timeout(20):
        while True:
            try:
                await client.inventory()
            except Restarting:
                await asyncio.sleep(0.1)
            else:
                return

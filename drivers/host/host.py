"""The host that the agent runs on, as a device like the others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import psutil

from drivers.api import Clock
from drivers.errors import DeviceTimeout
from drivers.host import sample
from drivers.host.clocksync import ClockSync, host_clock
from drivers.host.identity import read_identity
from drivers.model import Fingerprint, HostReading, Identity, Kind, Sample, State

_T = TypeVar("_T")


class Host:
    """This host. Reads run in a thread, since a sick disk can hold statvfs(2) for minutes."""

    def __init__(
        self, clock: Clock, clock_sync: ClockSync | None = None, *, root: Path = Path("/")
    ) -> None:
        self._clock = clock
        self._clock_sync = clock_sync or host_clock()
        self._root = root
        self._identity: Identity | None = None
        self._cpu = sample.CpuMeter()
        self._one_read = threading.Lock()

    async def identify(self) -> Identity:
        """Who this host is."""
        self._identity = await asyncio.to_thread(read_identity, self._root)
        return self._identity

    async def read(self) -> Sample:
        """Read the host once; raises `DeviceTimeout` while an earlier read still hangs."""
        identity = self._identity or await self.identify()
        return await asyncio.to_thread(self._read, identity)

    async def close(self) -> None:
        """Nothing is held."""

    def _read(self, identity: Identity) -> Sample:
        # waiting here, one thread more for each read would in the end use up all there are
        if not self._one_read.acquire(blocking=False):
            raise DeviceTimeout("an earlier read of this host still waits for a disk")
        try:
            reading = self._reading_now(identity)
        finally:
            self._one_read.release()
        return Sample(reading, Fingerprint(traits=(identity.id,), uptime_s=reading.uptime_s))

    def _reading_now(self, identity: Identity) -> HostReading:
        missing: list[str] = []
        volumes = _part("volumes", sample.volumes, missing)
        if volumes and not volumes[1]:
            missing.append("volumes")
        memory = _part("memory", psutil.virtual_memory, missing)
        clock = self._clock_sync.state()
        return HostReading(
            device_id=identity.id,
            kind=Kind.HOST,
            taken_at=datetime.fromtimestamp(self._clock.now(), UTC),
            state=State.OK,
            uptime_s=time.clock_gettime(time.CLOCK_BOOTTIME),
            cpu_percent=_part("cpu", self._cpu.percent, missing),
            load_1m=sample.load_1m(),
            memory_total_bytes=memory.total if memory else None,
            memory_available_bytes=memory.available if memory else None,
            clock_synchronised=clock.synchronised,
            clock_offset_s=clock.offset_s,
            clock_source=clock.source or None,
            volumes=volumes[0] if volumes else (),
            ports=_part("ports", sample.ports, missing) or (),
            thermometers=_part("thermometers", sample.thermometers, missing) or (),
            missing=tuple(missing),
        )


def _part(name: str, read: Callable[[], _T], missing: list[str]) -> _T | None:
    try:
        return read()
    except (OSError, RuntimeError, psutil.Error):
        missing.append(name)
        return None

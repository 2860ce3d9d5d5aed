"""Reads the GPUs of this host at their own pace, each by itself: one that hangs holds no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from agent.fleet.gpu_around import Around
from agent.fleet.gpu_service import ServiceWatch
from agent.fleet.inventory import Device
from agent.fleet.turn import Preempted
from drivers.api_gpu import HostGpus, Verdict
from drivers.errors import DriverError, DriverFault
from drivers.model import Kind, Sample
from drivers.model_gpu import GpuReading

log = logging.getLogger("stoker.gpu")


class GpuReads:
    """Reads each GPU once an interval; what cannot be read is published as what it is."""

    def __init__(
        self,
        interval_s: float,
        around: Around,
        host: HostGpus,
        service: ServiceWatch,
    ) -> None:
        self._interval_s = interval_s
        self._inventory, self._poller = around.inventory, around.poller
        self._sink, self._clock = around.sink, around.clock
        self._host = host
        self._service = service
        self._under_way: set[str] = set()

    async def run(self, devices: Callable[[], Iterable[Device]]) -> None:
        """Read until cancelled. A round does not wait for the one before it."""
        due = self._clock.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                for device in devices():
                    if device.id not in self._under_way and not self._poller.precedence.claimed:
                        self._under_way.add(device.id)
                        group.create_task(self._read(device), name=f"read-{device.id}")
                due = max(due + self._interval_s, self._clock.monotonic())
                await asyncio.sleep(due - self._clock.monotonic())

    async def _read(self, device: Device) -> None:
        try:
            if device.turn.acted_on:  # whoever acts on it reads it as well
                self._poller.count("acted_on")
                return
            async with device.turn:
                sample = await device.driver.read()
            self._answered(device, sample)
        except Preempted:
            self._poller.count("preempted")
        except DriverError as error:
            self._failed(device, error)
        except Exception:
            log.exception("reading failed unexpectedly", extra={"device": device.id})
            self._failed(device, DriverFault("the driver failed, see the log"))
        finally:
            self._under_way.discard(device.id)

    def _answered(self, device: Device, sample: Sample) -> None:
        self._poller.count("ok")
        self._service.answered()
        if self._inventory.by_id(device.id) is device:
            self._poller.accept(device, sample)

    def _failed(self, device: Device, error: DriverError) -> None:
        self._poller.count(type(error).__name__)
        if self._inventory.by_id(device.id) is not device:
            return
        verdict = self._host.verdict(error)
        reading = self._unread(device, verdict)
        if not verdict.everywhere:
            self._poller.accept(device, Sample(reading))
        elif self._service.failed(error, verdict):
            # told once for all of them, not as a change of state of each
            device.last = self._poller.amend(device, reading)
            self._sink.reading(device.last)

    def _unread(self, device: Device, verdict: Verdict) -> GpuReading:
        return GpuReading(
            device_id=device.id,
            kind=Kind.GPU,
            taken_at=datetime.fromtimestamp(self._clock.now(), UTC),
            state=verdict.state,
            faults=(verdict.fault,),
            missing=("everything",),
        )

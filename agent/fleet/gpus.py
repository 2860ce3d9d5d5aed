"""The GPUs of this host: found, read at their own pace, missed where they are gone.

They are read by a service of their own, which may be absent, old or stuck. That is one finding; the
rest of the fleet does not notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from agent.config.schema import Gpu
from agent.fleet import gpu_roll
from agent.fleet.events import Event
from agent.fleet.gpu_around import Around
from agent.fleet.gpu_news import GpuNews
from agent.fleet.gpu_reads import GpuReads
from agent.fleet.gpu_record import GpuRecord
from agent.fleet.gpu_service import ServiceWatch
from agent.fleet.inventory import Device, Settled
from drivers.api import Endpoint
from drivers.api_gpu import BuiltIn, Happened, Happening, HostGpus, Mark, Verdict
from drivers.errors import DriverError
from drivers.model import Kind, Reading
from drivers.probe import Finding

log = logging.getLogger("stoker.gpu")

SURVEYS_EVERY = 5
"""Of the slow intervals; one that is missing is looked for in each."""
AGAIN_FIRST_S, AGAIN_MOST_S = 1.0, 30.0
GATHER_S = 0.2
"""What happens comes in company: one look serves all of it."""
RESTART_S = 30.0
"""How long a part rests that failed in a way that nobody foresaw."""
TICK_S = 5.0
_CALLS_ROLL = frozenset(
    {
        Happened.FOUND,
        Happened.LOST,
        Happened.BACK,
        Happened.UNAVAILABLE,
        Happened.FREED,
        Happened.RESET,
        Happened.RESUMED,
        Happened.DRIVER,
    }
)
_GONE = frozenset({"lost", "missing"})
"""Codes of verdicts that say that a GPU is not there."""


Open = Callable[[Callable[[Happening], None], Mark], HostGpus]
"""Makes the GPUs of this host: given who is told what happens, and from where on."""
Listen = Callable[[Callable[[str, float], bool]], Coroutine[Any, Any, None]]
"""Hands on lines of the kernel's log, and when each was written, until cancelled."""


class Gpus:
    """Watches the GPUs of this host until cancelled."""

    def __init__(
        self, settings: Gpu, open_gpus: Open, listen: Listen, record: GpuRecord, around: Around
    ) -> None:
        """Raises a `DriverError` where the table of faults cannot be used."""
        self._settings = settings
        self._listen = listen
        self._around = around
        self._inventory, self._clock = around.inventory, around.clock
        self._record = record
        self.news = GpuNews(record, around.clock, around.sink.event)
        self._host = open_gpus(self._heard, record.record.mark)
        record.mark = lambda: self._host.mark
        tell = around.sink.event
        self._service = ServiceWatch(around.clock, tell, around.unserved, self._concerned)
        self._reads = GpuReads(settings.fast_interval_s, around, self._host, self._service)
        self._wanted = asyncio.Event()
        self._known = asyncio.Event()
        """Set once it is known which GPU stands where."""
        self._roll: gpu_roll.Call | None = None
        around.poller.amend = self._amended

    def __iter__(self) -> Iterator[Device]:
        return iter([device for device in self._inventory if device.identity.kind is Kind.GPU])

    def survey_soon(self) -> None:
        """Look which GPUs there are as soon as it can be done."""
        self._wanted.set()

    def restore(self) -> None:
        """Place those that a former run knew, so that one that is gone is missed."""
        for known in self._inventory.standing():
            if known.identity.kind is Kind.GPU:
                driver = self._host.driver(known.identity.id)
                endpoint, name = Endpoint(known.address), self._host.driver_name
                finding = Finding(endpoint, name, driver, known.identity, ("known",))
                device = self._inventory.restore(finding, known.since)
                self._around.sink.settled(device)
                self._known.set()

    # --- the parts -----------------------------------------------------------------------

    async def run(self) -> None:
        """Watch until cancelled. No failure of a part ends the others."""
        parts = {
            "service": self._host.run,
            "survey": self._surveys,
            "record": self._record.run,
            "kernel": self._listening,
            "reads": lambda: self._reads.run(lambda: self),
            "news": self._ticking,
        }
        async with asyncio.TaskGroup() as group:
            for name, work in parts.items():
                group.create_task(_kept(f"gpu-{name}", work), name=f"gpu-{name}")

    async def _surveys(self) -> None:
        again_s = AGAIN_FIRST_S
        while True:
            self._wanted.clear()
            try:
                self._enter(await self._host.survey())
                again_s, wait_s = AGAIN_FIRST_S, self._next_survey_s()
            except DriverError as error:
                verdict = self._host.verdict(error)
                if verdict.everywhere:
                    self._service.failed(error, verdict)
                wait_s, again_s = again_s, min(2 * again_s, AGAIN_MOST_S)
            try:
                async with asyncio.timeout(wait_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(GATHER_S)

    def _next_survey_s(self) -> float:
        complete = self._roll is not None and not self._roll.short_by
        return self._settings.slow_interval_s * (SURVEYS_EVERY if complete else 1)

    async def _listening(self) -> None:
        await self._known.wait()
        await self._listen(self._host.report)

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.news.tick()

    def _concerned(self, verdict: Verdict) -> int:
        """How many GPUs are not read; a host without any misses nothing."""
        devices = sum(1 for _ in self)
        expected = self._settings.expected or len(self._settings.expected_ids)
        return max(devices, expected, 0 if verdict.absent else 1)

    def _amended(self, device: Device, reading: Reading) -> Reading:
        if device.identity.kind is not Kind.GPU:
            return reading
        return self.news.shown(device.id, reading)

    # --- what happens --------------------------------------------------------------------

    def _heard(self, heard: Happening) -> None:
        if heard.device_id is None and heard.address is not None:
            device = self._inventory.at(heard.address)
            heard = msgspec.structs.replace(heard, device_id=device.id if device else None)
        self.news.take(heard)
        if heard.what in _CALLS_ROLL:
            self._wanted.set()
        self._record.note()

    # --- who is there --------------------------------------------------------------------

    def _enter(self, found: tuple[BuiltIn, ...]) -> None:
        self._service.answered()
        there = [each for each in found if not self._is_gone(each)]
        displaced: list[Device] = []
        for each in there:
            if each.facts is not None or self._inventory.by_id(each.identity.id) is None:
                displaced += self._settled(self._settle(each))
        self._see_off(displaced)
        seen = [each.identity.id for each in there]
        roll = gpu_roll.call(self._settings, [device.id for device in self], seen)
        for device_id in roll.forgotten:
            self._forget(device_id)
        self._tell_roll(roll)
        self._known.set()

    def _is_gone(self, each: BuiltIn) -> bool:
        return each.problem is not None and self._host.verdict(each.problem).fault.code in _GONE

    def _settle(self, each: BuiltIn) -> Settled:
        endpoint, name = Endpoint(each.address), self._host.driver_name
        finding = Finding(endpoint, name, each.driver, each.identity, ("built in",))
        return self._inventory.settle(finding, self._clock.now())

    def _settled(self, settled: Settled) -> tuple[Device, ...]:
        for event in settled.events:
            log.info("%s: %s", event.name, event.message, extra={"device": event.device_id})
            self._around.sink.event(event)
        self._around.sink.settled(settled.device)
        return settled.displaced

    def _see_off(self, displaced: list[Device]) -> None:
        """Those in whose place another GPU is, and that are in no other."""
        for device in displaced:
            if self._inventory.by_id(device.id) is None:
                self._around.poller.tell_unreachable(device.identity)
                self._around.sink.gone(device.id)

    def _forget(self, device_id: str) -> None:
        device = self._inventory.forget(device_id)
        self._around.forget(device_id)
        self._record.forget(device_id)
        self._around.sink.gone(device_id)
        address = device.address if device else None
        words = "it is gone, and nobody expects it any more"
        self._tell("gpu.forgotten", words, device_id=device_id, address=address)

    def _tell_roll(self, roll: gpu_roll.Call) -> None:
        before, self._roll = self._roll, roll
        self._around.missing(roll.short_by)
        details = {"expected": roll.expected, "seen": roll.seen}
        if roll.short_by and (before is None or before.gap != roll.gap):
            words = f"{roll.seen} of {roll.expected} GPUs are there"
            missing = {"missing": list(roll.missing)}
            self._tell("gpu.missing", words, details={**details, **missing})
        elif before is not None and before.short_by and not roll.short_by:
            self._tell("gpu.complete", f"all {roll.expected} GPUs are there", details=details)

    def _tell(self, name: str, message: str, **more: Any) -> None:
        log.warning("%s: %s", name, message, extra={"device": more.get("device_id")})
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        self._around.sink.event(Event(name=name, at=at, message=message, **more))


async def _kept(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do a part's work, again after a while where it failed: the agent goes on without it."""
    while True:
        try:
            await work()
            return
        except Exception:
            log.exception("%s failed unexpectedly", name)
            await asyncio.sleep(RESTART_S)

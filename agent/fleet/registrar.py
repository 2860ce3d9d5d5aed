"""Finds out who stands at an address, and enters it: at discovery, and whenever there is doubt.

A reading taken in doubt is held until the machine has said who it is; then it is published
under that id. Where nobody says, it is published under the provisional id of the address:
neither lost nor claimed for a machine that was not seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from agent.fleet.continuity import Baseline
from agent.fleet.continuity import doubt as discontinuity
from agent.fleet.health import Health
from agent.fleet.inventory import Device, Inventory, Settled
from agent.fleet.lane import Lane
from agent.fleet.pacer import Pacer
from agent.fleet.poller import Poller
from agent.fleet.schedule import Due
from agent.fleet.sink import Sink
from agent.fleet.turn import Preempted
from drivers.api import Clock, Context, Endpoint
from drivers.errors import DriverError
from drivers.model import Identity, Sample
from drivers.probe import Finding, completed, probe

log = logging.getLogger("stoker.registrar")

WORKERS = 32
HELD_S = 5.0
"""In a site-wide recovery doubts queue for minutes; within this long nobody swaps a machine."""
ACTED_ON_S = 900.0
"""How long after an action of ours a machine may show its traces: it boots, tunes, ramps up."""
TRIES_BEFORE_UNCONFIRMED = 3
"""A web page that fails once or twice does not make a known machine an unknown one."""


class Doubt(NamedTuple):
    """A device, the reading that raised the doubt, and the deadline it was taken for."""

    device: Device
    due: Due[str] | None
    """None for a reading out of turn, after which the schedule goes on as it was."""
    sample: Sample
    at: float
    """Monotonic time of the reading: while it waits here, the machine's uptime goes on."""


class Registrar:
    """Enters devices into the inventory."""

    def __init__(
        self,
        inventory: Inventory,
        clock: Clock,
        sink: Sink,
        contexts: Callable[[Endpoint], Context],
        per_second: float,
    ) -> None:
        self._inventory = inventory
        self._clock = clock
        self._sink = sink
        self._contexts = contexts
        self._pacer = Pacer(per_second, clock)
        self._fruitless: dict[str, int] = {}
        self.poller: Poller  # set by the app: poller and registrar know each other

    async def run(self) -> None:
        """Settle doubts until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._lane = Lane("confirm", WORKERS, self._settle_doubt, group)
            self._vacant = Lane("vacant", WORKERS, self._look_again, group)
            self._leaving = Lane("leaving", WORKERS, self._close, group)
            await asyncio.Event().wait()

    def doubted(self, device: Device, due: Due[str] | None, sample: Sample, reason: str) -> None:
        """Have a device say who it is before its reading is published."""
        log.debug("identity in doubt: %s", reason, extra={"device": device.id})
        self._lane.put(Doubt(device, due, sample, self._clock.monotonic()))

    async def discover(self, endpoint: Endpoint) -> Device | None:
        """Ask whoever stands at an address where no device is known, and read it once.

        None where nothing usable answers.
        """
        context = self._contexts(endpoint)
        try:
            finding = await probe(endpoint, context)
            sample = await _first_reading(finding)
        except DriverError as error:
            log.debug("nothing found at %s: %s", endpoint.address, error)
            return None
        read_at = self._clock.monotonic()
        device = self._enter(await self._settle(finding), sample, read_at)
        self.poller.add(device)
        return device

    async def reidentify(self, device: Device) -> Identity:
        """Ask a device anew who it is, out of turn; for effects that show in its identity.

        Raises the driver's errors, and `Preempted`.
        """
        former = device.driver
        async with device.turn:
            finding = await probe(device.endpoint, self._contexts(device.endpoint))
            sample = await _first_reading(finding)
        entered = self._enter(await self._settle(finding), sample, self._clock.monotonic())
        if entered is not device:
            self.poller.add(entered)
        await former.close()
        return finding.identity

    async def _settle_doubt(self, doubt: Doubt) -> None:
        try:
            await self._confirm(doubt)
        except Preempted:
            self._lane.put(doubt)  # what urgent thing was done to it, we still must know who it is
            return
        except Exception:
            log.exception("confirming failed unexpectedly", extra={"device": doubt.device.id})
        if doubt.due is not None:
            self.poller.resume(doubt.due)

    async def _confirm(self, doubt: Doubt) -> None:
        device, sample = doubt.device, doubt.sample
        recently = self._clock.monotonic() - device.acted_at < ACTED_ON_S
        acted_on = recently and not device.identity.provisional
        if not acted_on:
            await self._pacer.turn()
        try:
            async with device.turn:
                finding = await (self._who(device) if acted_on else self._probe(device))
                fresh = await self._read_again(finding, doubt)
        except DriverError as error:
            log.debug("not confirmed: %s", error, extra={"device": device.id})
            self._publish_provisionally(device, sample)
            return
        except Preempted:
            raise
        except Exception:
            log.exception("identifying failed unexpectedly", extra={"device": device.id})
            self._publish_provisionally(device, sample)
            return
        if finding.identity.provisional and not device.identity.provisional:
            tries = self._fruitless[device.address] = self._fruitless.get(device.address, 0) + 1
            if tries < TRIES_BEFORE_UNCONFIRMED:
                await finding.driver.close()
                self._publish_provisionally(device, sample)
                return
        self._fruitless.pop(device.address, None)
        former = device.driver
        if fresh is None:
            entered = self._enter(await self._settle(finding), sample, doubt.at)
        else:
            entered = await self._enter_late(finding, doubt, fresh)
        if entered is not device:
            self.poller.add(entered)
        if entered.driver is not former:
            await former.close()

    async def _probe(self, device: Device) -> Finding:
        return await probe(device.endpoint, self._contexts(device.endpoint))

    async def _who(self, device: Device) -> Finding:
        """Ask a machine that we have just told something, by the driver that told it.

        Its uptime or its words may well be others now; that it is the same machine shows in its
        identity, with a few questions. Whoever says anything else is looked at from the start.
        """
        try:
            identity = completed(await device.driver.identify())
        except DriverError:
            return await self._probe(device)
        if identity.id != device.id:
            return await self._probe(device)
        name, evidence = device.driver_name, device.evidence
        return Finding(device.endpoint, name, device.driver, identity, evidence)

    async def _read_again(self, finding: Finding, doubt: Doubt) -> Sample | None:
        """Read once more where the doubt waited long: yet another machine may have come since."""
        if self._clock.monotonic() - doubt.at <= HELD_S:
            return None
        return await _first_reading(finding)

    async def _enter_late(self, finding: Finding, doubt: Doubt, fresh: Sample) -> Device:
        """Enter by the fresh reading; the held one counts where the fresh one goes on from it."""
        now = self._clock.monotonic()
        held = doubt.sample.fingerprint
        broken = discontinuity(Baseline(held, doubt.at), held.counters, fresh.fingerprint, now)
        if broken:
            self._publish_stray(doubt.device, doubt.sample)
            return self._enter(await self._settle(finding), fresh, now)
        device = self._enter(await self._settle(finding), doubt.sample, doubt.at)
        self.poller.accept(device, fresh)
        return device

    async def _look_again(self, endpoint: Endpoint) -> None:
        """Ask who stands now where a machine was that has moved."""
        await self._pacer.turn()
        if self._inventory.at(endpoint.address) is not None:
            return
        try:
            await self.discover(endpoint)
        except Exception:
            log.exception("discovery failed unexpectedly at %s", endpoint.address)

    async def _close(self, gone: Device) -> None:
        """Give back what the driver of a device holds that stands there no more."""
        with contextlib.suppress(Preempted):
            async with gone.turn:
                await gone.driver.close()

    async def _settle(self, finding: Finding) -> Settled:
        """Enter a finding, after asking the one that has the same identity elsewhere."""
        now = self._clock.now()
        other = self._inventory.by_id(finding.identity.id)
        elsewhere = other is not None and other.address != finding.endpoint.address
        if other is not None and elsewhere and await self._still_there(other):
            return self._inventory.as_duplicate(finding, now)
        return self._inventory.settle(finding, now)

    async def _still_there(self, device: Device) -> bool:
        if device.health.state is Health.OFFLINE:
            return False
        try:
            async with device.turn:
                found = await probe(device.endpoint, self._contexts(device.endpoint))
        except DriverError:
            return False
        except Preempted:
            return True  # somebody acts on it there
        await found.driver.close()
        return found.identity.id == device.id

    def _enter(self, settled: Settled, sample: Sample, read_at: float) -> Device:
        device = settled.device
        device.baseline = Baseline(sample.fingerprint, read_at)
        for gone in settled.displaced:
            self._see_off(gone, device)
        for event in settled.events:
            log.info("%s: %s", event.name, event.message, extra={"device": event.device_id})
            self._sink.event(event)
        self._sink.settled(device)
        self.poller.accept(device, sample, read_at)
        return device

    def _see_off(self, gone: Device, successor: Device) -> None:
        if gone.address != successor.address:
            self.poller.remove(gone.address)
            self._vacant.put(gone.endpoint)
            self._leaving.put(gone)
        if gone.id == successor.id:
            return
        if not gone.identity.provisional:
            self.poller.tell_unreachable(gone.identity)
        self._sink.gone(gone.id)

    def _publish_provisionally(self, device: Device, sample: Sample) -> None:
        if device.identity.provisional:
            self.poller.accept(device, sample)
        else:
            self._publish_stray(device, sample)

    def _publish_stray(self, device: Device, sample: Sample) -> None:
        stray_id = device.endpoint.provisional_id
        self._sink.reading(msgspec.structs.replace(sample.reading, device_id=stray_id))
        self._sink.gone(stray_id)  # it happened, but no device of that id stands there


async def _first_reading(finding: Finding) -> Sample:
    """Read what was found; a driver that is not kept holds nothing."""
    try:
        return await finding.driver.read()
    except BaseException:
        await finding.driver.close()
        raise

"""Reads every device in its turn: bounded, under deadlines, the failing apart from the rest."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from agent.config.schema import Polling
from agent.fleet.continuity import doubt
from agent.fleet.events import Event
from agent.fleet.health import Health, wait_after_failures_s
from agent.fleet.histogram import Histogram
from agent.fleet.inventory import Device, Inventory
from agent.fleet.lane import Lane
from agent.fleet.precedence import Precedence
from agent.fleet.schedule import Due, Schedule
from agent.fleet.sink import Sink
from agent.fleet.turn import Preempted
from drivers.api import Clock
from drivers.capabilities import Refreshes
from drivers.errors import DriverError, DriverFault, IdentityMismatch, NoResources
from drivers.model import Identity, Kind, MinerReading, Reading, Sample, State
from drivers.model_gpu import GpuReading

log = logging.getLogger("stoker.poller")

TICK_S = 0.01
"""Deadlines are looked at this often: the devices of one tick start together."""
PROVISIONAL_CONFIRM_S = 300.0
"""Who has not shown who it is is asked again this often, if confirmations are rarer."""

_SHAPES: dict[Kind, type[Reading]] = {Kind.ASIC: MinerReading, Kind.GPU: GpuReading}

Doubted = Callable[[Device, Due[str] | None, Sample, str], None]
Observer = Callable[[Device, Reading, float], None]
"""Device, reading, and when it was taken (monotonic)."""


class PollStats:
    """What the poller did since it was last asked; `stoker status` and the summary show it."""

    def __init__(self) -> None:
        self.lateness = Histogram()
        self.outcomes: Counter[str] = Counter()


class Poller:
    """Polls the devices of the inventory on a schedule, until cancelled."""

    def __init__(
        self,
        settings: Polling,
        inventory: Inventory,
        clock: Clock,
        rng: random.Random,
        sink: Sink,
        doubted: Doubted,
        *,
        precedence: Precedence,
    ) -> None:
        self._settings = settings
        self._inventory = self.inventory = inventory
        self._clock = clock
        self._rng = rng
        self._sink = sink
        self._doubted = doubted
        self.precedence = precedence
        self._schedule: Schedule[str] = Schedule(
            settings.interval_s, settings.per_subnet_per_s, rng
        )
        self.observe: Observer = lambda _device, _reading, _at: None
        """Told of every reading whose device is certain; must not raise."""
        self.amend: Callable[[Device, Reading], Reading] = lambda _device, reading: reading
        """Adds to such a reading what its device does not show; must not raise."""
        self.stats = PollStats()
        self.total = PollStats()

    async def run(self) -> None:
        """Poll until cancelled."""
        settings = self._settings
        async with asyncio.TaskGroup() as group:
            self._good = Lane("poll", settings.concurrency, self._poll, group)
            self._suspect = Lane("suspect", settings.suspect_concurrency, self._poll, group)
            while True:
                if not self.precedence.claimed:
                    for due in self._schedule.pop_due(self._clock.monotonic()):
                        self._lane(due).put(due)
                await asyncio.sleep(TICK_S)

    def add(self, device: Device) -> None:
        """Poll a device from now on."""
        self._schedule.remove(device.address)
        self._schedule.add(device.address, device.subnet, self._clock.monotonic())

    def remove(self, address: str) -> None:
        """Poll the device of an address no more."""
        self._schedule.remove(address)

    def resume(self, due: Due[str]) -> None:
        """Take a device up again whose identity was being confirmed."""
        if due.key not in self._schedule or self._inventory.at(due.key) is None:
            return
        self._schedule.again(due, self._clock.monotonic())

    def accept(self, device: Device, sample: Sample, at: float | None = None) -> None:
        """Publish a reading whose device is certain, taken `at` (monotonic), now if not said."""
        reading = sample.reading
        if reading.device_id != device.id:
            reading = msgspec.structs.replace(reading, device_id=device.id)
        reading = self.amend(device, reading)
        device.last, device.counters = reading, sample.fingerprint.counters
        was = device.health.state
        if device.health.answered() and was is Health.OFFLINE:
            self._tell_health(device, "device.online", "answers again")
        self._note_state(device, reading.state)
        self._sink.reading(reading)
        self.observe(device, reading, self._clock.monotonic() if at is None else at)

    async def look(self, device: Device) -> None:
        """Read a device out of turn and anew, for the proof of an action; published as any other.

        Raises nothing. Whether it answers says nothing of its health: it may be booting as told.
        """
        if isinstance(device.driver, Refreshes):
            device.driver.refresh()
        await self.glance(device)

    async def glance(self, device: Device) -> None:
        """Read a device out of turn as its poll would, with the slow parts that are kept."""
        try:
            async with device.turn:
                sample = await device.driver.read()
        except (DriverError, Preempted) as error:
            self.count(f"look_{type(error).__name__}")
            return
        except Exception:
            log.exception("reading failed unexpectedly", extra={"device": device.id})
            self.count("look_DriverFault")
            return
        if self._inventory.at(device.address) is not device:
            return
        self.count("look")
        reason = self._doubt(device, sample)
        if reason is not None:
            self._doubted(device, None, sample, reason)
        else:
            self.accept(device, sample)

    async def read_before(self, device: Device) -> Reading:
        """Read a device in the caller's turn, before something is done to it; published.

        Raises the driver's errors, and `IdentityMismatch` where it may be another machine than
        the one that is meant: then its identity is being confirmed.
        """
        sample = await device.driver.read()
        reason = self._doubt(device, sample)
        if reason is not None:
            self._doubted(device, None, sample, reason)
            raise IdentityMismatch(device.id, f"perhaps another machine: {reason}")
        self.accept(device, sample)
        return sample.reading

    async def read_now(self, device: Device) -> Reading:
        """Read a device out of turn, for a person who waits. Raises the driver's errors.

        The reading is shown to that person; what is published stays with the schedule.
        """
        async with device.turn:
            sample = await device.driver.read()
        reading = msgspec.structs.replace(sample.reading, device_id=device.id)
        return self.amend(device, reading)

    def take_stats(self) -> PollStats:
        """The figures since the last call."""
        taken, self.stats = self.stats, PollStats()
        return taken

    @property
    def busy(self) -> int:
        """Devices that are being read at this moment."""
        return self._good.busy + self._suspect.busy

    def _lane(self, due: Due[str]) -> Lane[Due[str]]:
        device = self._inventory.at(due.key)
        failing = device is not None and device.health.failures > 0
        return self._suspect if failing else self._good

    async def _poll(self, due: Due[str]) -> None:
        device = self._inventory.at(due.key)
        if device is None:
            self._schedule.remove(due.key)
            return
        if device.turn.acted_on:  # a worker that waits for it would be missed elsewhere
            self.count("acted_on")
            self._schedule.again(due, self._clock.monotonic())
            return
        self._note_lateness(device, self._clock.monotonic() - due.at)
        try:
            async with device.turn:
                sample = await device.driver.read()
            self._read(device, due, sample)
        except Preempted:
            self.count("preempted")
            self._schedule.again(due, self._clock.monotonic())
        except DriverError as error:
            self._failed(device, due, error)
        except Exception:
            # What a driver does or returns may cost this device its reading, and no other.
            log.exception("reading failed unexpectedly", extra={"device": device.id})
            self._failed(device, due, DriverFault("the driver failed, see the log"))

    def _note_lateness(self, device: Device, late_s: float) -> None:
        if device.health.failures == 0:  # a failing device waits by intent
            self.stats.lateness.add(late_s)
            self.total.lateness.add(late_s)

    def count(self, outcome: str) -> None:
        """Count how a reading ended."""
        self.stats.outcomes[outcome] += 1
        self.total.outcomes[outcome] += 1

    def _read(self, device: Device, due: Due[str], sample: Sample) -> None:
        if self._inventory.at(due.key) is not device:
            self.count("displaced")  # it moved while it was asked; the next poll knows more
            return
        self.count("ok")
        reason = self._doubt(device, sample)
        if reason is not None:
            self._doubted(device, due, sample, reason)
            return
        self.accept(device, sample)
        self._schedule.again(due, self._clock.monotonic())

    def _doubt(self, device: Device, sample: Sample) -> str | None:
        if device.identity.kind is Kind.GPU:
            return None  # it is asked for by what identifies it
        baseline = device.baseline
        if baseline is None or device.last is None:
            return "nothing to compare with"
        now = self._clock.monotonic()
        if device.health.state is Health.OFFLINE:
            return "it was away"
        longest_s = self._settings.confirm_identity_s
        if device.identity.provisional:
            longest_s = min(longest_s, PROVISIONAL_CONFIRM_S)
        if now - baseline.at > longest_s:
            return "the last confirmation is old"
        return doubt(baseline, device.counters, sample.fingerprint, now)

    def _failed(self, device: Device, due: Due[str], error: DriverError) -> None:
        now = self._clock.monotonic()
        self.count(type(error).__name__)
        if isinstance(error, NoResources):  # ours, not the device's
            log.warning("not read: %s", error, extra={"device": device.id})
            self._schedule.again(due, now)
            return
        if self._inventory.at(due.key) is not device:
            return
        if device.health.failed() and device.health.state is Health.OFFLINE:
            error_name = type(error).__name__
            self._tell_health(device, "device.offline", str(error), error=error_name)
        if device.health.state is Health.OFFLINE:
            self.tell_unreachable(device.identity)
        wait_s = wait_after_failures_s(device.health.failures, self._settings.interval_s, self._rng)
        self._schedule.again(due, now, wait_s=wait_s)

    def tell_unreachable(self, identity: Identity) -> None:
        """Publish that nothing is seen of a device, so that its last values do not stand on."""
        shape = _SHAPES.get(identity.kind, Reading)
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        self._sink.reading(
            shape(device_id=identity.id, kind=identity.kind, taken_at=now, state=State.UNREACHABLE)
        )

    def _note_state(self, device: Device, state: State) -> None:
        """Tell a change of state. An answer that does not show the state changes none."""
        if state is State.UNKNOWN or state is device.state:
            return
        before, device.state = device.state, state
        if before is not None:
            event = self._event(
                device, "device.state", f"{before} -> {state}", before=before, after=state
            )
            self._sink.event(event)

    def _tell_health(self, device: Device, name: str, message: str, **details: str) -> None:
        log.info("%s: %s", name, message, extra={"device": device.id})
        self._sink.event(self._event(device, name, message, **details))

    def _event(self, device: Device, name: str, message: str, **details: str) -> Event:
        return Event(
            name=name,
            at=datetime.fromtimestamp(self._clock.now(), UTC),
            message=message,
            device_id=device.id,
            address=device.address,
            details=dict(details),
        )

"""Takes what the fleet saw, counts it, and sends it on its way: the `Sink` of the pollers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec

from agent.fleet.events import Event
from agent.fleet.inventory import Device, Known
from agent.fleet.rollup import Rollup
from agent.telemetry.birth import InventoryPages, entry
from agent.telemetry.gatherer import Gatherer
from drivers.model import Kind, Reading


class Feed:
    """Hands readings and events to the gatherer, and keeps totals and inventory pages."""

    def __init__(self, gatherer: Gatherer, save: Callable[[str, Known], None]) -> None:
        self._gatherer = gatherer
        self._save = save
        self.rollup = Rollup()
        self.pages = InventoryPages()
        self.show: Callable[[bytes], None] | None = None
        """Called with every reading as JSON; None while nobody watches."""
        self.readings = 0
        self.event_counts: Counter[str] = Counter()

    def reading(self, reading: Reading) -> None:
        """Publish a reading."""
        self.readings += 1
        if reading.kind is not Kind.HOST:  # the host is not part of the fleet it looks after
            self.rollup.replace(reading)
        self._gatherer.reading(reading)
        if self.show is not None:
            self.show(msgspec.json.encode(reading))

    def event(self, event: Event) -> None:
        """Publish an event."""
        self.event_counts[event.name] += 1
        self._gatherer.event(event)

    def settled(self, device: Device) -> None:
        """Enter a device into the inventory pages and the state database."""
        self.pages.put(device.id, entry(device))
        if not device.identity.provisional:
            self._save(device.id, device.known)

    def gone(self, device_id: str) -> None:
        """Take an id out of the totals and the inventory pages."""
        self.rollup.remove(device_id)
        self.pages.remove(device_id)

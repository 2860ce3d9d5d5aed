"""Takes what the fleet saw and makes messages of it: the `Sink` of the pollers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from agent.fleet.events import Event
from agent.fleet.inventory import Device, Known
from agent.fleet.rollup import Rollup
from agent.mqtt.topics import Topics
from agent.telemetry.birth import InventoryPages, entry
from agent.telemetry.encode import Stream
from agent.telemetry.outbox import Outbox
from drivers.model import Kind, Reading


class Feed:
    """Encodes each reading once, counts it into the totals, and puts it into the outbox."""

    def __init__(
        self,
        topics: Topics,
        outbox: Outbox,
        boot_id: str,
        pump: Callable[[], None],
        save: Callable[[str, Known], None],
    ) -> None:
        self._topics = topics
        self._outbox = outbox
        self._pump = pump
        self._save = save
        self._telemetry = Stream("telemetry", topics.node, boot_id)
        self._events = Stream("event", topics.node, boot_id)
        self._telemetry_topics: dict[str, str] = {}
        self.rollup = Rollup()
        self.pages = InventoryPages()
        self.show: Callable[[bytes], None] | None = None
        """Called with every encoded reading while somebody watches."""
        self.readings = 0
        self.event_counts: Counter[str] = Counter()

    def reading(self, reading: Reading) -> None:
        """Publish a reading."""
        message = self._telemetry.reading(reading)
        device_id = reading.device_id
        topic = self._telemetry_topics.get(device_id)
        if topic is None:
            topic = self._telemetry_topics[device_id] = self._topics.telemetry(device_id)
        self.readings += 1
        if reading.kind is not Kind.HOST:  # the host is not part of the fleet it looks after
            self.rollup.replace(reading)
        self._outbox.report(topic, message)
        if self.show is not None:
            self.show(message)
        self._pump()

    def event(self, event: Event) -> None:
        """Publish an event."""
        self.event_counts[event.name] += 1
        self._outbox.tell(self._topics.event, self._events.event(event))
        self._pump()

    def settled(self, device: Device) -> None:
        """Enter a device into the inventory pages and the state database."""
        self.pages.put(device.id, entry(device))
        if not device.identity.provisional:
            self._save(device.id, device.known)

    def gone(self, device_id: str) -> None:
        """Take an id out of the totals and the inventory pages."""
        self.rollup.remove(device_id)
        self.pages.remove(device_id)
        self._telemetry_topics.pop(device_id, None)

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
from agent.telemetry.messages import BoardEntry
from drivers.model import Kind, MinerReading, Reading

Traits = tuple[tuple[str | None, int | None], ...]
"""Serial and full number of chips of each board of a machine."""


class Feed:
    """Hands readings and events to the gatherer, and keeps totals and inventory pages."""

    def __init__(self, gatherer: Gatherer, save: Callable[[str, Known], None]) -> None:
        self._gatherer = gatherer
        self._save = save
        self._boards: dict[str, Traits] = {}
        self.rollup = Rollup()
        self.pages = InventoryPages()
        self.show: Callable[[Reading], None] = lambda _reading: None
        """Called with every reading."""
        self.event_counts: Counter[str] = Counter()

    def reading(self, reading: Reading) -> None:
        """Publish a reading."""
        if isinstance(reading, MinerReading) and not reading.missing:
            self._note_boards(reading)
        if reading.kind is not Kind.HOST:  # the host is not part of the fleet it looks after
            self.rollup.replace(reading)
        self._gatherer.reading(reading)
        self.show(reading)

    def _note_boards(self, reading: MinerReading) -> None:
        """Messages leave to the inventory what does not change of a board."""
        traits = tuple([(board.serial, board.chips_expected) for board in reading.boards])
        if self._boards.get(reading.device_id, ()) != traits:
            self._boards[reading.device_id] = traits
            self.pages.note_boards(reading.device_id, _entries(traits))

    def event(self, event: Event) -> None:
        """Publish an event."""
        self.event_counts[event.name] += 1
        self._gatherer.event(event)

    def settled(self, device: Device) -> None:
        """Enter a device into the inventory pages and the state database."""
        boards = _entries(self._boards.get(device.id, ()))
        self.pages.put(device.id, msgspec.structs.replace(entry(device), boards=boards))
        if not device.identity.provisional:
            self._save(device.id, device.known)

    def gone(self, device_id: str) -> None:
        """Take an id out of the totals and the inventory pages."""
        self.rollup.remove(device_id)
        self.pages.remove(device_id)
        self._boards.pop(device_id, None)


def _entries(traits: Traits) -> tuple[BoardEntry, ...]:
    return tuple(BoardEntry(*each) for each in traits)

"""Where the fleet hands over what it saw."""

from __future__ import annotations

from typing import Protocol

from agent.fleet.events import Event
from agent.fleet.inventory import Device
from drivers.model import Reading


class Sink(Protocol):
    """Takes readings and events; never blocks, never raises."""

    def reading(self, reading: Reading) -> None:
        """A reading, stamped with the id it belongs to."""
        ...

    def event(self, event: Event) -> None:
        """Something that happened."""
        ...

    def settled(self, device: Device) -> None:
        """A device whose entry in the inventory is new or changed."""
        ...

    def gone(self, device_id: str) -> None:
        """An id under which nothing stands any more."""
        ...

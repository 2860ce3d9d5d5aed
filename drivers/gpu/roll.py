"""Which GPUs there are, were, and should be: every one that was ever seen is expected. Pure."""

from __future__ import annotations

from typing import NamedTuple

from drivers.gpu.answers import DriverFacts, EventKind
from drivers.gpu.errands import Enumerated


class Change(NamedTuple):
    """What an enumeration showed to be different."""

    kind: EventKind
    message: str
    uuid: str | None = None


class Roll:
    """GPUs by UUID, for as long as the supervisor lives: a shorter list is a fault."""

    def __init__(self) -> None:
        self.driver: DriverFacts | None = None
        self.addresses: dict[str, str] = {}
        """The PCI address of each, as it was seen last."""
        self.lost: dict[str, str] = {}
        """Why each of those that are not there is thought to be lost."""
        self._numbers: dict[int, str] = {}

    def uuid_of(self, label: str) -> str:
        """The UUID of a GPU that was called by its number, `#3`, where that is known."""
        if not label.startswith("#"):
            return label
        return self._numbers.get(int(label[1:]), label)

    def address_of(self, uuid: str) -> str | None:
        """Where it is on the bus."""
        return self.addresses.get(uuid)

    def uuids(self) -> list[str]:
        """All that were ever seen, in the order in which they sit on the bus."""
        return sorted(self.addresses, key=lambda uuid: self.addresses[uuid])

    def absorb(self, enumerated: Enumerated, skip: tuple[str, ...]) -> list[Change]:
        """Take in what the driver lists, and say what changed."""
        changes = self._driver(enumerated.driver)
        seen = {seat.uuid for seat in enumerated.seats}
        self._numbers = {seat.index: seat.uuid for seat in enumerated.seats}
        for seat in enumerated.seats:
            changes += self._seen(seat.uuid, seat.pci_address)
        for uuid in self.addresses.keys() - seen - set(skip):
            change = self.lose(
                uuid, f"expected at {self.addresses[uuid]}, and the driver lists none"
            )
            changes += [change] if change else []
        return changes

    def lose(self, uuid: str, why: str) -> Change | None:
        """A GPU is gone; None where that was known."""
        if uuid in self.lost or uuid not in self.addresses:
            return None
        self.lost[uuid] = why
        return Change(EventKind.GPU_LOST, why, uuid)

    def _seen(self, uuid: str, address: str) -> list[Change]:
        new = uuid not in self.addresses
        self.addresses[uuid] = address
        if new:
            return [Change(EventKind.GPU_FOUND, f"a GPU at {address}", uuid)]
        if self.lost.pop(uuid, None) is not None:
            return [Change(EventKind.GPU_BACK, f"it is there again, at {address}", uuid)]
        return []

    def _driver(self, driver: DriverFacts) -> list[Change]:
        before, self.driver = self.driver, driver
        if before is None or before == driver:
            return []
        message = f"driver {driver.driver_version} in the place of {before.driver_version}"
        return [Change(EventKind.DRIVER_CHANGED, message)]

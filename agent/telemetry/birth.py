"""The inventory as retained pages: who is where, in messages of bounded size.

A device keeps its page while it is known, so that one new device changes one page. The
manifest lists the pages with their hashes: a consumer fetches what it has not.
"""

from __future__ import annotations

import hashlib

import msgspec

from agent.fleet.inventory import Device
from agent.fleet.shares import COUNTED_PLACES, NO_TRAITS, Tally, Traits, traits
from agent.telemetry.messages import (
    BoardEntry,
    Entry,
    InventoryManifest,
    InventoryPage,
    PageEntry,
)
from drivers.api_gpu import HasFacts
from drivers.capabilities import capabilities

PAGE_DEVICES = 500


def entry(device: Device) -> Entry:
    """What the inventory shows of a device."""
    place = device.location
    return Entry(
        identity=device.identity,
        address=device.address,
        driver=device.driver_name,
        capabilities=capabilities(device.driver),
        asset_id=place.asset_id,
        building=place.building,
        rack=place.rack,
        row=place.row,
        slot=place.slot,
        customer=place.customer,
        tags=dict(place.tags),
        gpu=device.driver.facts if isinstance(device.driver, HasFacts) else None,
    )


class InventoryPages:
    """Sorts devices into pages and says which have to be published anew."""

    def __init__(self) -> None:
        self._pages: list[dict[str, Entry]] = []
        self._page_of: dict[str, int] = {}
        self._changed: set[int] = set()
        self._hashes: dict[int, str] = {}
        self._tally = Tally()
        self.version = 0

    def put(self, device_id: str, shown: Entry) -> None:
        """Enter a device or change its entry."""
        page = self._page_of.get(device_id)
        if page is None:
            page = self._page_with_room()
            self._page_of[device_id] = page
        before = self._pages[page].get(device_id)
        if before != shown:
            self._tally.change(_traits(before), _traits(shown))
            self._pages[page][device_id] = shown
            self._changed.add(page)

    def note_boards(self, device_id: str, boards: tuple[BoardEntry, ...]) -> None:
        """Enter the boards of a device; unknown ids are no error."""
        page = self._page_of.get(device_id)
        if page is not None:
            shown = self._pages[page][device_id]
            self.put(device_id, msgspec.structs.replace(shown, boards=boards))

    def remove(self, device_id: str) -> None:
        """Take a device out; unknown ids are no error."""
        page = self._page_of.pop(device_id, None)
        if page is not None:
            self._tally.change(_traits(self._pages[page].pop(device_id)), NO_TRAITS)
            self._changed.add(page)

    def _page_with_room(self) -> int:
        for number in range(len(self._pages) - 1, -1, -1):
            if len(self._pages[number]) < PAGE_DEVICES:
                return number
        self._pages.append({})
        return len(self._pages) - 1

    def all_again(self) -> None:
        """Publish every page anew: the broker may have forgotten them."""
        self._changed.update(range(len(self._pages)))

    def take_changed(self) -> list[tuple[int, bytes]]:
        """The pages that changed since last asked, encoded; counts up the version."""
        changed, self._changed = sorted(self._changed), set()
        if changed:
            self.version += 1
        found = []
        for number in changed:
            devices = tuple(self._pages[number].values())
            content = msgspec.json.encode(InventoryPage(page=number, devices=devices))
            self._hashes[number] = hashlib.sha256(content).hexdigest()
            found.append((number, content))
        return found

    def manifest(self, boot_id: str) -> InventoryManifest:
        """Every page that was taken with the hash of it, and the node's shares."""
        shares = self._tally.shares()
        return InventoryManifest(
            boot_id=boot_id,
            version=self.version,
            devices=len(self._page_of),
            pages=tuple(
                PageEntry(page=number, devices=len(page), sha256=self._hashes[number])
                for number, page in enumerate(self._pages)
                if number in self._hashes
            ),
            counts=shares.counts,
            uncounted=shares.uncounted,
        )


def _traits(shown: Entry | None) -> Traits:
    if shown is None:
        return NO_TRAITS
    places = {place: getattr(shown, place) for place in COUNTED_PLACES}
    return traits(shown.identity, shown.driver, places, shown.tags)

"""What belongs to an address: the id of who stands there, the place, the operator's passwords."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from agent.config.locations import NOWHERE, PLACES, Location, Locations
from agent.config.logins import Logins
from agent.config.schema import Range
from agent.fleet.inventory import Inventory
from drivers.api import Credential, Endpoint


class Belongings:
    """Looked up when it is needed: devices move, and become known, while the agent runs."""

    def __init__(
        self,
        places: Locations | None,
        logins: Logins,
        range_of: Callable[[str], Range | None],
    ) -> None:
        self._places = places
        self._logins = logins
        self._range_of = range_of
        self.inventory = Inventory(locate=self.locate)

    def id_at(self, endpoint: Endpoint) -> str:
        """The id of the device there, a provisional one where none is known."""
        device = self.inventory.at(endpoint.address)
        return device.id if device else endpoint.provisional_id

    def locate(self, address: str, mac: str | None) -> Location:
        """The row of the CSV, with the tags of the range beneath those of the row."""
        found = self._places.find(address, mac) if self._places else NOWHERE
        owner = self._range_of(address)
        if owner is None or not owner.tags:
            return found
        return msgspec.structs.replace(found, tags={**owner.tags, **found.tags})

    def credentials(self, endpoint: Endpoint) -> Sequence[Credential]:
        """What the operator configured for the device there."""
        device = self.inventory.at(endpoint.address)
        place = device.location if device else self.locate(endpoint.address, None)
        places = msgspec.structs.asdict(place)
        return self._logins.of(
            self.id_at(endpoint),
            endpoint.address,
            {**{key: str(places[key]) for key in PLACES if places[key]}, **place.tags},
        )

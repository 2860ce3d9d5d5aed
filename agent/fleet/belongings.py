"""What belongs to an address: the id of who stands there, the place, the operator's passwords."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from agent.config.locations import NOWHERE, PLACES, Location, Locations
from agent.config.logins import Logins
from agent.config.schema import Range
from agent.fleet.inventory import Inventory
from drivers.api import Credential, Endpoint
from drivers.model import Identity, Kind


class Belongings:
    """Looked up when it is needed: devices move, and become known, while the agent runs."""

    def __init__(
        self,
        places: Locations | None,
        logins: Logins,
        range_of: Callable[[str], Range | None],
        *,
        node: str = "",
        built_in_tags: Mapping[str, str] | None = None,
    ) -> None:
        """`node` and `built_in_tags` are for what is built into this host and has no address."""
        self._places = places or Locations()
        self._logins = logins
        self._range_of = range_of
        self._node = node
        self._built_in_tags = built_in_tags or {}
        self.inventory = Inventory(locate=self.locate)

    def id_at(self, endpoint: Endpoint) -> str:
        """The id of the device there, a provisional one where none is known."""
        device = self.inventory.at(endpoint.address)
        return device.id if device else endpoint.provisional_id

    def locate(self, address: str, identity: Identity | None) -> Location:
        """The row of the CSV, with the tags of the range, or of GPUs, beneath those of the row."""
        by_id = self._places.of_id(identity.id) if identity else None
        if identity is not None and identity.kind is Kind.GPU:
            found = by_id or self._places.of_node(self._node) or NOWHERE
            return _over(self._built_in_tags, found)
        found = by_id or self._places.find(address, identity.mac if identity else None)
        owner = self._range_of(address)
        return found if owner is None else _over(owner.tags, found)

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


def _over(tags: Mapping[str, str], found: Location) -> Location:
    return msgspec.structs.replace(found, tags={**tags, **found.tags}) if tags else found

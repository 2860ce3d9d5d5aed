"""How many devices have which value under which key: the node's share of a site.

Counted entry by entry as they change, never over the whole fleet again.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from itertools import chain

import msgspec

from agent.config.locations import PLACES
from drivers.model import Identity, Kind

OWN = ("kind", "make", "model", "firmware", "driver")
UNCOUNTABLE = frozenset({"id", "address", "state", "site", "slot", "asset_id"})
"""What each device has for itself, what changes with every reading, and what all have in common."""
COUNTED_PLACES = tuple(place for place in PLACES if place not in UNCOUNTABLE)
_MOST_VALUES = 2000
_NAMEABLE = 128
"""The longest key or value that a command can name."""
_MOST_BYTES = 256 * 1024
"""Of all counts as JSON: nodes take no message above a megabyte."""

Traits = Set[tuple[str, str]]
"""What selectors may find a device by: each key and value."""
NO_TRAITS: Traits = frozenset()


class Shares(msgspec.Struct, frozen=True):
    """What a node publishes of its devices."""

    counts: dict[str, dict[str, int]]
    """By key and value: how many devices."""
    uncounted: tuple[str, ...] = ()
    """Keys that some devices have, and that have too many values to be told."""


def traits(
    identity: Identity, driver: str, places: Mapping[str, str | None], tags: Mapping[str, str]
) -> Traits:
    """What a device is counted under; the host itself, which no command means, under nothing."""
    if identity.kind is Kind.HOST:
        return NO_TRAITS
    own = (identity.kind.value, identity.make, identity.model, identity.firmware, driver)
    standing = ((key, places.get(key)) for key in COUNTED_PLACES)
    # selectors look for these keys elsewhere
    tagged = (item for item in tags.items() if item[0] not in _TAKEN)
    return frozenset(
        (key, value)
        for key, value in chain(zip(OWN, own, strict=True), standing, tagged)
        if value is not None and len(key) <= _NAMEABLE and len(value) <= _NAMEABLE
    )


_TAKEN = frozenset((*OWN, *PLACES, *UNCOUNTABLE))


class Tally:
    """Counts devices by their traits."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}

    def change(self, before: Traits, after: Traits) -> None:
        """A device had these traits and has those now."""
        for key, value in after - before:
            values = self._counts.setdefault(key, {})
            values[value] = values.get(value, 0) + 1
        for key, value in before - after:
            values = self._counts[key]
            values[value] -= 1
            if not values[value]:
                del values[value]

    def shares(self) -> Shares:
        """The counts now; keys with few values come first where not all can be told."""
        counts: dict[str, dict[str, int]] = {}
        uncounted = []
        room = _MOST_BYTES
        for key, values in sorted(self._counts.items(), key=lambda item: len(item[1])):
            size = len(msgspec.json.encode(values)) if len(values) <= _MOST_VALUES else room + 1
            if size > room:
                uncounted.append(key)
            elif values:
                room -= size
                counts[key] = dict(values)
        return Shares(counts, tuple(uncounted))

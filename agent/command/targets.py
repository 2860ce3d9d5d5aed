"""Which devices an order is for: `all`, an id, an address, or `key=value`, joined by commas. Pure.

A key is a place or tag of the locations (`rack`, `hall` ...), or one of `make`, `model`,
`firmware`, `driver`, `state` and `kind`. Several conditions must all hold.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import msgspec

from agent.config.locations import PLACES
from agent.errors import AgentError
from agent.fleet.inventory import Device

ALL = "all"


class BadTarget(AgentError):
    """A target that names nothing."""


class Condition(msgspec.Struct, frozen=True):
    """One thing that must hold of a device."""

    key: str
    value: str

    def __str__(self) -> str:
        bare = self.key in ("id", "address")
        return self.value if bare else f"{self.key}={self.value}"


class Selector(msgspec.Struct, frozen=True):
    """Chooses devices; without conditions all of them."""

    conditions: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        """The same text for the same choice, however it was written."""
        return ",".join(sorted(map(str, self.conditions))) or ALL

    def chooses(self, device: Device) -> bool:
        """True where every condition holds."""
        return all(value_of(device, each.key) == each.value for each in self.conditions)


def parse(text: str) -> Selector:
    """Read a target; raises `BadTarget` with a sentence that helps."""
    if text == ALL:
        return Selector()
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise BadTarget(f"target {text!a}: nothing stands between two commas")
    return Selector(tuple(_condition(part) for part in parts))


def value_of(device: Device, key: str) -> str | None:
    """What a device has under a key, in lower case; None where it has nothing."""
    if key in PLACES:
        value = getattr(device.location, key)
    elif key in _OWN:
        value = _OWN[key](device)
    else:
        value = device.location.tags.get(key)
    return None if value is None else str(value).lower()


def _condition(part: str) -> Condition:
    key, equals, value = part.partition("=")
    if equals:
        if not key.strip() or not value.strip():
            raise BadTarget(f"target {part!a}: expected key=value")
        return Condition(key.strip(), value.strip().lower())
    if _is_address(part):
        return Condition("address", part)
    if "-" in part and part.partition("-")[0] in _KINDS:
        return Condition("id", part.lower())
    raise BadTarget(f"target {part!a}: expected all, an id, an address or key=value (rack=B7)")


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


_KINDS = frozenset({"asic", "gpu", "pdu", "ups", "sensor", "host"})
_OWN: dict[str, Callable[[Device], str | None]] = {
    "id": lambda device: device.id,
    "address": lambda device: device.address,
    "make": lambda device: device.identity.make,
    "model": lambda device: device.identity.model,
    "firmware": lambda device: device.identity.firmware,
    "driver": lambda device: device.driver_name,
    "kind": lambda device: device.identity.kind,
    "state": lambda device: device.last.state if device.last else None,
}

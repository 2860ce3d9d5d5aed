"""Which devices of this node a command means. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agent.command.targets import value_of
from agent.fleet.inventory import Device, Inventory
from agent.remote.claims import OneOf, Target
from agent.remote.reasons import Reason, Rejected

_OWN = ("kind", "make", "model", "firmware", "state")


def checked(target: Target | None) -> Target:
    """The target, where it says clearly what it means; raises `Rejected`."""
    if target is None:
        raise Rejected(Reason.BAD_TARGET, "target: missing, and this verb needs one")
    conditions = bool(target.ids or target.tags or any(getattr(target, key) for key in _OWN))
    if target.all and conditions:
        raise Rejected(Reason.BAD_TARGET, "target: `all` stands beside other conditions")
    if not target.all and not conditions:
        raise Rejected(Reason.BAD_TARGET, "target: names nothing; `all` has to be said")
    return target


def chosen(target: Target, devices: Inventory, site: str) -> list[Device]:
    """The devices that are meant, each once."""
    conditions = wanted(target)
    if site.lower() not in conditions.pop("site", {site.lower()}):
        return []
    candidates: Iterable[Device] = _with_ids(target, devices) if target.ids else devices
    if not conditions:
        return list(candidates)
    return [
        device
        for device in candidates
        if all(value_of(device, key) in values for key, values in conditions.items())
    ]


def _with_ids(target: Target, devices: Inventory) -> list[Device]:
    """Ids as they are written, or else in lower case: those made of a MAC have no other."""
    found: dict[str, Device] = {}
    for device_id in target.ids:
        device = devices.by_id(device_id) or devices.by_id(device_id.lower())
        if device is not None:
            found[device.id] = device
    return list(found.values())


def wanted(target: Target) -> dict[str, frozenset[str]]:
    """By key the values of which a device must have one, in lower case."""
    given: dict[str, OneOf] = {key.strip(): value for key, value in target.tags.items()}
    given |= {key: value for key in _OWN if (value := getattr(target, key)) is not None}
    return {
        key: frozenset(each.lower() for each in ((value,) if isinstance(value, str) else value))
        for key, value in given.items()
    }


def shown(target: Target | None) -> str:
    """The target as the audit and the log show it."""
    if target is None:
        return ""
    said = msgspec.to_builtins(target)
    return msgspec.json.encode({key: value for key, value in said.items() if value}).decode()[:2000]

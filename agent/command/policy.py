"""What the local configuration lets be done to a device. Observe only, unless it says otherwise."""

from __future__ import annotations

import msgspec

from agent.command.targets import value_of
from agent.command.verb import Verb
from agent.config.ranges import Addresses, parse
from agent.config.schema import Allow, Control
from agent.fleet.inventory import Device
from drivers.registry import DRIVERS
from drivers.registry import Control as Grade


class _Rule(msgspec.Struct, frozen=True):
    allow: Allow
    addresses: tuple[Addresses, ...]


class Policy:
    """The `[[control.allow]]` tables: an order passes where one of them fits device and verb."""

    def __init__(self, control: Control) -> None:
        self._rules = tuple(
            _Rule(allow, tuple(map(parse, allow.addresses))) for allow in control.allow
        )

    @property
    def observes_only(self) -> bool:
        """True where nothing is allowed."""
        return not self._rules

    def objection(self, device: Device, verb: Verb) -> str | None:
        """Why the configuration does not allow a verb on a device; None where it does."""
        if self.observes_only:
            return "this node only observes: its configuration has no [[control.allow]]"
        fitting = [rule.allow for rule in self._rules if _fits(rule, device)]
        if not fitting:
            return "no [[control.allow]] of the configuration covers this device"
        fitting = [allow for allow in fitting if _names(allow, verb)]
        if not fitting:
            if verb.dangerous:
                return f"{verb.name} is dangerous: [[control.allow]] has to name it in verbs"
            return f"[[control.allow]] does not allow {verb.name} on this device"
        if _unproven(device) and not any(device.driver_name in a.drivers for a in fitting):
            return (
                f"the orders of driver {device.driver_name} were proved in a simulator only: "
                "[[control.allow]] has to name it in drivers"
            )
        return None


def _fits(rule: _Rule, device: Device) -> bool:
    allow, make = rule.allow, (device.identity.make or "").lower()
    return (
        (not rule.addresses or any(device.address in each for each in rule.addresses))
        and (not allow.makes or make in {each.lower() for each in allow.makes})
        and (not allow.drivers or device.driver_name in allow.drivers)
        and all(value_of(device, key) == value.lower() for key, value in allow.tags.items())
    )


def _names(allow: Allow, verb: Verb) -> bool:
    return verb.name in allow.verbs if allow.verbs or verb.dangerous else True


def _unproven(device: Device) -> bool:
    spec = DRIVERS.get(device.driver_name)
    return spec is not None and spec.control is not Grade.DOCUMENTED

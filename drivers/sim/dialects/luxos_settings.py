"""What a machine with LuxOS says of its settings: profile, power target, ATM, temperatures.

Source: Luxor's API documentation of `atm`, `tempctrl`, `limits` and `config`.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

HOT_C, DANGEROUS_C, TARGET_C = 65.0, 70.0, 55.0
"""Of an S19, as the documentation has them."""
LEAST_SHARE, MOST_SHARE = 0.3, 1.2

Sections = tuple[int, str, dict[str, list[Row]]]

_MANAGED: WeakKeyDictionary[Machine, bool] = WeakKeyDictionary()
"""Machines whose ATM somebody has set; it is on from the factory."""


def is_managed(machine: Machine) -> bool:
    """True while thermal management may change the profile."""
    return _MANAGED.get(machine, True)


def manage(machine: Machine, on: bool) -> None:
    """Switch thermal management."""
    _MANAGED[machine] = on


def profile_of(machine: Machine) -> str:
    """The name of the profile that is set."""
    return machine.settings.mode or "default"


def takes_watts(machine: Machine) -> bool:
    """True for models that take a power target."""
    return bool(machine.model.extra.get("power_target", False))


def target_range_w(machine: Machine) -> tuple[int, int]:
    """The lowest and the highest power target."""
    return round(machine.full_w * LEAST_SHARE), round(machine.full_w * MOST_SHARE)


def power_target(machine: Machine) -> Row:
    """What `config` says of it; nothing on models that take none."""
    if not takes_watts(machine):
        return {}
    limit_w = machine.settings.limit_w
    found: Row = {"IsPowerTargetSupported": True, "IsPowerTargetEnabled": limit_w is not None}
    if limit_w is not None:
        found |= {"ActualPowerTarget": round(limit_w), "IdealPowerTarget": round(limit_w)}
    return found


def atm(machine: Machine, now: Snapshot) -> Sections:
    """Whether thermal management is on, and within what."""
    row: Row = {
        "Enabled": is_managed(machine),
        "MaxProfile": "",
        "MinProfile": "",
        "PostRampMinutes": 15,
        "StartupMinutes": 15,
        "TempWindow": 5.0,
    }
    return 339, "ATM", {"ATM": [row]}


def tempctrl(machine: Machine, now: Snapshot) -> Sections:
    """The temperatures of the boards that fans and protection go by."""
    target_c = machine.settings.temp_target_c
    row: Row = {
        "Dangerous": DANGEROUS_C,
        "Hot": HOT_C,
        "Mode": "Automatic" if machine.settings.fan_percent is None else "Manual",
        "Target": TARGET_C if target_c is None else target_c,
    }
    return 203, "Temperature control", {"TEMPCTRL": [row]}


def limits(machine: Machine, now: Snapshot) -> Sections:
    """How far a power target may go, on models that take one."""
    lowest_w, highest_w = target_range_w(machine)
    row: Row = {"PowerTargetMax": highest_w, "PowerTargetMin": lowest_w}
    return 332, "Limits", {"LIMITS": [row if takes_watts(machine) else {"VoltageMax": 15.0}]}

"""Settings that a firmware stores when it is told and looks at when it boots."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from drivers.sim import orders
from drivers.sim.machine import Change, Machine

_STORED: WeakKeyDictionary[Machine, list[Change]] = WeakKeyDictionary()


def at_next_boot(change: Change) -> Change:
    """Store a change until then."""
    return lambda machine, _: _STORED.setdefault(machine, []).append(change)


def boot(off_s: float) -> Change:
    """Boot, awake and with everything that was stored."""

    def change(machine: Machine, at: float) -> None:
        orders.reboot(off_s)(machine, at)
        machine.wake(machine.boot_at)
        for stored in _STORED.pop(machine, []):
            stored(machine, machine.boot_at)

    return change

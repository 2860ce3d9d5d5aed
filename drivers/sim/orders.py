"""What can happen to a machine that is told to do something: the effects, alike in every dialect.

A dialect hears an order (`Machine.hear`) and answers as the outcome says. The effect itself is a
`Change`; how long it takes and what it is called is the dialect's.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.sim.lies import Lie
from drivers.sim.machine import Change, Machine, Pool


def sleep(machine: Machine, at: float) -> None:
    """Stop hashing until told otherwise."""
    machine.fall_asleep(at)


def wake(machine: Machine, at: float) -> None:
    """Hash again: the clock ramps up as after a start."""
    machine.wake(at)


def restart_mining(machine: Machine, at: float) -> None:
    """Start the mining program anew: its uptime and its counters begin again."""
    machine.boot_at = at


def reboot(off_s: float) -> Change:
    """Boot the whole machine, which is away for so long (as the site's pace scales it)."""

    def change(machine: Machine, at: float) -> None:
        machine.boot_at = at + off_s * machine.pace
        machine.sessions.clear()
        if machine.lie is Lie.FORGETS:
            machine.forget_settings(at)

    return change


def limit_power(limit_w: float | None) -> Change:
    """Hold the machine at or below so many watts; None lifts the limit."""
    return lambda machine, _: setattr(machine.settings, "limit_w", limit_w)


def throttle(percent: float) -> Change:
    """Hold the machine at a share of its full power."""
    return lambda machine, _: setattr(machine.settings, "percent", percent)


def choose(mode: str, share: float = 1.0) -> Change:
    """Enter a power mode or preset, which runs at that share of the full power."""

    def change(machine: Machine, _: float) -> None:
        machine.settings.mode, machine.settings.mode_share = mode, share

    return change


def set_pools(pools: Sequence[Pool]) -> Change:
    """Work for these pools from now on."""
    kept = tuple(pools)
    return lambda machine, _: setattr(machine, "pools", kept)


def locate(on: bool) -> Change:
    """Blink, or stop blinking."""
    return lambda machine, _: setattr(machine.settings, "locating", on)


def set_fans(percent: float | None) -> Change:
    """Run the fans at a fixed duty; None hands them back to the firmware."""
    return lambda machine, _: setattr(machine.settings, "fan_percent", percent)


def set_temp_target(temp_c: float) -> Change:
    """Keep this temperature."""
    return lambda machine, _: setattr(machine.settings, "temp_target_c", temp_c)


def set_hostname(hostname: str) -> Change:
    """Take another name."""
    return lambda machine, _: setattr(machine, "hostname", hostname)


def factory_reset(machine: Machine, at: float) -> None:
    """Forget every setting and every pool."""
    machine.forget_settings(at)
    machine.pools = ()
    machine.boot_at = at

"""What machines are told to do: when it takes effect, and how firmwares lie about it.

A dialect hears an order (`Machine.hear`) and answers as the outcome says. The effect itself is a
`Change`, the same in every dialect; how long it takes and what it is called is the dialect's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from drivers.sim.machine import Machine, Pool

Change = Callable[["Machine", float], None]
"""Alters a machine at a moment (seconds since the epoch)."""


class Lie(StrEnum):
    """How a firmware may treat an order."""

    DOES_NOTHING = "does-nothing"
    """Says OK and does nothing."""
    SILENT = "silent"
    """Does it and answers nothing."""
    DEAF = "deaf"
    """Answers nothing and does nothing."""
    REFUSES = "refuses"
    """Says no."""
    DENIES = "denies"
    """Says no and does it."""
    FORGETS = "forgets"
    """Does it, until its next reboot."""
    WIPES_POOLS = "wipes-pools"
    """Does it, and loses its pools whenever its configuration is written."""


class Heard(NamedTuple):
    """What a dialect has to answer to an order."""

    consents: bool
    """False where the firmware says no."""
    answers: bool
    """False where it hangs up without a word."""


_HEARD: dict[Lie | None, Heard] = {
    Lie.SILENT: Heard(consents=True, answers=False),
    Lie.DEAF: Heard(consents=True, answers=False),
    Lie.REFUSES: Heard(consents=False, answers=True),
    Lie.DENIES: Heard(consents=False, answers=True),
}
_IDLE = frozenset({Lie.DOES_NOTHING, Lie.DEAF, Lie.REFUSES})


def heard(lie: Lie | None) -> Heard:
    """What a machine with this habit answers to an order."""
    return _HEARD.get(lie, Heard(consents=True, answers=True))


def obeys(lie: Lie | None) -> bool:
    """Whether it does what it was told."""
    return lie not in _IDLE


# --- what can happen to a machine -----------------------------------------------------------


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

"""What LuxOS does when it is told to: commands that want a session, and those of pools that do not.

Sources: Luxor's API documentation of each command; where that gives no code (of refusals, for
most), the code is this site's. `addpool` refuses an address that is in the list, as a public
client reports; `removepool` refuses the last pool, as cgminer does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from drivers.sim import orders
from drivers.sim.dialects.luxos_rows import STEPS, profile_name, profile_watts
from drivers.sim.dialects.luxos_settings import (
    DANGEROUS_C,
    HOT_C,
    is_managed,
    manage,
    takes_watts,
    target_range_w,
)
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.protocol import Row

SLEEP_S, SETTLE_S, DOWN_S, BOOT_S = 3.0, 5.0, 10.0, 60.0


class Told(NamedTuple):
    """An order that makes sense: what it does, when, and the words for it."""

    change: Change
    code: int
    words: str
    after_s: float = 0.0
    sections: Row | None = None


class No(NamedTuple):
    """One that makes none."""

    code: int
    words: str


def _curtail(machine: Machine, words: Sequence[str]) -> Told | No:
    action = words[0] if words else ""
    if action == "sleep":
        sections: Row = {"CURTAIL": [{"Action": "sleep mode"}]}
        return Told(orders.sleep, 335, "Curtailment command sent", SLEEP_S, sections)
    if action == "wakeup":
        sections = {"CURTAIL": [{"Action": "wake up"}]}
        return Told(orders.wake, 335, "Curtailment command sent", 1.0, sections)
    return No(334, "Invalid curtail action")


def _rebootdevice(machine: Machine, words: Sequence[str]) -> Told | No:
    return Told(orders.reboot(BOOT_S), 320, "Rebooting device", 2.0)


def _resetminer(machine: Machine, words: Sequence[str]) -> Told | No:
    return Told(orders.reboot(DOWN_S), 322, "Resetting miner", 1.0)


def _profileset(machine: Machine, words: Sequence[str]) -> Told | No:
    names = {profile_name(machine, step): step for step in STEPS}
    if len(words) != 1 or words[0] not in names:
        return No(318, "Profile not found")
    if is_managed(machine):
        return No(341, "ATM is enabled")
    share = profile_watts(machine, names[words[0]]) / machine.full_w
    return Told(orders.choose(words[0], share), 321, "Profile Set", SETTLE_S)


def _atmset(machine: Machine, words: Sequence[str]) -> Told | No:
    wanted = dict(word.partition("=")[::2] for word in words).get("enabled")
    if wanted not in ("true", "false"):
        return No(338, "Invalid ATM value")
    return Told(lambda it, _: manage(it, wanted == "true"), 340, "ATM settings updated")


def _powertargetset(machine: Machine, words: Sequence[str]) -> Told | No:
    key, _, value = words[0].partition("=") if words else ("", "", "")
    if key != "power" or not value.isdecimal():
        return No(420, "Invalid key/value format")
    lowest_w, highest_w = target_range_w(machine)
    if not takes_watts(machine) or not lowest_w <= int(value) <= highest_w:
        return No(421, "Power target not supported")
    return Told(orders.limit_power(float(value)), 422, "Power target set", SETTLE_S)


def _ledset(machine: Machine, words: Sequence[str]) -> Told | No:
    if len(words) != 2 or words[0] != "red" or words[1] not in ("on", "off", "auto", "blink"):
        return No(312, "Invalid LED")
    return Told(orders.locate(words[1] == "blink"), 313, "LED set")


def _fanset(machine: Machine, words: Sequence[str]) -> Told | No:
    speed = dict(word.partition("=")[::2] for word in words).get("speed", "")
    try:
        duty = int(speed)
    except ValueError:
        return No(308, "Invalid fan speed")
    if not -1 <= duty <= 100:
        return No(308, "Invalid fan speed")
    return Told(orders.set_fans(None if duty < 0 else float(duty)), 309, "Fan control set", 2.0)


def _tempctrlset(machine: Machine, words: Sequence[str]) -> Told | No:
    given = dict(word.partition("=")[::2] for word in words)
    try:
        target_c = float(given["target_temp"])
    except (KeyError, ValueError):
        return No(329, "Invalid temperature")
    if not target_c <= HOT_C <= DANGEROUS_C:
        return No(329, "Invalid temperature order")
    return Told(orders.set_temp_target(target_c), 330, "Set temperature control")


def _addpool(machine: Machine, words: Sequence[str]) -> Told | No:
    if len(words) not in (3, 4):
        return No(52, "Invalid addpool details")
    pool = Pool.of(*words[:3])
    if any(each.url == pool.url for each in machine.pools):
        return No(53, "Pool already exists")
    return Told(lambda it, _: setattr(it, "pools", (*it.pools, pool)), 55, "Added pool")


def _removepool(machine: Machine, words: Sequence[str]) -> Told | No:
    at = int(words[0]) if len(words) == 1 and words[0].isdecimal() else -1
    if not 0 <= at < len(machine.pools):
        return No(8, "Invalid pool id")
    if len(machine.pools) == 1:
        return No(66, "Cannot remove last pool")
    left = (*machine.pools[:at], *machine.pools[at + 1 :])
    return Told(orders.set_pools(left), 68, "Removed pool")


Take = Callable[[Machine, Sequence[str]], Told | No]

WITH_SESSION: dict[str, Take] = {
    "curtail": _curtail,
    "rebootdevice": _rebootdevice,
    "resetminer": _resetminer,
    "profileset": _profileset,
    "atmset": _atmset,
    "powertargetset": _powertargetset,
    "ledset": _ledset,
    "fanset": _fanset,
    "tempctrlset": _tempctrlset,
}
OPEN: dict[str, Take] = {"addpool": _addpool, "removepool": _removepool}

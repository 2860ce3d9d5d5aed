"""Goldshell's settings and pools on the web side: how they are shown, and how they are written.

A setting is written whole; what lacks a key of it, or names a plan that there is not, is refused.
Pools are added and deleted one by one, up to `pools_limit` of them (in a type's `extra`).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from drivers.sim import orders
from drivers.sim.answers import Asked
from drivers.sim.dialects.classic import pool
from drivers.sim.face import NOT_FOUND, Ask, Page, json_page
from drivers.sim.machine import Change, Condition, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

MILLIVOLTS = 11750
NORMAL, LOW, RESTING = 0, 2, 3
LOW_SHARE = 0.6
APPLIED_S = 6.0
"""Until the boards run the plan that was written."""
BOOT_S = 75.0
Shown = Callable[[Machine, Snapshot], Page]


def setting_page(machine: Machine, _: Snapshot) -> Row:
    """`/mcb/setting`."""
    clock, extra, settings = machine.model.frequency_mhz, machine.model.extra, machine.settings
    plan = f"{clock} MHz {MILLIVOLTS} V 30 RPM 30 RPM PV 11900"
    shown = {
        "manualPowerplan": plan,
        "ledcontrol": settings.locating,
        "name": f" {machine.mac}",  # with a blank in front, as the firmware has it
        "tempcontrol": True,
        "select": _level(machine),
        "powerplans": [
            {"level": NORMAL, "info": plan},
            {"level": LOW, "info": f"{round(clock * 0.73)} MHz 10700 V 50 RPM 50 RPM PV 11900"},
            {"level": RESTING, "info": "0 MHz 0 V 100 RPM 100 RPM"},
        ],
        "manual": settings.mode == "manual" and machine.condition is not Condition.SLEEPING,
        "version": "v1.0",
    }
    if "temp_target_min" not in extra:
        return shown
    ends = [float(extra["temp_target_min"]), float(extra["temp_target_max"])]
    return shown | {"temp_targets": ends, "temp_target": settings.temp_target_c or ends[0]}


def _level(machine: Machine) -> int:
    if machine.condition is Condition.SLEEPING:
        return RESTING
    return LOW if machine.settings.mode == "low" else NORMAL


def pools_page(machine: Machine, now: Snapshot) -> list[Row]:
    """`/mcb/pools`."""
    rows = [pool(Asked(machine, now), at) for at in range(len(machine.pools))]
    return [
        {
            "url": row["URL"],
            "active": row["Stratum Active"],
            "dragid": at,
            "user": row["User"],
            "pool-priority": at,
            "pass": machine.pools[at].password,
            "legal": True,
        }
        for at, row in enumerate(rows)
    ]


# --- what is written ---------------------------------------------------------------------------


def write(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """Answer a `PUT` of somebody who has shown the token."""
    made = _WRITES.get(ask.path)
    return made(machine, ask.json(), now) if made else NOT_FOUND


def _no(words: str) -> Page:
    return json_page({"code": 1, "msg": words})


def _heard(
    machine: Machine, name: str, change: Change, now: Snapshot, after_s: float, shown: Shown
) -> Page:
    heard = machine.hear(name, change, now.now, after_s=after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    return shown(machine, now) if heard.consents else _no(f"{name} failed")


def _setting(machine: Machine, found: Any, now: Snapshot) -> Page:
    shown = setting_page(machine, now)
    if not isinstance(found, dict) or not shown.keys() <= found.keys():
        return _no("setting error")
    if found["select"] not in (NORMAL, LOW, RESTING) or type(found["manual"]) is not bool:
        return _no("setting error")
    change = _applied(found, shown)
    return _heard(machine, "setting", change, now, APPLIED_S, lambda *_: json_page(found))


def _applied(wanted: Row, shown: Row) -> Change:
    """The plan, the light and the fans' target of a setting, where they differ from before."""

    def change(machine: Machine, at: float) -> None:
        settings = machine.settings
        if wanted["ledcontrol"] != shown["ledcontrol"]:
            settings.locating = bool(wanted["ledcontrol"])
        if wanted.get("temp_target") != shown.get("temp_target"):
            low, high = shown["temp_targets"]
            settings.temp_target_c = min(max(float(wanted["temp_target"]), low), high)
        if not wanted["manual"] and wanted["select"] == RESTING:
            orders.sleep(machine, at)
            return
        name, share = ("low", LOW_SHARE) if wanted["select"] == LOW else ("normal", 1.0)
        orders.choose("manual" if wanted["manual"] else name, share)(machine, at)
        orders.wake(machine, at)

    return change


def _new_pool(machine: Machine, found: Any, now: Snapshot) -> Page:
    if not isinstance(found, dict) or not all(map(_is_text, map(found.get, ("url", "user")))):
        return _no("pool error")
    new = Pool.of(found["url"], found["user"], str(found.get("pass", "")))
    if len(machine.pools) >= int(machine.model.extra.get("pools_limit", 8)):
        return _no("too many pools")
    if any((each.url, each.user) == (new.url, new.user) for each in machine.pools):
        return _no("pool exists")
    change = orders.set_pools((*machine.pools, new))
    return _heard(machine, "newpool", change, now, 0.0, _pools)


def _delete_pool(machine: Machine, found: Any, now: Snapshot) -> Page:
    """The number and the address must fit each other."""
    rows = pools_page(machine, now)
    keys = ("url", "user", "dragid")
    given = found if isinstance(found, dict) else {}
    kept = [
        each
        for each, row in zip(machine.pools, rows, strict=True)
        if any(row[key] != given.get(key) for key in keys)
    ]
    if len(kept) == len(rows):
        return _no("no such pool")
    return _heard(machine, "delpool", orders.set_pools(kept), now, 0.0, _pools)


def _ordered_pools(machine: Machine, found: Any, now: Snapshot) -> Page:
    if not isinstance(found, list) or any(
        not isinstance(row, dict) or not _is_whole(row) for row in found
    ):
        return _no("pool error")
    pools = [Pool.of(row["url"], row["user"], row["pass"]) for row in found]

    def change(machine: Machine, at: float) -> None:
        orders.set_pools(pools)(machine, at)
        machine.lose_pools_to_a_write()

    return _heard(machine, "pools", change, now, 0.0, _pools)


def _is_whole(row: Row) -> bool:
    """True where a pool that is written has all that a pool that is shown has."""
    return {"url", "user", "pass", "dragid", "pool-priority", "active", "legal"} <= row.keys()


def _restart(machine: Machine, _: Any, now: Snapshot) -> Page:
    return _heard(machine, "restart", orders.reboot(BOOT_S), now, 1.0, lambda *_: json_page({}))


def _pools(machine: Machine, now: Snapshot) -> Page:
    return json_page(pools_page(machine, now))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


_WRITES: dict[str, Callable[[Machine, Any, Snapshot], Page]] = {
    "/mcb/setting": _setting,
    "/mcb/newpool": _new_pool,
    "/mcb/delpool": _delete_pool,
    "/mcb/pools": _ordered_pools,
    "/mcb/restart": _restart,
}

"""What Braiins OS does when it is told to: BOSminer's pause, REST's writes, GraphQL's mutations.

Sources: the vendor's OpenAPI document; of GraphQL, what public clients send. Fields that are
required are asked for. A list of pools given to GraphQL is used from the program's next start on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from drivers.sim import orders
from drivers.sim.dialects.braiins_rest import DANGEROUS_C, LIMITS_W, TARGETS_C, cooling_mode
from drivers.sim.face import NOT_FOUND, Ask, Page, json_page
from drivers.sim.lies import Heard
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

PAUSE_S, TUNE_S, RESTART_S, BOOT_S = 3.0, 5.0, 5.0, 60.0
SAID_NO = Page(HTTPStatus.INTERNAL_SERVER_ERROR, b"Internal server error")
WRONG = Page(HTTPStatus.UNPROCESSABLE_ENTITY, b"Failed to deserialize the JSON body")

_LISTED: WeakKeyDictionary[Machine, tuple[Pool, ...]] = WeakKeyDictionary()
"""Pools of a configuration that the program has not read yet."""


class Told(NamedTuple):
    """An order that makes sense: what it does, when, and what is answered."""

    change: Change
    answer: Any = None
    after_s: float = 0.0


BY_RPC: dict[str, tuple[Change, int, str]] = {
    "pause": (orders.sleep, 206, "Mining paused"),
    "resume": (orders.wake, 207, "Mining resumed"),
}


# --- REST --------------------------------------------------------------------------------------


def write(machine: Machine, ask: Ask, now: Snapshot, name: str) -> Page:
    """Answer a request that writes a page."""
    take = _WRITES.get((ask.method, name))
    if take is None:
        return NOT_FOUND
    told = take(machine, ask.json())
    if told is None:
        return WRONG
    heard = machine.hear(name, told.change, now.now, after_s=told.after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    if not heard.consents:
        return SAID_NO
    return Page(HTTPStatus.NO_CONTENT) if told.answer is None else json_page(told.answer)


def _pause(machine: Machine, body: Any) -> Told | None:
    return Told(orders.sleep, False, PAUSE_S)


def _resume(machine: Machine, body: Any) -> Told | None:
    return Told(orders.wake, False, 1.0)


def _restart(machine: Machine, body: Any) -> Told | None:
    return Told(orders.reboot(RESTART_S), True, 1.0)


def _reboot(machine: Machine, body: Any) -> Told | None:
    return Told(orders.reboot(BOOT_S), None, 1.0)


def _reset(machine: Machine, body: Any) -> Told | None:
    return Told(orders.factory_reset, None, 1.0)


def _locate(machine: Machine, body: Any) -> Told | None:
    return Told(orders.locate(body), body) if isinstance(body, bool) else None


def _power(machine: Machine, body: Any) -> Told | None:
    watt = body.get("watt") if isinstance(body, dict) else None
    if type(watt) is not int or not LIMITS_W[0] <= watt <= LIMITS_W[1]:
        return None
    return Told(orders.limit_power(float(watt)), {"watt": watt}, TUNE_S)


def _pools(machine: Machine, body: Any) -> Told | None:
    found = pools_in(body)
    if found is None or any("uid" in group for group in body):  # uids are given by the machine
        return None
    return Told(orders.set_pools(found), body)


def _cooling(machine: Machine, body: Any) -> Told | None:
    """What is not sent of a mode is kept; the other mode's fixed speed is not."""
    if not isinstance(body, dict) or len(body) != 1:
        return None
    (mode, row), settings = next(iter(body.items())), machine.settings
    now_mode, now_row = next(iter(cooling_mode(machine).items()))
    row = {**(now_row if mode == now_mode else {}), **row}
    target_c = (row.get("target_temperature") or {}).get("degree_c")
    danger_c = (row.get("dangerous_temperature") or {}).get("degree_c", DANGEROUS_C)
    if mode not in ("auto", "manual") or danger_c != DANGEROUS_C:
        return None
    if target_c is not None and not TARGETS_C[0] <= target_c <= TARGETS_C[1]:
        return None
    ratio = row.get("fan_speed_ratio") if mode == "manual" else None
    wanted_c = settings.temp_target_c if target_c is None else target_c

    def change(it: Machine, at: float) -> None:
        it.settings.fan_percent = None if ratio is None else ratio * 100
        it.settings.temp_target_c = wanted_c

    return Told(change, body, 2.0)


def _network(machine: Machine, body: Any) -> Told | None:
    name = body.get("hostname") if isinstance(body, dict) else None
    if not isinstance(name, str) or "protocol" in body:
        return None
    return Told(orders.set_hostname(name), {"hostname": name, "protocol": {"dhcp": {}}}, 2.0)


def pools_in(groups: Any) -> tuple[Pool, ...] | None:
    """The pools of all groups, None where a field that is required is not there."""
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return None
    found: list[Pool] = []
    for group in groups:
        for pool in group.get("pools") or ():
            if not group.get("name") or not pool.get("url") or "user" not in pool:
                return None
            found.append(Pool.of(pool["url"], pool["user"], pool.get("password") or ""))
    return tuple(found) if groups and found else None


_WRITES: dict[tuple[str, str], Callable[[Machine, Any], Told | None]] = {
    ("PUT", "actions/pause"): _pause,
    ("PUT", "actions/resume"): _resume,
    ("PUT", "actions/restart"): _restart,
    ("PUT", "actions/reboot"): _reboot,
    ("PUT", "actions/factory-reset"): _reset,
    ("PUT", "actions/locate"): _locate,
    ("PUT", "performance/power-target"): _power,
    ("PUT", "pools/batch"): _pools,
    ("PUT", "cooling/mode"): _cooling,
    ("PATCH", "network/configuration"): _network,
}


# --- GraphQL -----------------------------------------------------------------------------------


def mutate(machine: Machine, question: str, variables: Row, now: Snapshot) -> Page:
    """Answer a mutation of somebody who has logged in."""
    name = next((each for each in _MUTATIONS if re.search(rf"\b{each}\b", question)), None)
    if name is None or machine.model.extra.get("old"):
        return json_page({"data": None, "errors": [{"message": "Unknown field"}]})
    path, take, kind = _MUTATIONS[name]
    told = take(machine, variables)
    if told is None:
        words = [{"message": "Invalid value for a variable"}]
        return json_page({"data": None, "errors": words})
    heard = machine.hear(name, told.change, now.now, after_s=told.after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    return json_page({"data": _nested((*path, name), _said(heard, kind, told.answer))})


def _said(heard: Heard, kind: str, answer: Any) -> Row:
    if not heard.consents:
        return {"__typename": f"{kind}Error", "message": "BOSminer said no"}
    return {"__typename": kind, **(answer or {})}


def _nested(path: tuple[str, ...], value: Row) -> Row:
    for name in reversed(path):
        value = {name: value}
    return value


def _light(machine: Machine, given: Row) -> Told | None:
    on = given.get("enable")
    return Told(orders.locate(on), {"enabled": on}) if isinstance(on, bool) else None


def _target(machine: Machine, given: Row) -> Told | None:
    watt = given.get("limit")
    if type(watt) is not int:
        return None
    answer = {"autotuning": {"powerTarget": watt, "enabled": True}}
    return Told(orders.limit_power(float(watt)), answer, TUNE_S)


def _groups(machine: Machine, given: Row) -> Told | None:
    found = pools_in(given.get("groups"))
    if found is None or not all(isinstance(each.get("quota"), int) for each in given["groups"]):
        return None
    answer = {"groups": [{"id": "0"}]}
    return Told(lambda it, _: _LISTED.__setitem__(it, found), answer)


def _boot(machine: Machine, given: Row) -> Told | None:
    return Told(_started(BOOT_S), {"void": ""}, 1.0)


def _start(machine: Machine, given: Row) -> Told | None:
    return Told(_started(RESTART_S), {}, 1.0)


def _started(off_s: float) -> Change:
    away = orders.reboot(off_s)

    def change(machine: Machine, at: float) -> None:
        machine.pools = _LISTED.pop(machine, machine.pools)
        away(machine, at)

    return change


_MUTATIONS: dict[str, tuple[tuple[str, ...], Callable[[Machine, Row], Told | None], str]] = {
    "setFaultLight": (("bos",), _light, "FaultLight"),
    "reboot": (("bos",), _boot, "VoidResult"),
    "restart": (("bosminer",), _start, "VoidResult"),
    "updateAutotuning": (("bosminer", "config"), _target, "AutotuningOut"),
    "updateGroups": (("bosminer", "config"), _groups, "GroupList"),
}

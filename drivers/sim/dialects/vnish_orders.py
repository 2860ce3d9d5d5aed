"""What a simulated VNish machine does when it is written to.

Traps kept: `settings` merges, ignores a preset that it does not know and answers as if it had taken
it; another preset waits for mining to be started anew; a stopped machine cannot be stopped; the
light without a body changes to the other state.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from drivers.sim import orders
from drivers.sim.dialects.vnish_settings import (
    COOLING,
    POOL_SLOTS,
    is_pending,
    presets,
    share_of,
    switch_within,
)
from drivers.sim.face import NOT_FOUND, Ask, Page, json_page
from drivers.sim.machine import Change, Condition, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

API = "/api/v1/"
OPEN_ORDERS = frozenset({"/api/v1/find-miner"})
"""A transcript of the API describes it without a token."""
STOP_S, START_S, NAME_S, OFF_S = 12.0, 5.0, 4.0, 75.0
_ASLEEP = "CGMiner err: Cgminer error failed-to-activate-pause-mode "
_AWAKE = "CGMiner err: Cgminer error failed-to-activate-resume-mode "
_NO_SETTINGS = "Could not save settings"


def obey(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """The answer to a write by somebody who may."""
    name = ask.path.removeprefix(API)
    if name == "settings":
        return _save(machine, ask, now)
    if name == "find-miner":
        return _find(machine, ask, now)
    if name == "mining/throttle":
        return _throttle(machine, ask, now)
    act = _ACTS.get(name)
    return NOT_FOUND if act is None else act(machine, name, now)


def _hear(
    machine: Machine, name: str, change: Change, now: Snapshot, after_s: float, told: object = None
) -> Page:
    heard = machine.hear(name, change, now.now, after_s=after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    if not heard.consents:
        return _error(_AWAKE if name in ("mining/start", "mining/resume") else _ASLEEP)
    return Page(HTTPStatus.OK) if told is None else json_page(told)


def _error(words: str, status: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR) -> Page:
    return json_page({"err": words}, status=status)


# --- mining ------------------------------------------------------------------------------------


def _starting(change: Change) -> Change:
    """A start of mining, with the preset that is set."""

    def start(machine: Machine, at: float) -> None:
        change(machine, at)
        mode = machine.settings.mode
        if mode is not None:
            machine.settings.mode_share = share_of(machine, mode)

    return start


def _again(machine: Machine, at: float) -> None:
    machine.wake(at)
    orders.restart_mining(machine, at)


def _stop(machine: Machine, name: str, now: Snapshot) -> Page:
    if machine.condition is Condition.SLEEPING:
        return _error(_ASLEEP)
    return _hear(machine, name, orders.sleep, now, STOP_S)


def _start(machine: Machine, name: str, now: Snapshot) -> Page:
    if machine.condition is not Condition.SLEEPING:
        return _error(_AWAKE)
    return _hear(machine, name, _starting(orders.wake), now, START_S)


def _restart(machine: Machine, name: str, now: Snapshot) -> Page:
    return _hear(machine, name, _starting(_again), now, START_S)


def _reboot(machine: Machine, name: str, now: Snapshot) -> Page:
    return _hear(machine, name, _starting(orders.reboot(OFF_S)), now, 3.0, {"after": 3})


def _reset(machine: Machine, name: str, now: Snapshot) -> Page:
    return _hear(machine, name, orders.factory_reset, now, 3.0, {"after": 3})


_ACTS: dict[str, Callable[[Machine, str, Snapshot], Page]] = {
    "mining/stop": _stop,
    "mining/pause": _stop,
    "mining/start": _start,
    "mining/resume": _start,
    "mining/restart": _restart,
    "system/reboot": _reboot,
    "settings/factory-reset": _reset,
}


def _throttle(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    percent = _object(ask.json()).get("percent")
    if not isinstance(percent, int) or not 20 <= percent <= 100:
        return _error("percent is out of range", HTTPStatus.BAD_REQUEST)
    return _hear(machine, "mining/throttle", orders.throttle(percent), now, 2.0)


def _find(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    wanted = _object(ask.json()).get("on")
    on = wanted if isinstance(wanted, bool) else not machine.settings.locating
    return _hear(machine, "find-miner", orders.locate(on), now, 0.5, {"on": on})


# --- settings ----------------------------------------------------------------------------------


def _save(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    body = _object(ask.json())
    changes = _changes(machine, body)
    if changes is None:
        return _error("invalid settings", HTTPStatus.BAD_REQUEST)

    def change(machine: Machine, at: float) -> None:
        for each in changes:
            each(machine, at)
        machine.lose_pools_to_a_write()

    heard = machine.hear("settings", change, now.now, after_s=NAME_S if "network" in body else 0.0)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    if not heard.consents:
        return _error(_NO_SETTINGS)
    return json_page({"restart_required": is_pending(machine), "reboot_required": False})


def _changes(machine: Machine, body: Row) -> list[Change] | None:
    """What a write of settings comes to, None where it is none."""
    miner, network = _object(body.get("miner")), _object(body.get("network"))
    found: list[Change] = []
    if "overclock" in miner:
        found += _overclock(machine, _object(miner["overclock"]))
    if "pools" in miner:
        pools = _pools(miner["pools"])
        if pools is None:
            return None
        found.append(orders.set_pools(pools))
    if "cooling" in miner:
        cooling = _cooling(_object(_object(miner["cooling"]).get("mode")))
        if cooling is None:
            return None
        found += cooling
    if isinstance(network.get("hostname"), str):
        found.append(orders.set_hostname(network["hostname"]))
    return found


def _overclock(machine: Machine, overclock: Row) -> list[Change]:
    """A preset that is not there is ignored in silence."""
    name = overclock.get("preset")
    if name not in {row["name"] for row in presets(machine)}:
        return []

    def change(machine: Machine, _: float) -> None:
        machine.settings.mode = name
        switch_within(machine, _object(overclock.get("preset_switcher")) or {"enabled": False})

    return [change]


def _pools(rows: Any) -> list[Pool] | None:
    keys = ("url", "user", "pass")
    if not isinstance(rows, list) or len(rows) > POOL_SLOTS:
        return None
    if not all(isinstance(_object(row).get(key), str) for row in rows for key in keys):
        return None
    return [Pool.of(*(row[key] for key in keys)) for row in rows if row["url"]]


def _cooling(mode: Row) -> list[Change] | None:
    param, name = mode.get("param"), mode.get("name")
    if not isinstance(param, int):
        return None
    if name == "manual" and COOLING["min_fan_pwm"] <= param <= 100:
        return [orders.set_fans(param)]
    if name == "auto" and COOLING["min_target_temp"] <= param <= COOLING["max_target_temp"]:
        return [orders.set_fans(None), orders.set_temp_target(param)]
    return None


def _object(value: Any) -> Row:
    return value if isinstance(value, dict) else {}

"""What a simulated machine with ePIC's firmware does when it is told something.

Traps kept: whoever has not the password is refused with HTTP 200; a list of pools replaces the
other and takes three at most; a fan that is told too little runs at its least.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from drivers.sim import orders
from drivers.sim.face import NOT_FOUND, Page, json_page
from drivers.sim.machine import Change, Condition, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

ALGORITHM, MIN_THS, MAX_THS = "VoltageOptimizer", 40, 300
TARGET_C, IDLE_PERCENT, LEAST_PERCENT = 60, 20, 15
POOLS_MAX = 3
STOP_S, START_S, TUNE_S, OFF_S, ANSWER_S = 10.0, 5.0, 30.0, 70.0, 5.0

Order = tuple[Change, float]
"""What it changes, and after how long."""


def works(machine: Machine) -> bool:
    """True while its program runs and has a pool."""
    return bool(machine.pools) and machine.condition in {Condition.RUNNING, Condition.BOARD_LOST}


def target_ths(machine: Machine) -> int:
    """The rate that the tuner holds."""
    return round(round(machine.full_ghs / 1000) * machine.settings.percent / 100)


def fans(machine: Machine) -> Row:
    """How the fans are controlled, and what they do."""
    fixed, target_c = machine.settings.fan_percent, machine.settings.temp_target_c
    if fixed is not None:
        return {"Fan Mode": {"Manual": round(fixed)}, "Fans Speed": round(fixed)}
    auto = {"Idle Speed": IDLE_PERCENT, "Target Temperature": round(target_c or TARGET_C)}
    return {"Fan Mode": {"Auto": auto}, "Fans Speed": 70 if works(machine) else IDLE_PERCENT}


def obey(machine: Machine, path: str, body: Any, now: Snapshot) -> Page:
    """The answer to a POST."""
    read = _READ.get(path)
    if read is None:
        return NOT_FOUND
    if not isinstance(body, dict) or "param" not in body:
        return _answer(error="missing field `param`")
    if body.get("password") != machine.credential[1]:
        return _answer(error="Incorrect password")
    order = read(machine, body["param"])
    if order is None:
        return _answer(error="invalid param")
    change, after_s = order
    heard = machine.hear(path, change, now.now, after_s=after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    slow_s = ANSWER_S if path in ("/coin", "/miner") else 0.0
    return _answer(error=None if heard.consents else "Miner is busy", after_s=slow_s)


def _answer(*, error: str | None = None, after_s: float = 0.0) -> Page:
    page = json_page({"result": error is None, "error": error})
    return Page(page.status, page.body, page.kind, after_s=after_s)


def _miner(machine: Machine, param: Any) -> Order | None:
    acts: dict[Any, Order] = {"Stop": (orders.sleep, STOP_S), "Autostart": (_start, START_S)}
    return acts.get(param) if isinstance(param, str) else None


def _start(machine: Machine, at: float) -> None:
    asleep = machine.condition is Condition.SLEEPING
    machine.wake(at)
    if asleep:
        machine.boot_at = at  # its time begins anew with the program


def _softreboot(machine: Machine, param: Any) -> Order | None:
    return (_again, START_S + param) if _is_delay(param) else None


def _again(machine: Machine, at: float) -> None:
    machine.wake(at)
    orders.restart_mining(machine, at)


def _reboot(machine: Machine, param: Any) -> Order | None:
    return (orders.reboot(OFF_S), 2.0 + param) if _is_delay(param) else None


def _is_delay(param: Any) -> bool:
    return isinstance(param, int) and not isinstance(param, bool) and param >= 0


def _identify(machine: Machine, param: Any) -> Order | None:
    return (orders.locate(param), 0.5) if isinstance(param, bool) else None


def _coin(machine: Machine, param: Any) -> Order | None:
    found = param if isinstance(param, dict) else {}
    rows, marked = found.get("stratum_configs"), found.get("unique_id")
    if found.get("coin") != "BTC" or not isinstance(marked, bool) or not isinstance(rows, list):
        return None
    keys = ("pool", "login", "password")
    if not 1 <= len(rows) <= POOLS_MAX or not all(row.keys() >= set(keys) for row in rows):
        return None
    pools = tuple(Pool.of(*(str(row[key]) for key in keys)) for row in rows)

    def change(machine: Machine, at: float) -> None:
        orders.set_pools(pools)(machine, at)
        machine.lose_pools_to_a_write()

    return change, 3.0


def _fanspeed(machine: Machine, param: Any) -> Order | None:
    if isinstance(param, str) and param.isdecimal() and 1 <= int(param) <= 100:
        return orders.set_fans(float(max(int(param), LEAST_PERCENT))), 2.0
    auto = param.get("Auto") if isinstance(param, dict) else None
    if not isinstance(auto, dict) or not auto.keys() >= {"Target Temperature", "Idle Speed"}:
        return None
    target_c = float(auto["Target Temperature"])

    def change(machine: Machine, at: float) -> None:
        orders.set_fans(None)(machine, at)
        orders.set_temp_target(target_c)(machine, at)

    return change, 2.0


def _tune(machine: Machine, param: Any) -> Order | None:
    found = param if isinstance(param, dict) else {}
    target = found.get("target")
    if found.get("algo") != ALGORITHM or not isinstance(target, int):
        return None
    if not MIN_THS <= target <= MAX_THS:
        return None
    return orders.throttle(100 * target / round(machine.full_ghs / 1000)), TUNE_S


_READ: dict[str, Callable[[Machine, Any], Order | None]] = {
    "/miner": _miner,
    "/softreboot": _softreboot,
    "/reboot": _reboot,
    "/identify": _identify,
    "/coin": _coin,
    "/fanspeed": _fanspeed,
    "/perpetualtune/algo": _tune,
}

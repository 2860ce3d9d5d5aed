"""What a simulated machine with MARA's firmware does when it is written to.

Traps kept: the configuration is replaced by what comes, so one without pools leaves the machine
without; one without the other blocks is refused. No vendor document is public (unverified).
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from drivers.sim import orders
from drivers.sim.face import NOT_FOUND, Page, json_page
from drivers.sim.lies import Heard
from drivers.sim.machine import Change, Condition, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

PREFIX = "/kaonsu/v1/"
TARGET_W = 3300
SLEEP, AUTO = "Sleep", "Auto"
MODES = frozenset({SLEEP, AUTO, "Fixed", "Stock"})
BLOCKS = frozenset({"mode", "general-config", "advance-config", "pool-group"})
SLEEP_S, WAKE_S, RELOAD_S, OFF_S, ANSWER_S = 10.0, 5.0, 5.0, 70.0, 3.0
_slept_from: WeakKeyDictionary[Machine, list[str]] = WeakKeyDictionary()
"""The modes from which a machine was sent to sleep, the latest last: its log of changes."""


def set_mode(machine: Machine) -> str:
    """The mode that is set."""
    asleep = machine.condition is Condition.SLEEPING
    return machine.settings.mode or (SLEEP if asleep else AUTO)


def running_mode(machine: Machine) -> str:
    """The mode that it is in."""
    mode = set_mode(machine)
    if machine.condition is Condition.SLEEPING:
        return SLEEP
    return AUTO if mode == SLEEP else mode


def config(machine: Machine, now: Snapshot) -> Row:
    """`miner_config`, with the pools' passwords."""
    target_w = machine.settings.limit_w
    aim = {
        "mode-select": "PowerTarget",
        "power-target": TARGET_W if target_w is None else round(target_w),
        "hash-target": 200,
    }
    fixed = {"frequency": str(machine.frequency_mhz), "voltage": 13.2}
    return {
        "mode": {"work-mode-selector": set_mode(machine), "concorde": aim, "fixed": fixed},
        "general-config": {"environment-profile": "AirCooling"},
        "advance-config": {"override-fan-control": False, "fan-fixed-percent": 0},
        "pool-group": [{"gid": 0, "alias": "farm", "percent": 100}],
        "pools": [
            {"url": pool.url, "user": pool.user, "pass": pool.password, "gid": 0}
            for pool in machine.pools
        ],
    }


def history(machine: Machine) -> list[Row]:
    """The log of changes of the configuration, the newest last."""
    path = ["Mode", "WorkModeSelector"]
    return [
        {f"2026-01-0{at}": [{"type": "update", "path": path, "from": mode, "to": SLEEP}]}
        for at, mode in enumerate(_slept_from.get(machine, ())[-9:], 1)
    ]


def obey(machine: Machine, name: str, body: Any, now: Snapshot) -> Page:
    """The answer to a write."""
    row = body if isinstance(body, dict) else {}
    if name == "miner_config":
        return _configure(machine, row, now)
    if name == "locate_miner" and isinstance(row.get("blinking"), bool):
        heard = machine.hear(name, orders.locate(row["blinking"]), now.now, after_s=0.5)
        return _answer(heard, row)
    if name == "maintenance" and row.get("type") == "reboot":
        return _answer(machine.hear("reboot", orders.reboot(OFF_S), now.now, after_s=2.0))
    if name == "maintenance" and row.get("type") == "reload":
        return _answer(machine.hear("reload", orders.restart_mining, now.now, after_s=RELOAD_S))
    return NOT_FOUND


def _answer(heard: Heard, told: object = None, *, after_s: float = 0.0) -> Page:
    done = {"error": False, "msg": "success"} if told is None else told
    page = json_page(done if heard.consents else {"error": True, "msg": "operation failed"})
    return Page(page.status, page.body, page.kind, after_s=after_s, silent=not heard.answers)


def _configure(machine: Machine, body: Row, now: Snapshot) -> Page:
    mode = _object(body.get("mode"))
    wanted, target_w = mode.get("work-mode-selector"), _target_w(mode)
    if not body.keys() >= BLOCKS or wanted not in MODES or target_w is None:
        return json_page({"error": True, "msg": "invalid configuration"})
    store = _storing(wanted, target_w, _pools(body.get("pools")))
    heard = machine.hear("miner_config", store, now.now)
    change, after_s = (orders.sleep, SLEEP_S) if wanted == SLEEP else (orders.wake, WAKE_S)
    machine.hear("miner_config", change, now.now, after_s=after_s)
    return _answer(heard, after_s=ANSWER_S)


def _storing(mode: str, target_w: float, pools: tuple[Pool, ...]) -> Change:
    def store(machine: Machine, _: float) -> None:
        if mode == SLEEP != set_mode(machine):
            _slept_from.setdefault(machine, []).append(set_mode(machine))
        machine.settings.mode = mode
        aims = mode in (AUTO, SLEEP) and (machine.settings.limit_w or target_w != TARGET_W)
        machine.settings.limit_w = target_w if aims else None
        machine.pools = pools
        machine.lose_pools_to_a_write()

    return store


def _target_w(mode: Row) -> float | None:
    target_w = _object(mode.get("concorde")).get("power-target")
    return float(target_w) if isinstance(target_w, int) and target_w > 0 else None


def _pools(rows: Any) -> tuple[Pool, ...]:
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    keys = ("url", "user", "pass")
    return tuple(Pool.of(*(str(row.get(key, "")) for key in keys)) for row in found)


def _object(value: Any) -> Row:
    return value if isinstance(value, dict) else {}

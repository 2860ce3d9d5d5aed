"""What a simulated Auradine does when something is posted to its API.

Traps kept: a body names its command, or is none; sleep and mode are apart; `restart` that is told
no program boots the machine.
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

SHARES = {"eco": 0.75, "normal": 1.0, "turbo": 1.1}
CUSTOM = "custom"
LOCATING, NORMAL = 3, 2
SLEEP_S, WAKE_S, MODE_S, POOLS_S, GCMINER_S, OFF_S = 10.0, 5.0, 5.0, 5.0, 5.0, 70.0

Order = tuple[Change, float]
"""What it changes, and after how long."""


def frame(machine: Machine, now: Snapshot, letter: str, message: str, **content: Any) -> Row:
    """An answer in gcminer's form."""
    description = machine.model.description
    status = {"Code": 600, "Description": description, "Msg": message, "STATUS": letter}
    return {"STATUS": [{**status, "When": int(now.now)}], **content, "id": 1}


def mode(machine: Machine, now: Snapshot) -> list[Row]:
    """The page `mode`."""
    sleeps = machine.condition is Condition.SLEEPING
    full_w = machine.full_ghs / 1000 * machine.model.efficiency_j_th
    limit_w = machine.settings.limit_w
    row: Row = {"Mode": machine.settings.mode or CUSTOM, "Sleep": "on" if sleeps else "off"}
    if row["Mode"] == CUSTOM:
        row |= {"Tune": "power", "Power": round(full_w if limit_w is None else limit_w)}
    return [row]


def led(machine: Machine, now: Snapshot) -> list[Row]:
    """The page `led`."""
    if machine.settings.locating:
        return [{"Code": LOCATING, "LED1": 4, "LED2": 4, "Msg": "Locate"}]
    return [{"Code": NORMAL, "LED1": 1, "LED2": 1, "Msg": "Normal"}]


def obey(machine: Machine, command: str, body: Any, now: Snapshot) -> Page:
    """The answer to a POST by somebody who has a token."""
    read = _READ.get(command)
    if read is None:
        return NOT_FOUND
    row = body if isinstance(body, dict) else {}
    order = read(row) if row.get("command") == command else None
    if order is None:
        return json_page(frame(machine, now, "E", "Invalid parameter"))
    change, after_s = order
    heard = machine.hear(command, change, now.now, after_s=after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    if not heard.consents:
        return json_page(frame(machine, now, "E", "Command failed"))
    return json_page(frame(machine, now, "S", f"{command} OK"))


def _mode(row: Row) -> Order | None:
    if row.get("sleep") in ("on", "off"):
        return (orders.sleep, SLEEP_S) if row["sleep"] == "on" else (orders.wake, WAKE_S)
    name, power_w = row.get("mode"), row.get("power")
    if name in SHARES:
        return _entering(name, SHARES[name], None), MODE_S
    if name != CUSTOM or row.get("tune") != "power" or not isinstance(power_w, int):
        return None
    return _entering(CUSTOM, 1.0, float(power_w)), MODE_S


def _entering(name: str, share: float, limit_w: float | None) -> Change:
    def change(machine: Machine, at: float) -> None:
        orders.choose(name, share)(machine, at)
        orders.limit_power(limit_w)(machine, at)

    return change


def _pools(row: Row) -> Order | None:
    rows, keys = row.get("pools"), ("url", "user", "pass")
    if not isinstance(rows, list) or not rows:
        return None
    if not all(isinstance(each, dict) and each.keys() >= set(keys) for each in rows):
        return None
    pools = tuple(Pool.of(*(str(each[key]) for key in keys)) for each in rows)

    def change(machine: Machine, at: float) -> None:
        orders.set_pools(pools)(machine, at)
        machine.lose_pools_to_a_write()

    return change, POOLS_S


def _led(row: Row) -> Order | None:
    code = row.get("code")
    return (orders.locate(code == LOCATING), 0.5) if isinstance(code, int) else None


def _restart(row: Row) -> Order | None:
    if "parameter" not in row:
        return orders.reboot(OFF_S), 2.0
    known = row["parameter"] == "gcminer"
    return (orders.restart_mining, GCMINER_S) if known else None


_READ: dict[str, Callable[[Row], Order | None]] = {
    "mode": _mode,
    "updatepools": _pools,
    "led": _led,
    "restart": _restart,
    "factory-reset": lambda row: (orders.factory_reset, 3.0),
}

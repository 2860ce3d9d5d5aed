"""What is ordered on IceRiver's page: light, boot, reset, and pools with the fans' setting.

The form of the pools is stored as it comes: places that are not in it are empty afterwards.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from drivers.sim import orders
from drivers.sim.face import NOT_FOUND, Page, json_page
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.physics import Snapshot

FAN_RATIO = 80.0
LIGHT_S, BOOT_S, STORE_S = 3.0, 70.0, 20.0
Fields = dict[str, str]


def write(machine: Machine, path: str, asked: Fields, now: Snapshot) -> Page:
    """Answer an order of somebody who is let in."""
    made = _ORDERS.get((path, asked.get("post", "")))
    return made(machine, asked, now) if made else NOT_FOUND


def _heard(machine: Machine, name: str, change: Change, after_s: float, now: Snapshot) -> Page:
    heard = machine.hear(name, change, now.now, after_s=after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    if not heard.consents:
        return json_page({"error": 3001, "data": {}, "message": f"{name} failed"})
    return json_page({"error": 0, "data": {}, "message": ""})


def _light(machine: Machine, asked: Fields, now: Snapshot) -> Page:
    wish = asked.get("locate")
    if wish not in ("0", "1"):
        return json_page({"error": 2001, "data": {}, "message": "param error"})
    return _heard(machine, "locate", orders.locate(wish == "1"), LIGHT_S, now)


def _boot(machine: Machine, _: Fields, now: Snapshot) -> Page:
    return _heard(machine, "reboot", orders.reboot(BOOT_S), 1.0, now)


def _reset(machine: Machine, _: Fields, now: Snapshot) -> Page:
    return _heard(machine, "restore", orders.factory_reset, 1.0, now)


def _store(machine: Machine, asked: Fields, now: Snapshot) -> Page:
    rows = [[asked.get(f"pool{at}{part}", "") for part in _PARTS] for at in (1, 2, 3)]
    fans = (asked.get("fanratio"), asked.get("fanmode"))
    pools = [Pool.of(*row) for row in rows if row[0]] if fans == _FANS else []

    def change(machine: Machine, at: float) -> None:
        orders.set_pools(pools)(machine, at)
        orders.restart_mining(machine, at)
        machine.lose_pools_to_a_write()

    return msgspec.structs.replace(
        _heard(machine, "machineconfig", change, 0.0, now), after_s=STORE_S
    )


_PARTS = ("address", "miner", "pwd")
_FANS = (f"{FAN_RATIO:g}", "normal")
_ORDERS = {
    ("/user/userpanel", "2"): _reset,
    ("/user/userpanel", "3"): _boot,
    ("/user/userpanel", "5"): _light,
    ("/user/machineconfig", "2"): _store,
}

"""What is ordered over Innosilicon's web side: pools, a restart of the program, a boot, a reset."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from drivers.sim import orders
from drivers.sim.face import NOT_FOUND, Ask, Page, json_page
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

RESTART_S, BOOT_S, STORE_S = 5.0, 60.0, 4.0


def configured_pools(machine: Machine, _: Snapshot) -> Row:
    """`/api/pools`: as in cgminer's configuration."""
    rows = [{"url": each.url, "user": each.user, "pass": each.password} for each in machine.pools]
    return {"pools": rows}


def write(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """Answer an order of somebody who has shown a token."""
    if ask.path == "/api/updatePools":
        return _store(machine, ask.form, now)
    found = _ORDERS.get(ask.path)
    return _heard(machine, ask.path, *found, now) if found else NOT_FOUND


def _heard(machine: Machine, path: str, change: Change, after_s: float, now: Snapshot) -> Page:
    name = path.removeprefix("/api/")
    heard = machine.hear(name, change, now.now, after_s=after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    good: Row = {"success": True}
    return json_page(good if heard.consents else {"success": False, "message": f"{name} failed"})


def _store(machine: Machine, form: dict[str, str], now: Snapshot) -> Page:
    """What the form does not name is gone: a form without pools leaves none."""
    pools = [
        Pool.of(form[f"Pool{at}"], form.get(f"UserName{at}", ""), form.get(f"Password{at}", ""))
        for at in (1, 2, 3)
        if form.get(f"Pool{at}")
    ]

    def change(machine: Machine, at: float) -> None:
        orders.set_pools(pools)(machine, at)
        orders.restart_mining(machine, at)
        machine.lose_pools_to_a_write()

    return msgspec.structs.replace(
        _heard(machine, "/api/updatePools", change, 0.0, now), after_s=STORE_S
    )


_ORDERS: dict[str, tuple[Change, float]] = {
    "/api/restartCgMiner": (orders.restart_mining, RESTART_S),
    "/api/reboot": (orders.reboot(BOOT_S), 1.0),
    "/api/factoryReset": (orders.factory_reset, 1.0),
}

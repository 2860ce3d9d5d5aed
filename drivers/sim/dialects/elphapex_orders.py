"""What is written to an Elphapex's CGI pages: mode, light, pools, reboot.

The configuration is replaced by what is written: a key that is not there is lost, and pools that
are not there are no pools. The mode has a page of its own below `/cgi-bin/luci` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec

from drivers.sim import orders
from drivers.sim.face import NOT_FOUND, Ask, Page, json_page
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

MODE_S, STORE_S, BOOT_S = 10.0, 12.0, 60.0
"""Until a mode is taken, until a stored configuration is answered, and a boot."""
_MODES = {"-1000": orders.sleep, "0": orders.wake}
_OK = {"stats": "success", "code": "M000", "msg": "OK!"}
_FAILED = {"stats": "error", "code": "M001", "msg": "FAIL!"}


def write(machine: Machine, name: str, ask: Ask, now: Snapshot, config: Row) -> Page:
    """Answer a `POST` of somebody who has shown the password."""
    pages = _LUCI if machine.model.extra.get("luci") else _PLAIN
    made = pages.get(name)
    return made(machine, ask.json(), now, config) if made else NOT_FOUND


def _heard(
    machine: Machine, name: str, change: Change, now: Snapshot, after_s: float, good: Row
) -> Page:
    heard = machine.hear(name, change, now.now, after_s=after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    return json_page(good if heard.consents else _FAILED)


def _store(machine: Machine, found: Any, now: Snapshot, config: Row) -> Page:
    """Numbers, words and all: nothing but the pools may differ from what it showed."""
    given = found if isinstance(found, dict) else {}
    if any(given.get(key) != value for key, value in config.items() if key != "pools"):
        machine.pools = ()  # half a configuration is stored as it is
        return json_page(_OK)
    rows = [row for row in given.get("pools", []) if row["url"]]
    pools = [Pool.of(row["url"], row["user"], row["pass"]) for row in rows]

    def change(machine: Machine, at: float) -> None:
        orders.set_pools(pools)(machine, at)
        machine.lose_pools_to_a_write()

    answer = _heard(machine, "set_miner_conf", change, now, 0.0, _OK)
    return msgspec.structs.replace(answer, after_s=STORE_S)


def _blink(machine: Machine, found: Any, now: Snapshot, _: Row) -> Page:
    wish = found.get("blink") if isinstance(found, dict) else None
    if wish not in ("true", "false"):
        return json_page(_FAILED)
    on = wish == "true"
    code = {"code": "B000" if on else "B100"}
    return _heard(machine, "blink", orders.locate(on), now, 0.0, code)


def _led_test(machine: Machine, found: Any, now: Snapshot, _: Row) -> Page:
    given = found if isinstance(found, dict) else {}
    if {"leds_blue", "leds_red", "leds_flash", "leds_time"} - given.keys():
        return json_page(_FAILED)
    return _heard(machine, "blink", orders.locate(given["leds_blue"] == 1), now, 0.0, _OK)


def _mode(machine: Machine, found: Any, now: Snapshot, _: Row) -> Page:
    change = _MODES.get(str(found.get("workmode"))) if isinstance(found, dict) else None
    if change is None:
        return json_page(_FAILED)
    return _heard(machine, "setworkmode", change, now, MODE_S, _OK)


def _reboot(machine: Machine, _: Any, now: Snapshot, __: Row) -> Page:
    return _heard(machine, "reboot", orders.reboot(BOOT_S), now, 1.0, _OK)


Write = Callable[[Machine, Any, Snapshot, Row], Page]
_PLAIN: dict[str, Write] = {"set_miner_conf": _store, "blink": _blink, "reboot": _reboot}
_LUCI: dict[str, Write] = {"setworkmode": _mode, "ftm_ledtest": _led_test, "reboot": _reboot}

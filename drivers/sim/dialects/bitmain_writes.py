"""What Bitmain's pages do that change something: configuration, light, reboot, reset.

As pyasic, asic-rs and proto-fleet use them. A configuration takes the place of the whole former
one, and of the two keys for the mode a build obeys one (`extra.mode_key`); it answers the other
with success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from drivers.sim import orders
from drivers.sim.face import NOT_FOUND, Ask, Page, json_page
from drivers.sim.machine import Change, Condition, Machine, Pool
from drivers.sim.physics import Snapshot

ANSWERS_AFTER_S = 21.0
MINES_AFTER_S = 22.0
"""The mining program starts anew in the background when the configuration is written."""
REBOOTS_AFTER_S, OFF_S = 3.0, 80.0
SLOTS = 3
SLEEP = 1
_MODES: dict[int, tuple[str | None, float]] = {0: (None, 1.0), 2: ("high", 1.0), 3: ("low", 0.7)}
_NUMBERS = {word: number for number, (word, _) in _MODES.items()}
_INVALID = json_page({"stats": "error", "code": "M001", "msg": "Invalid configuration"})
_SILENT = Page(HTTPStatus.OK, silent=True)


def mode_of(machine: Machine) -> int:
    """The number of the mode that it is in."""
    if machine.condition is Condition.SLEEPING:
        return SLEEP
    return _NUMBERS.get(machine.settings.mode, 0)


def slots_of(machine: Machine) -> list[dict[str, str]]:
    """The pools as the configuration shows them: empty places are there, too."""
    rows = [{"url": p.url, "user": p.user, "pass": p.password} for p in machine.pools]
    return rows + [{"url": "", "user": "", "pass": ""}] * (SLOTS - len(rows))


def set_miner_conf(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """`set_miner_conf.cgi`."""
    if ask.method != "POST":
        return NOT_FOUND
    given = ask.json()
    if not isinstance(given, dict):
        return _INVALID
    name = "set_miner_conf"
    machine.hear(name, _stored(given), now.now)
    heard = machine.hear(name, _entered(machine, given), now.now, after_s=MINES_AFTER_S)
    if not heard.answers:
        return _SILENT
    if not heard.consents:
        return _INVALID
    good = {"stats": "success", "code": "M000", "msg": "OK!"}
    return _after(json_page(good), ANSWERS_AFTER_S)


def _stored(given: Mapping[str, Any]) -> Change:
    """What the file holds from now on; what was left out is gone."""

    def change(machine: Machine, _: float) -> None:
        rows = given.get("pools")
        machine.pools = _placed(machine, rows) if isinstance(rows, list) else ()
        machine.lose_pools_to_a_write()
        fixed = given.get("bitmain-fan-ctrl") in (True, "true")
        duty = str(given.get("bitmain-fan-pwm", ""))
        machine.settings.fan_percent = float(duty) if fixed and duty.isdigit() else None

    return change


def _placed(machine: Machine, rows: list[Any]) -> tuple[Pool, ...]:
    """A place that was not sent keeps its pool, one that was sent empty has none."""
    kept = slots_of(machine)
    places = [*rows, *kept[len(rows) :]]
    return tuple(
        Pool.of(str(row["url"]), str(row.get("user", "")), str(row.get("pass", "")))
        for row in places
        if isinstance(row, dict) and row.get("url")
    )


def _entered(machine: Machine, given: Mapping[str, Any]) -> Change:
    """The mode under the key that this build obeys; without it the normal one."""
    said = str(given.get(str(machine.model.extra.get("mode_key", "miner-mode")), "0"))
    mode = int(said) if said.isdigit() else 0
    if mode == SLEEP:
        return orders.sleep
    word, share = _MODES.get(mode, _MODES[0])

    def change(machine: Machine, at: float) -> None:
        machine.settings.mode, machine.settings.mode_share = word, share
        machine.wake(at)
        orders.restart_mining(machine, at)

    return change


def blink(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """`blink.cgi`, which wants the words "true" and "false"."""
    given = ask.json()
    wish = given.get("blink") if isinstance(given, dict) else None
    if wish not in ("true", "false"):
        return json_page({"stats": "error", "code": "B002", "msg": "Invalid parameter"})
    on = wish == "true"
    heard = machine.hear("blink", orders.locate(on), now.now)
    if not heard.answers:
        return _SILENT
    if not heard.consents:
        return json_page({"stats": "error", "code": "B001", "msg": "Blink failed"})
    return json_page({"code": "B000" if on else "B100"})


def reboot(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """`reboot.cgi`: it answers, and is gone."""
    return _told(machine, "reboot", orders.reboot(OFF_S), now)


def reset_conf(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """`reset_conf.cgi`."""
    return _told(machine, "reset_conf", orders.factory_reset, now)


def _told(machine: Machine, name: str, change: Change, now: Snapshot) -> Page:
    heard = machine.hear(name, change, now.now, after_s=REBOOTS_AFTER_S)
    if not heard.answers:
        return _SILENT
    if not heard.consents:
        return Page(HTTPStatus.INTERNAL_SERVER_ERROR, b"failed")
    return Page(HTTPStatus.OK)


def _after(page: Page, after_s: float) -> Page:
    return Page(page.status, page.body, page.kind, after_s=after_s)


Write = Callable[[Machine, Ask, Snapshot], Page]
WRITES: dict[str, Write] = {
    f"/cgi-bin/{write.__name__}.cgi": write for write in (set_miner_conf, blink, reboot, reset_conf)
}

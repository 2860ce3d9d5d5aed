"""What a SealMiner does when it is told to: bdminer's commands, and the forms of its web side.

The commands are those that asic-rs sends, the forms those of bitcap-ipr; how a real machine words
its answers to most of them is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import msgspec

from drivers.sim import orders, protocol
from drivers.sim.answers import Dialect, Reply, reply_to
from drivers.sim.dialects.stored import at_next_boot, boot
from drivers.sim.face import Ask, Page, json_page
from drivers.sim.lies import Heard
from drivers.sim.machine import Change, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Request, Row, Section

OFF_S = 222.0
PROGRAM_S = 30.0
SUSPEND_S = 3.0
POOLS_S = 5.0
LEAST_SHARE, MOST_SHARE = 0.5, 1.2
"""The limits that the simulated firmware takes, as shares of its rated power."""
MESSAGES = {
    15: ("E", "Missing device id parameter"),
    119: ("S", "ASC 0 set OK"),
    120: ("E", "ASC 0 set failed: {}"),
}
PLACES = 3


def limit_w(machine: Machine) -> int:
    """The limit that is set, or that of the factory."""
    limit = machine.settings.limit_w
    return round(machine.full_w if limit is None else limit)


# --- bdminer -----------------------------------------------------------------------------------


def respond(dialect: Dialect, machine: Machine, data: bytes, now: float) -> Reply:
    """Answer one request; those that write here, the rest as the dialect says."""
    request = protocol.parse_request(data)
    if request.error is None and request.command in machine.model.commands:
        if request.command == "ascset":
            machine.settle(now)
            return _ascset(machine, request, now)
        if request.command == "restart":
            return _restart(machine, request, now)
    return reply_to(dialect, machine, data, now)


def _restart(machine: Machine, request: Request, now: float) -> Reply:
    heard = machine.hear("restart", _begin_anew, now, after_s=1.0)
    if not heard.answers:
        return Reply(b"", request.command, silent=True)
    if not heard.consents:
        return _reply(machine, request, now, 120, "restart")
    return Reply(msgspec.json.encode({"STATUS": "RESTART"}) + b"\0", request.command)


def _begin_anew(machine: Machine, at: float) -> None:
    orders.restart_mining(machine, at + PROGRAM_S * machine.pace)
    machine.wake(machine.boot_at)


def _ascset(machine: Machine, request: Request, now: float) -> Reply:
    device, _, rest = (request.parameter or "").partition(",")
    if device != "0":
        return _reply(machine, request, now, 15)
    name, _, setting = rest.partition(",")
    found = _option(machine, name, setting)
    if isinstance(found, str):
        return _reply(machine, request, now, 120, found)
    heard = machine.hear(name, found, now, after_s=SUSPEND_S if name == "suspend" else 0.0)
    if not heard.answers:
        return Reply(b"", request.command, silent=True)
    code = 119 if heard.consents else 120
    return _reply(machine, request, now, code, f"{name} is not permitted")


def _option(machine: Machine, name: str, setting: str) -> Change | str:
    """The effect, or why there is none."""
    if name == "suspend":
        return orders.sleep
    if name != "powerlimit":
        return f"Unknown option: {name}"
    try:
        watts = float(msgspec.json.decode(setting, type=dict[str, str])["value"])
    except (msgspec.DecodeError, KeyError, ValueError):
        return "powerlimit unknown argument"
    if not LEAST_SHARE <= watts / machine.full_w <= MOST_SHARE:
        return "powerlimit out of range"
    return at_next_boot(orders.limit_power(watts))


def _reply(machine: Machine, request: Request, now: float, code: int, words: str = "") -> Reply:
    letter, template = MESSAGES[code]
    status: Row = {
        "STATUS": letter,
        "When": int(now),
        "Code": code,
        "Msg": template.format(words),
        "Description": machine.model.description,
    }
    encode = protocol.encode_json if request.json else protocol.encode_text
    return Reply(encode(Section(status)), request.command)


# --- forms -------------------------------------------------------------------------------------


def stored_pools(machine: Machine, now: Snapshot) -> Row:
    """`get_miner_poolconf`: the whole list with its passwords, and other settings beside it."""
    rows = [{"url": pool.url, "user": pool.user, "pass": pool.password} for pool in machine.pools]
    rows += [{"url": "", "user": "", "pass": ""}] * (PLACES - len(rows))
    return {
        "xk-h3x-miningmode": "2",
        "xk-h3x-psu-input-max-power": str(limit_w(machine)),
        "pools": rows,
    }


def _reboot(machine: Machine, ask: Ask, now: float) -> Page:
    heard = machine.hear("reboot", boot(OFF_S), now, after_s=2.0)
    return _acted(heard)


def _led(machine: Machine, ask: Ask, now: float) -> Page:
    body = ask.json()
    wanted = body.get("value") if isinstance(body, dict) and body.get("key") == "led" else None
    if ask.method != "POST" or wanted not in ("on", "off"):
        return json_page({"status": 1, "result": 1})
    return _acted(machine.hear("led", orders.locate(wanted == "on"), now))


def _acted(heard: Heard) -> Page:
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    return json_page({"status": 0, "result": 0} if heard.consents else {"status": 1, "result": 1})


def _set_pools(machine: Machine, ask: Ask, now: float) -> Page:
    form = ask.json()
    keys = [f"pool{part}{at}" for at in range(1, PLACES + 1) for part in ("url", "user", "pwd")]
    if ask.method != "POST" or not isinstance(form, dict) or not set(keys) <= form.keys():
        return _stored(stored=False)
    pools = [
        Pool.of(form[f"poolurl{at}"], form[f"pooluser{at}"], form[f"poolpwd{at}"])
        for at in range(1, PLACES + 1)
        if form[f"poolurl{at}"]
    ]

    def change(machine: Machine, at: float) -> None:
        orders.set_pools(pools)(machine, at)
        machine.lose_pools_to_a_write()

    heard = machine.hear("pools", change, now, after_s=POOLS_S)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    return _stored(stored=heard.consents)


def _stored(*, stored: bool) -> Page:
    msg = "success" if stored else "failed"
    return json_page({"result": stored, "api": stored, "fileWrite": stored, "msg": msg})


FORMS: dict[str, Callable[[Machine, Ask, float], Page]] = {
    "reboot": _reboot,
    "led_conf": _led,
    "set_miner_poolconf": _set_pools,
}

"""The configuration of Hammer's, blackMiner's and VolcMiner's pages: shown, and written as a form.

The form is taken as it is: a field that is not there, or has another value than was shown, is lost
together with the pools. A VolcMiner shows mode and voltage on a page of their own.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from drivers.sim import orders
from drivers.sim.face import NOT_FOUND, Ask, Page, json_page
from drivers.sim.machine import Change, Condition, Machine, Pool
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

MODE_S, STORE_S, BOOT_S = 12.0, 15.0, 70.0
VOLTAGE, EMA = "1245", "3"
_FAILED = {"code": 1, "msg": "FAIL!"}
_MODES = {"-1": orders.sleep, "0": orders.wake}


def is_volcminer(machine: Machine) -> bool:
    """True for a VolcMiner, whose pages are its own."""
    return machine.model.name.startswith("VolcMiner")


def _is_blackminer(machine: Machine) -> bool:
    return machine.model.name.startswith("Blackminer")


def _mode(machine: Machine) -> str:
    return "-1" if machine.condition is Condition.SLEEPING else "0"


def configuration(machine: Machine, _: Snapshot) -> Row:
    """`get_miner_conf.cgi`."""
    shown: Row = {
        "pools": [
            {"url": pool.url, "user": pool.user, "pass": pool.password} for pool in machine.pools
        ]
    }
    plain = {"freq": str(machine.frequency_mhz), "coin-type": "ltc"}
    if is_volcminer(machine):
        fans = {"fan-ctrl": False, "fan-pwm-front": "70", "fan-pwm-back": "80"}
        return shown | plain | fans | {"sram-voltage": EMA}
    if _is_blackminer(machine):
        return shown | plain | {"api-listen": True, "api-allow": "R:0/0,W:127.0.0.1"}
    sleeps = machine.condition is Condition.SLEEPING
    return shown | {"bitmain-work-mode": "1" if sleeps else "0"}


def configuration_v1(machine: Machine, _: Snapshot) -> bytes:
    """`get_miner_confV1.cgi`: its object stands in quotation marks."""
    own = {"runmode": _mode(machine), "voltage": VOLTAGE, "bb_debug_enable": "false"}
    return b'{"code":0,"msg":"OK!","data":"' + msgspec.json.encode(own) + b'"}'


def write(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """Answer a `POST` of somebody who has shown the password."""
    made = _WRITES.get(ask.path)
    return made(machine, ask, now) if made else NOT_FOUND


def _heard(
    machine: Machine, name: str, change: Change, now: Snapshot, after_s: float, good: Page
) -> Page:
    heard = machine.hear(name, change, now.now, after_s=after_s)
    if not heard.answers:
        return Page(HTTPStatus.OK, silent=True)
    return good if heard.consents else json_page(_FAILED)


def _fixed(machine: Machine) -> dict[str, str]:
    """The fields that have to come back as they were."""
    shown = {
        "_bb_nobeeper": "false",
        "_bb_notempoverctrl": "false",
        "_bb_fan_customize_switch": "false",
        "_bb_freq": str(machine.frequency_mhz),
        "_bb_coin_type": "ltc",
    }
    if not is_volcminer(machine):
        return shown | {"_bb_fan_customize_value": ""}
    fans = {"_bb_fan_customize_value_front": "70", "_bb_fan_customize_value_back": "80"}
    rest = {"_bb_voltage_customize_value": VOLTAGE, "_bb_ema": EMA, "_bb_debug": "false"}
    return shown | fans | rest


def _store(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    form, answer = ask.form, Page(HTTPStatus.OK, b"ok", "text/plain", after_s=STORE_S)
    if not (is_volcminer(machine) or _is_blackminer(machine)):
        return NOT_FOUND
    names = [f"_bb_pool{at}{part}" for at in (1, 2, 3) for part in ("url", "user", "pw")]
    mode = form.get("_bb_runmode", "0")
    changed = any(form.get(name) != value for name, value in _fixed(machine).items())
    lacks_mode = is_volcminer(machine) and "_bb_runmode" not in form
    if changed or lacks_mode or mode not in _MODES or set(names) - form.keys():
        machine.pools = ()
        return answer
    triples = [[form[f"_bb_pool{at}{part}"] for part in ("url", "user", "pw")] for at in (1, 2, 3)]
    pools = [Pool.of(*each) for each in triples if each[0]]

    def change(machine: Machine, at: float) -> None:
        orders.set_pools(pools)(machine, at)
        machine.lose_pools_to_a_write()

    if mode == _mode(machine):
        return _heard(machine, "set_miner_conf", change, now, 0.0, answer)
    turned = _heard(machine, "runmode", _MODES[mode], now, MODE_S, answer)
    _heard(machine, "runmode", change, now, 0.0, answer)
    return turned


def _blink(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    found = ask.json()
    wish = found.get("blink") if isinstance(found, dict) else None
    if wish not in ("true", "false") or is_volcminer(machine):
        return json_page(_FAILED)
    on = wish == "true"
    good = json_page({"code": "B000" if on else "B100"})
    return _heard(machine, "blink", orders.locate(on), now, 0.0, good)


def _lights(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    wish = ask.form.get("_bb_type")
    if wish not in ("rgOn", "rgOff") or not is_volcminer(machine):
        return NOT_FOUND
    good = Page(HTTPStatus.OK, b"ok", "text/plain")
    return _heard(machine, "blink", orders.locate(wish == "rgOn"), now, 0.0, good)


def _reboot(machine: Machine, _: Ask, now: Snapshot) -> Page:
    good = Page(HTTPStatus.OK, b"ok", "text/plain")
    return _heard(machine, "reboot", orders.reboot(BOOT_S), now, 1.0, good)


_WRITES = {
    "/cgi-bin/set_miner_conf.cgi": _store,
    "/cgi-bin/blink.cgi": _blink,
    "/cgi-bin/post_led_onoff.cgi": _lights,
    "/cgi-bin/reboot.cgi": _reboot,
}

"""Elphapex: CGI pages behind digest authentication, and nothing on port 4028.

After recordings of a DG1+ and a DG Home 1, with what they show of constants: sensors of the
boards that never move, `hw` that repeats the chips, every place for a board listed. With `luci` in
its `extra` a machine has its pages below `/cgi-bin/luci`. What is written is in
`elphapex_orders`.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec

from drivers.sim.dialects.elphapex_orders import write
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

PLACES = 4
CONSTANT = [47, 46, 67, 66]
CHIP_MAP = "ooooooooo oooooooo oooooooo oooooooo oooo"
BOOTED_BEFORE_S = 137


def _frame(machine: Machine, now: Snapshot, message: str, **content: Any) -> Row:
    model = machine.model
    status = {
        "STATUS": "S",
        "when": now.uptime_s + BOOTED_BEFORE_S,
        "timestamp": int(now.now),
        "api_version": "1.0.0",
        "Msg": message,
    }
    info = {
        "miner_version": model.firmware,
        "CompileTime": "",
        "dev_sn": machine.serial,
        "type": model.name,
        "hw_version": f"{model.name}_HW_V1.0",
    }
    return {"STATUS": status, "INFO": info, **content}


def _rates(machine: Machine, now: Snapshot) -> Row:
    hashes = machine.condition in (Condition.RUNNING, Condition.BOARD_LOST)
    return {
        "rate_unit": "MH/s",
        "elapsed": now.uptime_s if hashes else 0,
        "rate_5s": now.ghs_5s * 1000,
        "rate_15m": round(now.ghs_30m * 1000),
        "rate_30m": 0,
        "rate_avg": now.ghs_av * 1000 if hashes else 0,
        "rate_ideal": machine.full_ghs * 1000,
    }


def stats(machine: Machine, now: Snapshot) -> Row:
    """`stats.cgi`."""
    row = _rates(machine, now) | {
        "hwp_total": 0.1155,
        "chain": [_chain(machine, now, place) for place in range(PLACES)],
        "chain_num": PLACES,
        "fan": [str(rpm) for rpm in now.fan_rpm],
        "fan_num": machine.model.fans,
    }
    return _frame(machine, now, "stats", STATS=[row])


def _chain(machine: Machine, now: Snapshot, place: int) -> Row:
    at = place - (PLACES - machine.model.boards)  # a machine with one board has it in the last
    chips = machine.chips_at(at) if at >= 0 else 0
    row: Row = {
        "index": place,
        "sn": "",
        "asic": CHIP_MAP,
        "asic_num": chips,
        "hw": chips,
        "freq_avg": 0,
        "failrate": 0,
        "rate_ideal": 0,
        "rate_real": 0,
        "hashrate": 0,
        "temp_pcb": CONSTANT,
        "temp_pic": CONSTANT,
        "temp_chip": ["", "", "", ""],
    }
    if not chips:
        return row
    return row | {
        "sn": machine.board_serials[at],
        "eeprom_loaded": True,
        "freq_avg": machine.frequency_mhz * 1000,
        "rate_ideal": machine.full_ghs * 1000 / machine.model.boards,
        "rate_real": now.ghs_av * 1000 / machine.model.boards,
        "hashrate": now.board_ghs[at] * 1000,
        "temp_chip": [f"{now.chip_c[at] * 1000 - 3125}", f"{now.chip_c[at] * 1000}", "", ""],
    }


def summary(machine: Machine, now: Snapshot) -> Row:
    """`summary.cgi`."""
    well = {"status": "s", "code": 0, "msg": ""}
    health = [{"type": kind, **well} for kind in ("rate", "network", "fans", "temp")]
    if not machine.pool_alive:
        health[1] = {"type": "network", "status": "e", "code": 0, "msg": "no pool answers"}
    row = _rates(machine, now) | {"hw_all": now.ghs_av * 1000, "bestshare": 0, "status": health}
    return _frame(machine, now, "summary", SUMMARY=[row])


def pools(machine: Machine, now: Snapshot) -> Row:
    """`pools.cgi`."""
    rows = [
        {
            "index": at,
            "url": pool.url,
            "user": pool.user,
            "status": "Alive" if machine.pool_alive else "Unreachable",
            "priority": at,
            "accepted": now.accepted if at == 0 else 0,
            "rejected": now.rejected if at == 0 else 0,
            "stale": now.stale if at == 0 else 0,
            "lstime": "00:00:09",
            "diff": "",
        }
        for at, pool in enumerate(machine.pools)
    ]
    return _frame(machine, now, "pools", POOLS=rows)


def get_system_info(machine: Machine, now: Snapshot) -> Row:
    """`get_system_info.cgi`."""
    return {
        "Algorithm": "Scrypt",
        "firmware_type": "Release",
        "hostname": machine.hostname,
        "ipaddress": machine.address,
        "macaddr": machine.mac.lower(),
        "minertype": machine.model.name,
        "nettype": "DHCP",
        "system_filesystem_version": machine.model.firmware,
        "system_mode": "GNU/Linux",
    }


def get_miner_conf(machine: Machine, now: Snapshot) -> Row:
    """`get_miner_conf.cgi`."""
    sleeps = machine.condition is Condition.SLEEPING
    pools = [{"url": pool.url, "user": pool.user, "pass": pool.password} for pool in machine.pools]
    return {
        "algo": "ltc",
        "fc-fan-ctrl": False,
        "fc-fan-pwm": "20",
        "fc-freq": "1850",
        "fc-freq-level": "100",
        "fc-voltage": "1470",
        "fc-work-mode": -1000 if sleeps else 0,
        "pools": pools + [{"url": "", "user": "", "pass": ""}] * (3 - len(pools)),
    }


def get_blink_status(machine: Machine, now: Snapshot) -> Row:
    """`get_blink_status.cgi`."""
    return {"blink": machine.settings.locating}


def get_power(machine: Machine, now: Snapshot) -> Row:
    """`get_power.cgi`, which the home machine alone has."""
    return {"power_output": str(round(now.power_w)), "power_temp": "270"}


PAGES: dict[str, Callable[[Machine, Snapshot], Row]] = {
    made.__name__: made
    for made in (
        stats,
        summary,
        pools,
        get_system_info,
        get_miner_conf,
        get_blink_status,
        get_power,
    )
}


def page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """A page, for a client that has shown its password."""
    if ask.path == "/":
        return Page(HTTPStatus.OK, b"<html><title>Miner</title></html>")
    folder, _, file = ask.path.rpartition("/")
    name = file.removesuffix(".cgi")
    if folder != ("/cgi-bin/luci" if machine.model.extra.get("luci") else "/cgi-bin"):
        return NOT_FOUND
    if ask.method == "POST":
        return write(machine, name, ask, now, get_miner_conf(machine, now))
    made = PAGES.get(name)
    if made is None or (made is get_power and not machine.model.extra.get("tells_power")):
        return NOT_FOUND
    found = json_page(made(machine, now))
    if made is not stats:
        return found
    return msgspec.structs.replace(found, ghs=now.ghs_5s, elapsed=now.uptime_s)


FACE = Face(web=Web(page, realm="Daoge"), polled="web")

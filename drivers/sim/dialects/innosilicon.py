"""Innosilicon: a cgminer of its own on port 4028, and pages that hand its answers on.

The pages want the token that `/api/auth` gives for a form; a token that ended is told in a page
of status 200. With `pages_only` in its `extra` a machine keeps port 4028 to itself. Orders are in
`innosilicon_orders`.
"""

from __future__ import annotations

from urllib.parse import quote

from drivers.sim.answers import Asked, Command, Dialect, Reply, reply_to
from drivers.sim.dialects.classic import device, pool, pools_of
from drivers.sim.dialects.innosilicon_orders import configured_pools, write
from drivers.sim.dialects.rows import CGMINER, WRITES, Answer, summary_row
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

SESSION_S = 3600.0
DUTY_PERCENT = 55


def _version(asked: Asked) -> Answer:
    return 22, ("CGMiner",), ({"CGMiner": asked.machine.model.firmware, "API": "3.7"},)


def _summary(asked: Asked) -> Answer:
    return 11, (), (summary_row(CGMINER, asked) | _windows(asked.now.ghs_30m * 1000),)


def _windows(mhs: float) -> Row:
    return {"MHS 1m": mhs, "MHS 5m": mhs, "MHS 15m": mhs}


def _devs(asked: Asked) -> Answer:
    boards = asked.machine.model.boards
    return 9, (f"{boards} ASC(s)",), tuple(_device(asked, at) for at in range(boards))


def _device(asked: Asked, at: int) -> Row:
    return device(CGMINER, asked, at) | _windows(asked.now.ghs_30m * 1000 / len(asked.now.board_c))


def _stats(asked: Asked) -> Answer:
    machine, now = asked.machine, asked.now
    boards: list[Row] = [
        {
            "STATS": at,
            "ID": f"{machine.model.driver}{at}",
            "Elapsed": now.uptime_s,
            "Chain ID": at,
            "Num chips": machine.model.chips,
            "Num active chips": machine.chips_at(at),
            "Temp max": float(now.chip_c[at]),
            "Temp min": float(now.board_c[at]),
            "Temp prewarn 0": 95,
            "Fan duty": DUTY_PERCENT if any(now.fan_rpm) else 0,
            "PLL": machine.frequency_mhz,
            "VidOptimal": True,
            "pllOptimal": True,
            "MHS av": now.ghs_av * 1000,
            "Disabled": False,
            "Temp": float(now.chip_c[at]),
            "00 HW errors": 3,
            "00 Temp": 400,
        }
        for at in range(machine.model.boards)
    ]
    ends: list[Row] = [{"STATS": len(boards), "ID": "POOL0", "Elapsed": now.uptime_s}]
    return 70, ("CGMiner",), tuple(boards + ends)


_COMMANDS: dict[str, Command] = {name: Command(None, joinable=False) for name in WRITES} | {
    "version": Command(_version, "VERSION"),
    "summary": Command(_summary, "SUMMARY", shows_rate=True, shows_uptime=True),
    "devs": Command(_devs, "DEVS", headed=False, shows_uptime=True),
    "stats": Command(_stats, "STATS", headed=False, shows_uptime=True),
    "pools": Command(pools_of, "POOLS", headed=False),
}
_DIALECT = Dialect(_COMMANDS, hides_name=True, rate_digits=7)


def _respond(machine: Machine, data: bytes, now: float) -> Reply:
    if machine.model.extra.get("pages_only"):
        return Reply(b"")
    return reply_to(_DIALECT, machine, data, now)


# --- the web side -----------------------------------------------------------------------------


def _page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if ask.path == "/":
        return html_page("<!DOCTYPE html><html><head><title>DragonMint</title></head></html>")
    if not ask.path.startswith("/api/") or ask.method != "POST":
        return NOT_FOUND
    if ask.path == "/api/auth":
        return _login(machine, ask, now)
    token = ask.headers.get("authorization", "").removeprefix("Bearer ")
    used = machine.sessions.get(token)
    if used is None or now.now - used > SESSION_S:
        return json_page({"success": False, "token": "expired"})
    pages = {
        "/api/type": _type,
        "/api/overview": _overview,
        "/api/getAll": _everything,
        "/api/summary": _whole_summary,
        "/api/getErrorDetail": _error,
        "/api/pools": configured_pools,
    }
    found = pages.get(ask.path)
    return json_page({"success": True} | found(machine, now)) if found else write(machine, ask, now)


def _login(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if (ask.form.get("username"), ask.form.get("password")) != machine.credential:
        return json_page({"success": False, "message": "Invalid username or password"})
    token = f"eyJ.{quote(machine.serial)}.{len(machine.sessions)}"
    machine.sessions[token] = now.now
    return json_page({"success": True, "jwt": token})


def _type(machine: Machine, _: Snapshot) -> Row:
    return {"type": machine.model.name.removeprefix("Innosilicon ")}


def _overview(machine: Machine, now: Snapshot) -> Row:
    return _type(machine, now) | {
        "hardware": {"status": "up 1:23", "memUsed": 1000, "memTotal": 2000},
        "version": {
            "build_date": machine.model.compile_time,
            "ethaddr": machine.mac,
            "hwver": "g19",
            "platform_v": machine.model.file_system,
        },
        "network": {"dhcp": "dhcp", "ipaddress": machine.address},
    }


def _everything(machine: Machine, now: Snapshot) -> Row:
    chain = [
        {
            "ASC": at,
            "Hash Rate": round(ghs / 1000, 2),
            "Unit": "TH/s",
            "Hash Rate H": int(ghs * 1e9),
            "Average Temp": now.board_c[at],
            "Temp max": float(now.chip_c[at]),
        }
        for at, ghs in enumerate(now.board_ghs)
    ]
    pools = [
        {"url": each.url, "user": each.user, "password": each.password} for each in machine.pools
    ]
    found = {
        "chain": chain,
        "fansSpeed": DUTY_PERCENT if any(now.fan_rpm) else 0,
        "total_hash": {"Hash Rate": round(now.ghs_5s / 1000, 2), "Unit": "TH/s"},
        "mac": machine.mac,
        "hwver": "g19",
        "platform": machine.model.file_system,
        "uptime": "10:00:00 up 1:23",
        "running_mode": {"mode": "performance", "level": "0"},
        "dna": machine.miner_id,
        "pools": pools,
    }
    return {"all": _type(machine, now) | found}


def _whole_summary(machine: Machine, now: Snapshot) -> Row:
    asked = Asked(machine, now)
    return {
        "DEVS": [_device(asked, at) for at in range(machine.model.boards)],
        "POOLS": [pool(asked, at) for at in range(len(machine.pools))],
        "HARDWARE": {"Fan duty": DUTY_PERCENT if any(now.fan_rpm) else 0},
        "tuning": False,
        "hashrates": [],
        "TotalHash": {"Hash Rate": round(now.ghs_5s / 1000, 2), "Unit": "TH/s"},
    }


def _error(machine: Machine, _: Snapshot) -> Row:
    lost = machine.condition is Condition.BOARD_LOST
    return {"code": "33" if lost else "0", "errmsg": "a chain is lost" if lost else ""}


FACE = Face(rpc=_respond, web=Web(_page))

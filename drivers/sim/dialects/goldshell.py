"""Goldshell: a bfgminer of its own on port 4028, and pages that give their token to anybody twice.

The token is the same for ever and for every machine; `/mcb/status` wants none. With `pages_only`
in its `extra` a machine keeps port 4028 to itself; with `temp_target_min` its fans have a target.
What is written is in `goldshell_settings`.
"""

from __future__ import annotations

from http import HTTPStatus

from drivers.sim.answers import Asked, Command, Dialect, Reply, reply_to
from drivers.sim.dialects.classic import device, pools_of
from drivers.sim.dialects.goldshell_settings import MILLIVOLTS, pools_page, setting_page, write
from drivers.sim.dialects.rows import BFGMINER, WRITES, Answer, summary_row
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

SAME_FOR_ALL = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJleGFtcGxlIn0.c2ltdWxhdGVk"
_DENIED = Page(HTTPStatus.UNAUTHORIZED, b"Check Token Error", "text/plain")


def _version(asked: Asked) -> Answer:
    release = asked.machine.model.firmware
    return 22, ("BFGMiner",), ({"Miner": f"intminer {release}", "CGMiner": release, "API": "3.3"},)


def _summary(asked: Asked) -> Answer:
    row = summary_row(BFGMINER, asked)
    return 11, (), (row | {"MHS 20s": row.pop("MHS 5s")},)


def _devs(asked: Asked) -> Answer:
    boards = asked.machine.model.boards
    return 9, (f"{boards} PGA(s)",), tuple(_device(asked, at) for at in range(boards))


def _device(asked: Asked, at: int) -> Row:
    machine, now = asked.machine, asked.now
    row = device(BFGMINER, asked, at)
    del row["Temperature"]
    rate = row.pop("MHS 5s")
    sleeping = machine.condition is Condition.SLEEPING
    return row | {
        "Enabled": "Y",  # a machine that is told to sleep has another power plan, no more
        "Status": row["Status"] if not sleeping else "Alive",
        "MHS 20s": rate,
        "MHS rolling": rate,
        "voltage": 0.0 if sleeping else float(MILLIVOLTS),
        "current": round(now.power_w / MILLIVOLTS * 1e6, 3),
        "clock": 0.0 if sleeping else float(machine.frequency_mhz),
        **{f"fan{fan}": rpm for fan, rpm in enumerate(now.fan_rpm)},
        "tstemp-0": float(now.chip_c[at]),
        "tstemp-1": float(now.chip_c[at]),
        "tstemp-2": float(now.board_c[at]),
        "temp_tv": now.uptime_s,
        "overheat": 0,
        "rebootcnt": 0,
        "powerid": 160 if at == 0 else 0,
    }


def _details(asked: Asked) -> Answer:
    machine = asked.machine
    rows = tuple(
        {
            "DEVDETAILS": at,
            "Name": "INCS",
            "ID": at,
            "Driver": "intchains_qomo",
            "Kernel": "",
            "Model": "",
            "chips-nr": machine.model.chips,
        }
        for at in range(machine.model.boards)
    )
    return 69, (), rows


_COMMANDS: dict[str, Command] = {name: Command(None, joinable=False) for name in WRITES} | {
    "version": Command(_version, "VERSION"),
    "summary": Command(_summary, "SUMMARY", shows_rate=True, shows_uptime=True),
    "devs": Command(_devs, "DEVS", headed=False, shows_uptime=True),
    "devdetails": Command(_details, "DEVS", headed=False),  # under another name than its own
    "pools": Command(pools_of, "POOLS", headed=False),
}
_DIALECT = Dialect(_COMMANDS, rate_digits=7)


def _respond(machine: Machine, data: bytes, now: float) -> Reply:
    if machine.model.extra.get("pages_only"):
        return Reply(b"")
    return reply_to(_DIALECT, machine, data, now)


# --- the web side -----------------------------------------------------------------------------


def _page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if ask.path == "/":
        return html_page("<!DOCTYPE html><html><head><title>cloud-box</title></head></html>")
    if ask.path == "/user/login":
        return _login(machine, ask)
    if ask.path == "/mcb/status":
        return json_page(_status(machine))
    if not ask.path.startswith("/mcb/"):
        return NOT_FOUND
    if ask.headers.get("authorization") != f"Bearer {SAME_FOR_ALL}":
        return _DENIED
    return write(machine, ask, now) if ask.method == "PUT" else _shown(machine, ask, now)


def _shown(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    pages = {
        "/mcb/setting": setting_page,
        "/mcb/algosetting": _algorithms,
        "/mcb/pools": pools_page,
        "/mcb/cgminer": _boards,
    }
    found = pages.get(ask.path)
    return json_page(found(machine, now)) if found and ask.method == "GET" else NOT_FOUND


def _login(machine: Machine, ask: Ask) -> Page:
    given = (ask.query.get("username"), ask.query.get("password"))
    right = ask.query.get("cipher") == "false" and given == machine.credential
    return json_page({"JWT Token": SAME_FOR_ALL} if right else {"code": 1, "msg": "password error"})


def _status(machine: Machine) -> Row:
    return {
        "hardware": "30.50.SA",
        "model": machine.model.name.replace(" ", "-"),
        "mcbversion": "MCB_V3_3",
        "firmware": machine.model.file_system,
    }


def _algorithms(machine: Machine, _: Snapshot) -> Row:
    return {"algos": [{"name": "blake2b(SC)", "id": 0}], "algo_select": 0, "version": "v1.0"}


def _boards(machine: Machine, now: Snapshot) -> Row:
    boards = machine.model.boards
    fans = " / ".join(f"{rpm} rpm" for rpm in now.fan_rpm)
    data = [
        {
            "valid": 20,
            "av_hashrate": now.ghs_av * 1000 / boards,
            "rejected": now.rejected // boards,
            "time": now.uptime_s // 60,
            "id": at,
            "powerplan": 0,
            "hwerrors": now.hw_errors // boards,
            "fanspeed": fans,
            "accepted": now.accepted // boards,
            "CPB_name": "NULL",
            "hwerr_ration": 0.001,
            "hashrate": now.board_ghs[at] * 1000,
            "temp": f"{now.board_c[at]:.1f} °C",
            "minerstatus": 0,
        }
        for at in range(boards)
    ]
    return {"status": 2, "data": data}


FACE = Face(rpc=_respond, web=Web(_page, server="Microhttpd"))

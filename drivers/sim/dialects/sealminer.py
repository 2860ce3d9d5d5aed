"""SealMiner: bdminer on port 4028, and PHP pages behind a login with a session cookie.

After a recording of an A2: one row for the whole machine with numbered keys, rates in MH/s, and
a 5 s rate in `summary` that jumps, for it counts few shares.
"""

from __future__ import annotations

import secrets
from functools import partial
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie

import msgspec

from drivers.sim.answers import Asked, Command, Dialect
from drivers.sim.dialects.rows import WRITES, Answer, pool_row
from drivers.sim.dialects.sealminer_orders import FORMS, limit_w, respond, stored_pools
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot, noise
from drivers.sim.protocol import Row

SUPPLY_EFFICIENCY = 0.922
FOLDER = "/cgi-bin/"


def _brand(asked: Asked) -> str:
    return "BDMiner"


def _version(asked: Asked) -> Answer:
    return 22, (_brand(asked),), ({"API": "3.7", "BDMiner": "4.11.1"},)


def _summary(asked: Asked) -> Answer:
    now = asked.now
    jump = 1 + 0.7 * noise(asked.machine.traits.key ^ 5, int(now.now))
    row: Row = {
        "Accepted": now.accepted,
        "Elapsed": now.uptime_s,
        "Hardware Errors": now.hw_errors,
        "MHS 5s": round(now.ghs_5s * 1000 * jump, 2),
        "MHS av": round(now.ghs_av * 1000, 2),
        "Rejected": now.rejected,
        "Stale": now.stale,
        "Total MH": round(now.total_mh),
    }
    return 11, (), (row,)


def _pools(asked: Asked) -> Answer:
    rows = [pool_row(asked, index) for index in range(len(asked.machine.pools))]
    if not asked.machine.pool_alive:
        rows = [row | {"Status": "Dead", "Stratum Active": False} for row in rows]
    return 7, (len(rows),), tuple(rows)


def _stats(asked: Asked) -> Answer:
    machine, now, model = asked.machine, asked.now, asked.machine.model
    boards = range(model.boards)
    row: Row = {}
    for at in boards:
        row |= _board(machine, now, at)
    for at, rpm in enumerate(now.fan_rpm):
        row |= {f"{at} Speed": rpm, f"{at} PWM": min(255, rpm * 255 // model.fan_max_rpm)}
    row |= {
        "ASIC": "Seal02-V1",
        "Board Count": model.boards,
        "Chip Count": sum(map(machine.chips_at, boards)),
        "Ctrl Board SN": machine.serial,
        "Elapsed": now.uptime_s,
        "Error Chip": "",
        "Error Code": "602",
        "Fan Count": model.fans,
        "Firmware": model.firmware,
        "ID": "A20",
        "IP": machine.address,
        "MAC": machine.mac.lower(),
        "MHS(30s)": now.ghs_5s * 1000,
        "MHS(Avg)": now.ghs_av * 1000,
        "MHS(Ideal)": round(machine.full_ghs * 1000),
        "MHS(Rated)": model.nominal_ghs * 1000,
        "Mining Mode": "Normal",
        "Model": model.name.removeprefix("SealMiner "),
        "PM State": "Suspend" if machine.condition is Condition.SLEEPING else "Running",
        "PSU Error": "0x00000000",
        "PSU Input Power": round(now.power_w),
        "PSU Output Power": round(now.power_w * SUPPLY_EFFICIENCY),
        "Power Limit": limit_w(machine),
        "STATS": 0,
        "Stratum Disconnect": not machine.pool_alive,
        "System Uptime": now.uptime_s + 262,
    }
    return 70, (_brand(asked),), (row,)


def _board(machine: Machine, now: Snapshot, at: int) -> Row:
    chips, hot = machine.chips_at(at), now.chip_c[at]
    temps = (hot - 15, hot - 18, hot, hot - 1) if chips else (0, 0, 0, 0)
    return {
        f"{at} Bad Chip Count": 0,
        f"{at} Chip Count": chips,
        f"{at} Freq": machine.frequency_mhz,
        f"{at} MHS(Ideal)": round(machine.full_ghs * 1000 / machine.model.boards),
        f"{at} MHS(Sample)": now.board_ghs[at] * 1000,
        f"{at} Online": bool(chips),
        f"{at} SN": machine.board_serials[at],
        **{f"{at} Temp {sensor}": temp_c for sensor, temp_c in enumerate(temps)},
        f"{at} Tune Status": "Fine Tuning Done",
    }


DIALECT = Dialect(
    {
        **{name: Command(None) for name in WRITES},
        "version": Command(_version, "VERSION"),
        "summary": Command(_summary, "SUMMARY", shows_uptime=True),
        "stats": Command(_stats, "STATS", headed=False, shows_rate=True, shows_uptime=True),
        "pools": Command(_pools, "POOLS", headed=False),
    }
)


# --- the web side ------------------------------------------------------------------------------


def _system_info(machine: Machine, now: Snapshot) -> Row:
    return {
        "DHCP": "true",
        "brand": "Sealminer",
        "crtl_sn": machine.serial,  # so it is spelt
        "firmware_version": machine.model.firmware,
        "ipaddress": machine.address,
        "led": "on" if machine.settings.locating else "off",
        "macaddr": machine.mac.lower(),
        "miner_type": machine.model.name.removeprefix("SealMiner "),
        "miningMode": "2",
    }


def _psu_status(machine: Machine, now: Snapshot) -> Row:
    return {"Online": 1, "Power": round(now.power_w), "StatusCode": "0x0000", "Temp": 26}


def _miner_status(machine: Machine, now: Snapshot) -> Row:
    pools = [
        {
            "id": at,
            "url": pool.url,
            "user": pool.user,
            "status": "Alive" if machine.pool_alive else "Dead",
            "isActive": at == 0 and machine.pool_alive,
            "accept": now.accepted if at == 0 else 0,
            "rejected": now.rejected if at == 0 else 0,
            "stale": now.stale if at == 0 else 0,
        }
        for at, pool in enumerate(machine.pools)
    ]
    return {"summary": {"elapsed": now.uptime_s, "mhsav": now.ghs_av * 1000}, "pools": pools}


PAGES = {
    "get_miner_poolconf": stored_pools,
    "get_system_info": _system_info,
    "miner-psu-status": _psu_status,
    "miner-status": _miner_status,
}


def _session_of(ask: Ask) -> str:
    try:
        morsel = SimpleCookie(ask.headers.get("cookie", "")).get("PHPSESSID")
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _login(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    form = ask.form
    if (form.get("username"), form.get("origin_pwd")) != machine.credential:
        return json_page({"state": 1, "msg": "username or password error"})
    done = json_page({"state": 0, "msg": "success"})
    session = _session_of(ask)
    if not session:
        session = secrets.token_hex(13)
        cookie = ("Set-Cookie", f"PHPSESSID={session}; path=/")
        done = msgspec.structs.replace(done, headers=(cookie,))
    machine.sessions[session] = now.now
    return done


def page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """A page of the web side: without a session the browser is sent to the login."""
    if ask.path == "/":
        return Page(HTTPStatus.OK, b'<html><link href="css/amazeui.min.css"></html>')
    if not ask.path.startswith(FOLDER):
        return NOT_FOUND
    name = ask.path.removeprefix(FOLDER).removesuffix(".php")
    if name == "login" and ask.method == "POST":
        return _login(machine, ask, now)
    if name not in PAGES and name not in FORMS:
        return NOT_FOUND
    if _session_of(ask) not in machine.sessions:
        return Page(HTTPStatus.FORBIDDEN)
    form = FORMS.get(name)
    return form(machine, ask, now.now) if form else json_page(PAGES[name](machine, now))


FACE = Face(rpc=partial(respond, DIALECT), web=Web(page))

"""Hammer and VolcMiner: Bitmain's old form on port 4028 with MH/s, and CGI pages by digest.

After recordings of a Hammer D10 and public descriptions of a VolcMiner D1: `summary` repeats the
rejected shares as accepted ones, places without a board say 0, rates are words, and the status
page of the VolcMiner writes objects in quotation marks and groups digits. What is written is in
`hammer_orders`.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus

import msgspec

from drivers.sim.answers import Asked, Command, Dialect, reply_to
from drivers.sim.dialects import bitmain
from drivers.sim.dialects.hammer_orders import (
    configuration,
    configuration_v1,
    is_volcminer,
    write,
)
from drivers.sim.dialects.rows import WRITES, Answer, difficulty, per_minute, pool_row
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, json_page
from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

PLACES = 4


def _version(asked: Asked) -> Answer:
    model = asked.machine.model
    row = {"CGMiner": "2.3.3", "API": "3.1", "Miner": model.firmware}
    return 22, ("CGMiner",), ({**row, "CompileTime": model.compile_time, "Type": model.name},)


def _summary(asked: Asked) -> Answer:
    now = asked.now
    row: Row = {
        "Elapsed": now.uptime_s,
        "MHS 5s": f"{now.ghs_5s * 1000:.4f}",
        "MHS av": f"{now.ghs_av * 1000:.4f}",
        "Accepted": f" {now.rejected}.0000",
        "Rejected": f" {now.rejected}.0000",
        "Hardware Errors": now.hw_errors,
        "Utility": per_minute(now.accepted, now),
        "Stale": now.stale,
        "Difficulty Accepted": difficulty(asked, now.accepted),
    }
    return 11, (), (row,)


def _pools(asked: Asked) -> Answer:
    rows = [pool_row(asked, index) for index in range(len(asked.machine.pools))]
    for row in rows:
        row["Pool Stale%%"] = row.pop("Pool Stale%")  # misspelt on the device
        if not asked.machine.pool_alive:
            row |= {"Status": "Dead", "Stratum Active": False}
    return 7, (len(rows),), tuple(rows)


def _stats(asked: Asked) -> Answer:
    machine, now, model = asked.machine, asked.now, asked.machine.model
    head = {"CGMiner": "2.3.3", "Miner": model.firmware, "CompileTime": model.compile_time}
    row: Row = {
        "STATS": 0,
        "ID": "A30",
        "Elapsed": now.uptime_s,
        "Calls": 0,
        "MHS 5s": f"{now.ghs_5s * 1000:.4f}",
        "MHS av": f"{now.ghs_av * 1000:.4f}",
        "miner_count": model.boards,
        "frequency": str(machine.frequency_mhz),
        "fan_num": model.fans,
        **{f"fan{at}": rpm for at, rpm in enumerate(now.fan_rpm, 1)},
        "temp_num": 12,
        "temp_max": max(now.board_c) + 7,
        "Device Hardware%": 0.0,
        "no_matching_work": now.hw_errors,
    }
    for at in range(PLACES):
        row |= _chain(machine, now, at)
    return 70, ("CGMiner",), ({**head, "Type": model.name}, row)


def _chain(machine: Machine, now: Snapshot, at: int) -> Row:
    boards = machine.model.boards
    chips = machine.chips_at(at) if at < boards else 0
    return {
        f"temp{at + 1}": now.board_c[at] if chips else 0,
        f"chain_acn{at + 1}": chips,
        f"chain_acs{at + 1}": bitmain.chip_map(chips) if chips else "",
        f"chain_hw{at + 1}": now.hw_errors // boards if chips else 0,
        f"chain_rate{at + 1}": f"{now.board_ghs[at] * 1000:.4f}" if chips else "",
    }


DIALECT = Dialect(
    {
        **{name: Command(None, joinable=False) for name in WRITES},
        "version": Command(_version, "VERSION"),
        "summary": Command(_summary, "SUMMARY", shows_uptime=True),
        "pools": Command(_pools, "POOLS", headed=False),
        "stats": Command(_stats, "STATS", headed=False, shows_rate=True, shows_uptime=True),
    },
    rate_digits=7,
)


# --- the web side ------------------------------------------------------------------------------


def _system_info(machine: Machine, now: Snapshot) -> Row:
    return {
        "minertype": machine.model.name,
        "nettype": "DHCP",
        "macaddr": machine.mac,
        "hostname": machine.hostname,
        "ipaddress": machine.address,
        "uptime": str(now.uptime_s // 60),
        "system_filesystem_version": machine.model.file_system,
        "cgminer_version": "2.3.3",
    }


def _blink(machine: Machine, now: Snapshot) -> Row:
    return {"blink": machine.settings.locating}


def _grouped(value: float) -> str:
    return f"{value:,.2f}"


def _status(machine: Machine, now: Snapshot) -> bytes:
    """Objects and lists stand in quotation marks: this is no JSON."""
    pools = [
        {
            "index": str(at),
            "url": pool.url,
            "user": pool.user,
            "status": "Alive" if machine.pool_alive else "Dead",
            "priority": str(at),
            "accepted": f"{now.accepted if at == 0 else 0:,}",
            "rejected": f"{now.rejected if at == 0 else 0:,}",
            "stale": f"{now.stale if at == 0 else 0:,}",
        }
        for at, pool in enumerate(machine.pools)
    ]
    chains = [
        {
            "index": str(at + 1),
            "chain_acn": str(machine.chips_at(at)),
            "temp": str(now.board_c[at]),
            "hw": f"{now.hw_errors // machine.model.boards:,}",
            "chain_rate": _grouped(ghs * 1000),
            "freq": str(machine.frequency_mhz),
        }
        for at, ghs in enumerate(now.board_ghs)
    ]
    fan = {f"fan{at}": f"{rpm:,}" for at, rpm in enumerate(now.fan_rpm, 1)}
    minutes, seconds = divmod(now.uptime_s, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    age = f"{days}d {hours}h {minutes}m {seconds}s"
    total = f'"total": "{{"t_accepted":"{now.accepted:,}"}}","hw": "{{"h_hw":"{now.hw_errors:,}"}}"'
    words = (
        f'"elapsed":"{age}","ghs5s":"{_grouped(now.ghs_5s * 1000)}",'
        f'"ghsav":"{_grouped(now.ghs_av * 1000)}",'
        f'"pools": "{{{total},"pool_dtls": "{_encoded(pools)}"}}",'
        f'"chains": "{_encoded(chains)}","fan": "{_encoded(fan)}"'
    )
    return f'{{"code":0,"msg":"OK!","data":"{{{words}}}"}}'.encode()


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


PAGES = {
    "/cgi-bin/get_system_info.cgi": _system_info,
    "/cgi-bin/get_miner_conf.cgi": configuration,
    "/cgi-bin/get_blink_status.cgi": _blink,
}


def page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """A page, for a client that has shown its password."""
    if ask.path == "/":
        return Page(HTTPStatus.OK, bitmain.FRONT_PAGE)
    if ask.method == "POST":
        return write(machine, ask, now)
    loose = _LOOSE.get(ask.path) if is_volcminer(machine) else None
    if loose is not None:
        return Page(HTTPStatus.OK, loose(machine, now), "application/json")
    made = None if is_volcminer(machine) and "blink" in ask.path else PAGES.get(ask.path)
    return json_page(made(machine, now)) if made else NOT_FOUND


_LOOSE = {
    "/cgi-bin/get_miner_statusV1.cgi": _status,
    "/cgi-bin/get_miner_confV1.cgi": configuration_v1,
}
FACE = Face(rpc=partial(reply_to, DIALECT), web=Web(page, realm="blackMiner Configuration"))

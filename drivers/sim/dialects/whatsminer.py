"""A Whatsminer on port 4028, APIs 1 and 2: reports join, `get_*` and `status` do not.

The daemon takes JSON with `cmd` or `command`, and the text form of reports. Rates are in MH/s, the
rating in GH/s; the supply's figures are words in hundredths of a volt and thousandths of an ampere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from drivers.sim.answers import Reply
from drivers.sim.dialects import whatsminer_orders
from drivers.sim.dialects.whatsminer_orders import ENVELOPE, TOKEN, WRITES, said
from drivers.sim.face import Face
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row, split_joined

MAINS_V = 224.75
OK, UNKNOWN, NOT_JOINED, NO_JSON, DENIED = 131, 14, 45, 23, 45
BOARD_NOT_FOUND = 530
NO_POOL = 2010

Answer = Callable[[Machine, Snapshot], Row]


def codes_of(machine: Machine) -> list[int]:
    """The error codes of a machine as it is."""
    last = machine.model.boards - 1
    return {
        Condition.BOARD_LOST: [BOARD_NOT_FOUND + last],
        Condition.NO_POOL: [NO_POOL],
    }.get(machine.condition, [])


def ramping(machine: Machine, now: Snapshot) -> bool:
    """Whether the frequency still goes up."""
    settled_ghs = machine.full_ghs * _boards_left(machine) * machine.share
    return bool(now.ghs_5s) and now.ghs_5s < 0.97 * settled_ghs


def _boards_left(machine: Machine) -> float:
    boards = machine.model.boards
    return (boards - (machine.condition is Condition.BOARD_LOST)) / boards


def limit_of(machine: Machine) -> int:
    """The power limit in watts that it shows: the one that was set, or the factory's."""
    return int(machine.settings.limit_w or machine.model.extra.get("power_limit_w", 3600))


def lights_of(machine: Machine) -> str:
    """Who has the lights: the firmware, or somebody who set them."""
    return "manual" if machine.settings.locating else "auto"


def cooled_by_liquid(machine: Machine) -> bool:
    """Whether it has no fans, and says 0 for both."""
    return machine.model.fans == 0


def _old(machine: Machine) -> bool:
    """API 1: errors in the summary, no input of the supply, no `get_miner_info`."""
    return str(machine.model.extra.get("api", "2.0.5")).startswith("whatsminer")


def _summary(machine: Machine, now: Snapshot) -> Row:
    mhs = now.ghs_5s * 1000
    fans = now.fan_rpm or (0, 0)
    chips = [temp for temp in now.chip_c if temp] if now.ghs_5s else []
    row: Row = {
        "Elapsed": now.uptime_s,
        "MHS av": round(now.ghs_av * 1000, 2),
        "MHS 5s": round(mhs, 2),
        "MHS 1m": round(mhs, 2),
        "MHS 5m": round(now.ghs_30m * 1000, 2),
        "MHS 15m": round(now.ghs_30m * 1000, 2),
        "HS RT": round(now.ghs_30m * 1000, 2),
        "Accepted": now.accepted,
        "Rejected": now.rejected,
        "Total MH": now.total_mh,
        "Temperature": float(max(now.board_c)),
        "freq_avg": machine.frequency_mhz if mhs else 0,
        "Fan Speed In": fans[0],
        "Fan Speed Out": fans[1],
        "Power": round(now.power_w),
        "Power Rate": round(now.power_w / now.ghs_5s * 1000, 2) if mhs else 0.0,
        "Uptime": now.uptime_s + 97,
        "Hash Stable": not ramping(machine, now) and bool(mhs),
        "Target Freq": machine.frequency_mhz,
        "Env Temp": round(now.inlet_c, 2),
        "Power Mode": (machine.settings.mode or "normal").capitalize(),
        "Factory GHS": round(machine.full_ghs),
        "Power Limit": limit_of(machine),
        "Chip Temp Min": float(min(chips, default=0)),
        "Chip Temp Max": float(max(chips, default=0)),
        "Chip Temp Avg": float(sum(chips) / len(chips)) if chips else 0.0,
        "Btminer Fast Boot": "disable",
        "MAC": machine.mac.upper(),
        "Firmware Version": f"'{machine.model.firmware}'",
    }
    if _old(machine):
        codes = codes_of(machine)
        row |= {f"Error Code {at}": code for at, code in enumerate(codes)}
        row |= {"Error Code Count": len(codes), "Hardware Errors": now.hw_errors}
        row |= {"Liquid Cooling": cooled_by_liquid(machine), "Stale": now.stale}
        del row["Env Temp"], row["Btminer Fast Boot"], row["Power Rate"]
    return row


def _board(machine: Machine, now: Snapshot, at: int) -> Row:
    mhs, chips = now.board_ghs[at] * 1000, machine.chips_at(at)
    boards = machine.model.boards
    return {
        "ASC": at,
        "Slot": at,
        "Enabled": "Y",
        "Status": "Alive" if mhs else "Initialising",
        "Temperature": float(now.board_c[at]) if chips else 0.0,
        "Chip Frequency": machine.frequency_mhz if mhs else 0,
        "MHS av": round(now.ghs_av * 1000 / boards, 2),
        "MHS 5s": round(mhs, 2),
        "MHS 1m": round(mhs, 2),
        "Factory GHS": round(machine.full_ghs / boards),
        "Accepted": now.accepted // boards,
        "Rejected": now.rejected // boards,
        "Hardware Errors": now.hw_errors // boards,
        "Upfreq Complete": int(bool(mhs) and not ramping(machine, now)),
        "Effective Chips": chips,
        "PCB SN": machine.board_serials[at],
        "Chip Temp Min": float(now.chip_c[at]) if mhs else 0.0,
        "Chip Temp Max": float(now.chip_c[at]) if mhs else 0.0,
        "Chip Temp Avg": float(now.chip_c[at]) if mhs else 0.0,
    }


def _pool(machine: Machine, now: Snapshot, at: int) -> Row:
    alive, active = machine.pool_alive, at == 0 and machine.pool_alive
    return {
        "POOL": at + 1,
        "URL": machine.pools[at].url,
        "Status": "Alive" if alive else "Dead",
        "Priority": at,
        "Accepted": now.accepted if at == 0 else 0,
        "Rejected": now.rejected if at == 0 else 0,
        "Stale": now.stale if at == 0 else 0,
        "User": machine.pools[at].user,
        "Last Share Time": now.last_share_at if at == 0 else 0,
        "Stratum Active": active,
        "Stratum Difficulty": machine.traits.share_difficulty,
    }


def _report(code: int, message: str, section: str, rows: list[Row], now: Snapshot) -> Row:
    status = {"STATUS": "S", "When": int(now.now), "Code": code, "Msg": message}
    return {"STATUS": [status | {"Description": "btminer"}], section: rows, "id": 1}


def _boards_answer(machine: Machine, now: Snapshot) -> Row:
    """A lost board is still listed by API 2, and gone from what API 1 lists."""
    there = [at for at in range(machine.model.boards) if machine.chips_at(at) or not _old(machine)]
    rows = [_board(machine, now, at) for at in there]
    return _report(9, f"{len(rows)} ASC(s)", "DEVS", rows, now)


def _details(machine: Machine, now: Snapshot) -> Row:
    word = machine.model.extra.get("type", "")
    rows: list[Row] = [
        {
            "DEVDETAILS": at,
            "Name": "SM",
            "ID": at,
            "Driver": "bitmicro",
            "Kernel": "",
            "Model": word,
        }
        for at in range(machine.model.boards)
    ]
    return _report(69, "Device Details", "DEVDETAILS", rows, now)


def _pools(machine: Machine, now: Snapshot) -> Row:
    rows = [_pool(machine, now, at) for at in range(len(machine.pools))]
    return _report(7, f"{len(rows)} Pool(s)", "POOLS", rows, now)


REPORTS: dict[str, Answer] = {
    "summary": lambda machine, now: _report(
        11, "Summary", "SUMMARY", [_summary(machine, now)], now
    ),
    "devs": _boards_answer,
    "edevs": _boards_answer,
    "pools": _pools,
    "devdetails": _details,
}
"""What joins."""


def _version(machine: Machine) -> Row:
    row = {"api_ver": machine.model.extra.get("api", "2.0.5"), "fw_ver": machine.model.firmware}
    return row if _old(machine) else row | {"platform": "H6OS", "chip": "TEST01"}


def _miner_info(machine: Machine) -> Row:
    return {
        "ip": "",
        "proto": "dhcp",
        "hostname": machine.hostname,
        "mac": machine.mac.upper(),
        "ledstat": lights_of(machine),
        "minersn": machine.serial,
    }


def _status(machine: Machine) -> Row:
    off = "true" if machine.condition is Condition.SLEEPING else "false"
    if _old(machine):
        return {"btmineroff": off, "Firmware Version": f"'{machine.model.firmware}'"}
    reason = "by whatsminer API" if off == "true" else ""
    row = {"mineroff": off, "mineroff_reason": reason, "mineroff_time": ""}
    return row | {"FirmwareVersion": machine.model.firmware, "power_mode": "", "hash_percent": ""}


def _supply(machine: Machine, now: Snapshot) -> Row:
    row = {"name": "P221B", "hw_version": "R00001", "sw_version": "20200101", "model": "P221B"}
    if _old(machine):
        return row
    measured = {
        "iin": str(round(now.power_w / MAINS_V * 1000)),
        "vin": str(round(MAINS_V * 100)),
        "pin": str(round(now.power_w)),
        "fan_speed": "6500",
        "temp0": "35.0",
    }
    return row | measured


def _errors(machine: Machine) -> Row:
    return {"error_code": [{str(code): "2026-09-20 10:00:00"} for code in codes_of(machine)]}


SINGLE: dict[str, Answer] = {
    "get_version": lambda machine, _: _version(machine),
    "get_miner_info": lambda machine, _: _miner_info(machine),
    "get_psu": _supply,
    "get_error_code": lambda machine, _: _errors(machine),
    "status": lambda machine, _: _status(machine),
}
"""What does not join; API 1 knows neither the errors nor the machine's information."""
_NEW = frozenset({"get_miner_info", "get_error_code"})


def respond(machine: Machine, data: bytes, when: float) -> Reply:
    """Answer a request."""
    now, command = machine.at(when), command_of(data)
    if command is None:
        return Reply(said("E", NO_JSON, "invalid JSON message", now))
    if command in (TOKEN, ENVELOPE):
        return whatsminer_orders.respond(machine, data, now)
    names = split_joined(command)
    if any(name in REPORTS for name in names) or len(names) > 1:
        return _reports(machine, command, names, now)
    if command in SINGLE and not (command in _NEW and _old(machine)):
        return Reply(said("S", OK, SINGLE[command](machine, now), now), command)
    refusal = (DENIED, "can't access write cmd") if command in WRITES else (UNKNOWN, "invalid cmd")
    return Reply(said("E", *refusal, now), command)


def _reports(machine: Machine, command: str, names: list[str], now: Snapshot) -> Reply:
    """One report, or several as one answer."""
    if any(name not in REPORTS for name in names):
        return Reply(said("E", NOT_JOINED, "command join err", now), command)
    if "+" not in command:
        return _rated(msgspec.json.encode(REPORTS[command](machine, now)) + b"\0", command, now)
    body = {name: [REPORTS[name](machine, now)] for name in names} | {"id": 1}
    return _rated(msgspec.json.encode(body) + b"\0", command, now)


def _rated(body: bytes, command: str, now: Snapshot) -> Reply:
    shows = "summary" in command
    ghs = round(now.ghs_5s, 5) if shows else None
    return Reply(body, command, ghs=ghs, elapsed=now.uptime_s if shows else None)


def command_of(data: bytes) -> str | None:
    """What is asked for; None where it is neither JSON nor text."""
    if data[:1] != b"{":
        return data.split(b"\0", 1)[0].decode("utf-8", "replace").partition("|")[0]
    try:
        body = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return ENVELOPE if "enc" in body else str(body.get("cmd", body.get("command", "")))


FACE = Face(rpc=respond)

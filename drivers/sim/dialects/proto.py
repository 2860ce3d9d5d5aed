"""Proto Rig: REST under `/api/v1`; what it does wants a token, what it is does not.

Source: the maker's OpenAPI document (MDK API). Tokens are given for the password and end with
`auth/logout`; telemetry leaves out the levels that were not asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from drivers.sim.dialects.proto_orders import LIMITS_W, hashes_alone, target_w, write
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

BASE = "/api/v1"
SUPPLIES = 2
EFFICIENCY = 0.945
SESSION_S = 3600.0
FRONT_PAGE = "<html><head><title>Proto OS</title></head><body></body></html>"
_STATUS = {
    Condition.RUNNING: "Mining",
    Condition.SLEEPING: "Stopped",
    Condition.BOARD_LOST: "DegradedMining",
    Condition.NO_POOL: "NoPools",
}
_NO_TOKEN = json_page(
    {"error": {"code": "UNAUTHORIZED", "message": "token required"}},
    status=HTTPStatus.UNAUTHORIZED,
)


def system(machine: Machine, ask: Ask, now: Snapshot) -> Row:
    """`/system`."""
    info = {
        "board": "C3",
        "cb_sn": machine.serial,
        "manufacturer": "Proto",
        "model": "Rig",
        "product_name": machine.model.name,
        "uptime_seconds": now.uptime_s,
        "os": {"name": "ProtoOS", "version": machine.model.firmware, "variant": "release"},
    }
    return {"system-info": info}


def network(machine: Machine, ask: Ask, now: Snapshot) -> Row:
    """`/network`."""
    found = {"hostname": machine.hostname, "mac": machine.mac, "ip": machine.address, "dhcp": True}
    return {"network-info": found}


def hardware(machine: Machine, ask: Ask, now: Snapshot) -> Row:
    """`/hardware`: slots count from 1."""
    boards = [
        {"slot": at + 1, "port": at, "hb_sn": serial, "mining_asic": "MC1"}
        | {"mining_asic_count": machine.model.chips}
        for at, serial in enumerate(machine.board_serials)
    ]
    board = {"machine_name": "c3-p1", "board_id": "8", "serial_number": machine.serial}
    return {"hardware-info": {"cb-info": board, "hashboards-info": boards}}


def _status(machine: Machine, now: Snapshot) -> str:
    starting = machine.condition is Condition.RUNNING and not now.ghs_5s
    return "PoweringOn" if starting and machine.pools else _STATUS[machine.condition]


def mining(machine: Machine, ask: Ask, now: Snapshot) -> Row:
    """`/mining`: rates in GH/s."""
    alive = [at for at in range(machine.model.boards) if machine.chips_at(at) and now.ghs_5s]
    found = {
        "status": _status(machine, now),
        "reboot_uptime_s": now.uptime_s,
        "mining_uptime_s": now.uptime_s,
        "hashrate_ghs": round(now.ghs_5s, 2),
        "average_hashrate_ghs": round(now.ghs_av, 2),
        "ideal_hashrate_ghs": round(machine.full_ghs, 2),
        "power_usage_watts": round(now.power_w * EFFICIENCY, 2),
        "power_target_watts": target_w(machine),
        "power_efficiency_jth": round(now.power_w / now.ghs_5s * 1000, 3) if now.ghs_5s else 0,
        "hw_errors": now.hw_errors,
        "hashboards_installed": machine.model.boards,
        "hashboards_mining": len(alive),
    }
    return {"mining-status": found}


def target(machine: Machine, ask: Ask, now: Snapshot) -> Row:
    """`/mining/target`."""
    return {
        "power_target_watts": target_w(machine),
        "power_target_min_watts": LIMITS_W[0],
        "power_target_max_watts": LIMITS_W[1],
        "performance_mode": machine.settings.mode or "MaximumHashrate",
        "hash_on_disconnect": hashes_alone(machine),
    }


def telemetry(machine: Machine, ask: Ask, now: Snapshot) -> Row:
    """`/telemetry`: the levels that were asked for, each figure with its unit."""
    levels = ask.query.get("level", "miner").split(",")
    found: Row = {"timestamp": "2026-01-01T00:00:00Z"}
    if "miner" in levels:
        found["miner"] = {
            "hashrate": _metric(now.ghs_5s / 1000, "TH/s"),
            "power": _metric(now.power_w * EFFICIENCY, "W"),
        }
    if "hashboard" in levels:
        found["hashboards"] = [
            _board(machine, now, at) for at in range(machine.model.boards) if machine.chips_at(at)
        ]
    if "psu" in levels:
        found["psus"] = [_supply(now, at) for at in range(SUPPLIES)]
    return found


def _metric(value: float, unit: str) -> Row:
    return {"value": round(value, 6), "unit": unit}


def _board(machine: Machine, now: Snapshot, at: int) -> Row:
    board_c = float(now.board_c[at])
    temps = {"unit": "°C", "inlet": board_c - 15, "outlet": board_c, "average": board_c - 7.5}
    return {
        "index": at,
        "serial_number": machine.board_serials[at],
        "hashrate": _metric(now.board_ghs[at] / 1000, "TH/s"),
        "temperature": temps,
        "voltage": _metric(14.25, "V"),
    }


def _supply(now: Snapshot, at: int) -> Row:
    watts = now.power_w / SUPPLIES
    power = {"unit": "W", "input": round(watts, 3), "output": round(watts * EFFICIENCY, 3)}
    return {"index": at, "serial_number": f"PSU-{at}", "power": power}


def pools(machine: Machine, ask: Ask, now: Snapshot) -> Row:
    """`/pools`."""
    return {"pools": [_pool(machine, now, at) for at in range(len(machine.pools))]}


def _pool(machine: Machine, now: Snapshot, at: int) -> Row:
    pool, used = machine.pools[at], at == 0
    status = "Dead" if not machine.pool_alive else "Active" if used else "Idle"
    return {
        "id": at,
        "priority": at,
        "url": pool.url,
        "user": pool.user,
        "status": status,
        "accepted": now.accepted * used,
        "rejected": now.rejected * used,
    }


def cooling(machine: Machine, ask: Ask, now: Snapshot) -> Row:
    """`/cooling`."""
    fans = [{"slot": at, "rpm": rpm, "percentage": 60} for at, rpm in enumerate(now.fan_rpm, 1)]
    return {"cooling-status": {"fan_mode": "Auto", "speed_percentage": 60, "fans": fans}}


def errors(machine: Machine, ask: Ask, now: Snapshot) -> list[Row]:
    """`/errors`."""
    lost = [at for at in range(machine.model.boards) if not machine.chips_at(at)]
    return [
        {
            "error_code": "HashboardOffline",
            "message": "Hashboard does not answer",
            "source": "hashboard",
            "slot": at + 1,
            "timestamp": int(machine.stopped_at),
        }
        for at in lost
    ]


_Made = Callable[[Machine, Ask, Snapshot], Any]
_OPEN: dict[str, _Made] = {f"{BASE}/{made.__name__}": made for made in (system, network, hardware)}
_CLOSED: dict[str, _Made] = {
    f"{BASE}/mining/target": target,
    **{f"{BASE}/{made.__name__}": made for made in (mining, telemetry, pools, cooling, errors)},
}


def page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """A page of the rig."""
    if ask.path == "/":
        return html_page(FRONT_PAGE)
    if ask.method == "POST" and ask.path.startswith(f"{BASE}/auth/"):
        return _post(machine, ask, now)
    if ask.method != "GET":
        return (
            write(machine, ask, now, ask.path.removeprefix(BASE))
            if _let_in(machine, ask, now)
            else _NO_TOKEN
        )
    made = _OPEN.get(ask.path)
    if made is None and ask.path in _CLOSED:
        if not _let_in(machine, ask, now):
            return _NO_TOKEN
        made = _CLOSED[ask.path]
    return json_page(made(machine, ask, now)) if made else NOT_FOUND


def _post(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if ask.path == f"{BASE}/auth/logout" and _let_in(machine, ask, now):
        machine.sessions.pop(_token(ask), None)
        return json_page({"message": "logged out"})
    if ask.path != f"{BASE}/auth/login":
        return _NO_TOKEN
    body = ask.json()
    if not isinstance(body, dict) or body.get("password") != machine.credential[1]:
        return _NO_TOKEN
    token = f"{machine.miner_id}.{len(machine.sessions)}"
    machine.sessions[token] = now.now
    return json_page({"access_token": token, "refresh_token": f"r.{token}"})


def _token(ask: Ask) -> str:
    word = ask.headers.get("authorization", "")
    return word.removeprefix("Bearer ") if word.startswith("Bearer ") else ""


def _let_in(machine: Machine, ask: Ask, now: Snapshot) -> bool:
    given_at = machine.sessions.get(_token(ask))
    return given_at is not None and 0 <= now.now - given_at <= SESSION_S


FACE = Face(web=Web(page, server="miner-api-server"), polled="web")

"""VNish (AnthillOS): `/api/v1` with a token for what is locked, and a smaller port 4028."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from drivers.sim.answers import reply_to
from drivers.sim.dialects.vnish_orders import OPEN_ORDERS, obey
from drivers.sim.dialects.vnish_rpc import DIALECT, MILLIVOLTS, chain_state, fan_duty, watts
from drivers.sim.dialects.vnish_settings import (
    cooling,
    miner_status,
    perf_summary,
    presets,
    settings,
    status,
)
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

__all__ = ["FACE", "page", "presets"]

SESSION_S = 900.0
"""How long an unused token lasts."""
FRONT_PAGE = '<html><head><meta name="firmware" content="AnthillOS"></head></html>'


def _bare_name(machine: Machine) -> str:
    return machine.model.name.partition(" (")[0]


def _summary(machine: Machine, now: Snapshot) -> Row:
    rate = round(now.ghs_5s, 2)
    drawn_w = watts(machine, now)
    miner: Row = {
        "miner_status": miner_status(machine, now),
        "miner_type": machine.model.name,
        "hr_stock": machine.model.nominal_ghs,
        "average_hashrate": now.ghs_av / 1000,
        "instant_hashrate": rate / 1000,
        "hr_realtime": rate,
        "hr_nominal": round(machine.full_ghs, 2),
        "hr_average": round(now.ghs_av, 2),
        "pcb_temp": {"min": min(now.board_c), "max": max(now.board_c)},
        "chip_temp": {"min": min(now.chip_c), "max": max(now.chip_c)},
        "power_consumption": drawn_w,
        "power_usage": round(1000 * drawn_w / now.ghs_5s) if now.ghs_5s else 0,
        "power_efficiency": round(1000 * drawn_w / now.ghs_5s, 6) if now.ghs_5s else 0.0,
        "hw_errors": now.hw_errors,
        "devfee_percent": 2.8,
        "pools": _pools(machine, now),
        "cooling": {
            "fan_num": machine.model.fans,
            "fans": [
                {"id": at, "rpm": rpm, "status": "ok", "max_rpm": machine.model.fan_max_rpm}
                for at, rpm in enumerate(now.fan_rpm)
            ],
            "settings": {"mode": cooling(machine)["mode"]},
            "fan_duty": fan_duty(machine, now),
        },
        "chains": [_chain(machine, now, index) for index in range(machine.model.boards)],
        "found_blocks": 0,
        "psu": {"psu_power_metering": bool(machine.model.extra.get("watts", True))},
    }
    return {"miner": miner}


def _chain(machine: Machine, now: Snapshot, index: int) -> Row:
    chips, board_c, chip_c = machine.chips_at(index), now.board_c[index], now.chip_c[index]
    stopped = machine.condition is Condition.SLEEPING
    status: Row = {"state": chain_state(machine, now, index)}
    return {
        "id": index + 1,
        "frequency": float(machine.frequency_mhz) if chips else 0.0,
        "voltage": MILLIVOLTS if chips else 0,
        "power_consumption": watts(machine, now) // machine.model.boards,
        "hashrate_ideal": round(machine.full_ghs / machine.model.boards, 3),
        "hashrate_rt": round(now.board_ghs[index], 3),
        "hw_errors": now.hw_errors // machine.model.boards,
        "pcb_temp": {"min": board_c, "max": board_c},
        "chip_temp": {"min": chip_c, "max": chip_c},
        "chip_statuses": {"red": 0, "orange": 0, "grey": 0 if stopped else chips},
        "status": status if chips else {"state": "failure", "description": "No chips detected"},
    }


def _pools(machine: Machine, now: Snapshot) -> list[Row]:
    found: list[Row] = []
    for index, pool in enumerate(machine.pools):
        used = index == 0
        words = ("active" if used else "working") if machine.pool_alive else "offline"
        found.append(
            {
                "id": index,
                "url": pool.url.rpartition("://")[2],
                "pool_type": "UserPool",
                "user": pool.user,
                "status": words,
                "accepted": now.accepted * used,
                "rejected": now.rejected * used,
                "stale": now.stale * used,
                "ping": 8,
            }
        )
    fee: Row = {"id": len(found), "url": "DevFee", "pool_type": "DevFee", "user": "DevFee"}
    return [*found, fee | {"status": "active", "accepted": now.accepted // 36, "rejected": 1}]


def _info(machine: Machine, now: Snapshot) -> Row:
    model = machine.model
    return {
        "miner": _bare_name(machine),
        "model": _bare_name(machine).lower().replace(" ", ""),
        "fw_name": "Vnish",
        "fw_version": model.firmware,
        "platform": "aml",
        "install_type": "nand",
        "build_time": model.compile_time,
        "algorithm": model.extra.get("algorithm", "sha256d"),
        "hr_measure": model.extra.get("hr_measure", "GH/s"),
        "system": {
            "os": "GNU/Linux",
            "network_status": {
                "mac": machine.mac,
                "dhcp": True,
                "ip": machine.address,
                "hostname": machine.hostname,
            },
            "uptime": f"{now.uptime_s // 3600}:{now.uptime_s // 60 % 60:02d}",
        },
        "serial": "N/A",
    }


def _factory_info(machine: Machine, now: Snapshot) -> Row:
    chains = [{"id": at, "serial": word} for at, word in enumerate(machine.board_serials, 1)]
    return {"chains": chains, "psu_serial": f"PSU{machine.serial}", "hr_stock": 1.0}


_OPEN: dict[str, Callable[[Machine, Snapshot], Any]] = {
    "/api/v1/summary": _summary,
    "/api/v1/info": _info,
    "/api/v1/status": status,
    "/api/v1/perf-summary": perf_summary,
    "/api/v1/chains/factory-info": _factory_info,
}
_LOCKED: dict[str, Callable[[Machine, Snapshot], Any]] = {
    "/api/v1/settings": settings,
    "/api/v1/autotune/presets": lambda machine, now: presets(machine),
    "/api/v1/auth-check": lambda machine, now: {"unlock_timeout": int(SESSION_S)},
}
_DENIED = json_page({"err": "Unauthorized"}, status=HTTPStatus.UNAUTHORIZED)


def page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """A page of the web API; tokens are needed for what is locked."""
    if ask.path == "/":
        return html_page(FRONT_PAGE)
    if ask.method == "POST":
        return _post(machine, ask, now)
    made = _OPEN.get(ask.path) or _LOCKED.get(ask.path)
    if made is None:
        return NOT_FOUND
    closed = ask.path in _LOCKED or bool(machine.model.extra.get("closed"))
    if closed and not _let_in(machine, ask, now):
        return _DENIED
    return json_page(made(machine, now))


def _post(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    if ask.path == "/api/v1/unlock":
        return _unlock(machine, ask, now)
    if ask.path not in OPEN_ORDERS and not _let_in(machine, ask, now):
        return _DENIED
    if ask.path == "/api/v1/lock":
        machine.sessions.pop(_token(machine, ask), None)
        return json_page({})
    return obey(machine, ask, now)


def _unlock(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    body = ask.json()
    if not isinstance(body, dict) or body.get("pw") != machine.credential[1]:
        return json_page({"unlock_timeout": 0}, status=HTTPStatus.FORBIDDEN)
    token = f"{machine.miner_id}{len(machine.sessions)}"
    machine.sessions[token] = now.now
    return json_page({"token": token})


def _token(machine: Machine, ask: Ask) -> str:
    """The token in the form that this build takes: with or without `Bearer`.

    pyasic sends it bare, save to `system/`, where it must have found that the other is wanted.
    """
    word = ask.headers.get("authorization", "")
    if machine.model.extra.get("bare", False) and not ask.path.startswith("/api/v1/system/"):
        return word
    return word.removeprefix("Bearer ") if word.startswith("Bearer ") else ""


def _let_in(machine: Machine, ask: Ask, now: Snapshot) -> bool:
    token = _token(machine, ask)
    used = machine.sessions.get(token)
    if used is None or now.now - used > SESSION_S:
        machine.sessions.pop(token, None)
        return False
    machine.sessions[token] = now.now
    return True


FACE = Face(rpc=partial(reply_to, DIALECT), web=Web(page, server="nginx"), polled="web")

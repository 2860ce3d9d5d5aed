"""MARA's firmware: pages under `/kaonsu/v1/` behind a digest, Bitmain's rows on port 4028.

No vendor document is public: keys and units are those on which public clients agree (unverified).
Traps kept: the machine's rate is TH/s without a word of it, the ideal one and the boards' are
GH/s; `pools` is a bare list; `details` has a row for every chip.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.sim.answers import Reply, reply_to
from drivers.sim.dialects.mara_orders import (
    PREFIX,
    TARGET_W,
    config,
    history,
    obey,
    running_mode,
)
from drivers.sim.dialects.stock import DIALECTS
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

__all__ = ["FACE", "TARGET_W", "VOLTS"]

REALM = "MaraFW"
VOLTS = 13.2
_STATUS = {
    Condition.RUNNING: "Mining",
    Condition.SLEEPING: "Sleep",
    Condition.BOARD_LOST: "Mining",
    Condition.NO_POOL: "Mining",
}


def _asleep(machine: Machine) -> bool:
    return machine.condition is Condition.SLEEPING


def _brief(machine: Machine, now: Snapshot) -> Row:
    status = _STATUS[machine.condition]
    return {
        "hashrate_realtime": round(now.ghs_5s / 1000, 4),
        "hashrate_average": round(now.ghs_av / 1000, 4),
        "hashrate_ideal": round(machine.full_ghs, 2),
        "power_consumption_estimated": round(now.power_w, 1),
        "power_source": "EST" if _asleep(machine) else "PSU",
        "power_indicator": 0,
        "temperature_max": max(now.board_c) - 10,
        "elapsed": now.uptime_s,
        "status": status,
        "status_long": status,
        "work_mode": running_mode(machine),
    }


def _overview(machine: Machine, now: Snapshot) -> Row:
    return {
        "mac": machine.mac,
        "model": machine.model.name,
        "model_extended": f"{machine.model.name} ({round(machine.model.nominal_ghs / 1000)}T)",
        "version_firmware": machine.model.firmware,
        "control_board": "CVCtrl",
    }


def _hashboards(machine: Machine, now: Snapshot) -> Row:
    found = [_board(machine, now, at) for at in range(machine.model.boards)]
    return {"hashboard_num_ideal": machine.model.boards, "hashboards": found}


def _board(machine: Machine, now: Snapshot, at: int) -> Row:
    chips, cold = machine.chips_at(at), _asleep(machine)
    lost: Row = {"status": "Failure", "description": "hashboard does not answer"}
    row: Row = {
        "index": at,
        "serial_number": machine.board_serials[at],
        "asic_num": chips,
        "asic_num_ideal": machine.model.chips,
        "hashrate_average": round(now.board_ghs[at], 2),
        "temperature_pcb": [now.board_c[at] - 3, now.board_c[at]] if chips else [],
        "temperature_chip": [now.chip_c[at] - 2, now.chip_c[at]] if chips and not cold else [],
        "temperature_raw": [0, 0],
        "status": "Sleep" if cold else "Mining",
    }
    return row if chips else row | lost


def _fans(machine: Machine, now: Snapshot) -> Row:
    return {"fans": [{"current_speed": rpm} for rpm in now.fan_rpm]}


def _pools(machine: Machine, now: Snapshot) -> list[Row]:
    return [
        {
            "index": at,
            "url": pool.url,
            "user": pool.user,
            "status": "Alive" if machine.pool_alive else "Dead",
            "priority": at,
            "accepted": now.accepted if at == 0 else 0,
            "rejected": now.rejected if at == 0 else 0,
            "stale": now.stale if at == 0 else 0,
        }
        for at, pool in enumerate(machine.pools)
    ]


def _details(machine: Machine, now: Snapshot) -> Row:
    found = [
        {
            "index": at,
            "voltage": VOLTS,
            "frequency_avg": float(machine.frequency_mhz),
            "hashrate_avg": now.board_ghs[at],
            "hashrate_ideal": round(machine.full_ghs / machine.model.boards, 2),
            "asic_num": machine.chips_at(at),
            "asic_infos": [
                {"index": chip, "hashrate_avg": 600.0, "voltage": 0.3, "frequency": 500}
                for chip in range(machine.chips_at(at))
            ],
        }
        for at in range(machine.model.boards)
    ]
    return {"hashboard_infos": found}


def _events(machine: Machine, now: Snapshot) -> Row:
    return {"event_flags": [{"level": "info", "message": "Started", "timestamp": 1_780_000_000}]}


_PAGES: dict[str, Callable[[Machine, Snapshot], Any]] = {
    "brief": _brief,
    "overview": _overview,
    "hashboards": _hashboards,
    "fans": _fans,
    "pools": _pools,
    "details": _details,
    "miner_config": config,
    "event_chart": _events,
    "network_config": lambda machine, now: {"hostname": machine.hostname, "protocol": "dhcp"},
    "locate_miner": lambda machine, now: {"blinking": machine.settings.locating},
}


def _page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    name = ask.path.removeprefix(PREFIX)
    if ask.method == "POST":
        return obey(machine, name, ask.json(), now)
    if name == "log" and ask.query.get("type") == "miner_config_history":
        return json_page(history(machine))
    made = _PAGES.get(name) if ask.path.startswith(PREFIX) else None
    return json_page(made(machine, now)) if made and ask.method == "GET" else NOT_FOUND


def _respond(machine: Machine, data: bytes, now: float) -> Reply:
    return reply_to(DIALECTS["stock"], machine, data, now)


FACE = Face(rpc=_respond, web=Web(_page, realm=REALM), polled="web")

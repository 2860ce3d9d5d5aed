"""ePIC's UMC firmware: HTTP on port 4028, no RPC. Source: ePIC's API document v3, a recording."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from drivers.sim.dialects.epic_orders import (
    ALGORITHM,
    MAX_THS,
    MIN_THS,
    fans,
    obey,
    target_ths,
    works,
)
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

FAN_PLACES = 12
"""A summary has keys for this many fans; places without one are null."""
CHIP_NOISE = 1.0
VOLTS_IN, VOLTS_OUT = 230.0, 13.1
EFFICIENCY = 0.94
FRONT_PAGE = "<html><head><title>Miner Web Dashboard</title></head><body></body></html>"


def summary(machine: Machine, now: Snapshot) -> Row:
    """`/summary`: rates in MH/s; a board that does not hash has no row in `HBs`."""
    working = works(machine)
    boards = [at for at in range(machine.model.boards) if working and machine.chips_at(at)]
    stopped = machine.condition is Condition.SLEEPING
    return {
        "Status": {
            "Operating State": "Mining" if working else "Idling",
            "Last Command": "Stop" if stopped else "Autostart",
            "Last Command Result": "Success",
            "Last Error": None,
        },
        "Hostname": machine.hostname,
        "PresetInfo": {"Target Power": int(machine.model.extra.get("target_w", 3000))},
        "Software": machine.model.firmware,
        "OS Type": "umcOS",
        "Mining": {"Coin": "BTC", "Algorithm": "SHA-256"},
        "Disable Board On Failure": True,
        "Stratum": _stratum(machine),
        "Session": _session(machine, now, len(boards)),
        "HBs": [_board(machine, now, at) for at in boards],
        "HBStatus": [
            {"Detected": True, "Enabled": bool(machine.chips_at(at)), "Index": at}
            for at in range(machine.model.boards)
        ],
        "Fans": fans(machine),
        "Fans Rpm": {
            f"Fans Speed {at}": now.fan_rpm[at - 1] if at <= len(now.fan_rpm) else None
            for at in range(1, FAN_PLACES + 1)
        },
        "Power Supply Stats": _supply(now),
        "PerpetualTune": {
            "Running": working,
            "Algorithm": {
                ALGORITHM: {
                    "Optimized": True,
                    "Target": target_ths(machine),
                    "Min Throttle Target": 50,
                    "Throttle Step": 5,
                    "Throttle Target": None,
                    "Unit": "TH/s",
                }
            },
        },
        "Misc": {
            "Locate Miner State": machine.settings.locating,
            "Shutdown Temp": 85.0,
            "Critical Temp": 100.0,
        },
        "StratumConfigs": [
            {"pool": pool.url, "login": pool.user, "password": pool.password}
            for pool in machine.pools
        ],
    }


def _stratum(machine: Machine) -> Row:
    marks = bool(machine.model.extra.get("marks_workers", False))
    row: Row = {"Average Latency": 0.03, "IsPoolConnected": False, "Worker Unique Id": marks}
    if not machine.pools:
        return row
    pool = machine.pools[0]
    return row | {
        "Config Id": 0,
        # Without the scheme that the configuration has.
        "Current Pool": pool.url.removeprefix("stratum+tcp://"),
        "Current User": pool.user + (f"-{machine.index}x7" if marks else ""),
        "IsPoolConnected": works(machine),
    }


def _session(machine: Machine, now: Snapshot, boards: int) -> Row:
    return {
        "Accepted": now.accepted,
        "Rejected": now.rejected,
        "Submitted": now.accepted + now.rejected,
        "Active HBs": boards,
        "Average MHs": round(now.ghs_av * 1000, 1),
        "Difficulty": machine.traits.share_difficulty,
        "Last Accepted Share Timestamp": now.last_share_at,
        "Startup Timestamp": int(now.now) - now.uptime_s,
        "Uptime": now.uptime_s,
        "WorkReceived": now.works,
    }


def _board(machine: Machine, now: Snapshot, at: int) -> Row:
    ideal_ghs = machine.full_ghs / machine.model.boards
    return {
        "Index": at,
        "Core Clock": [],
        "Core Clock Avg": float(machine.frequency_mhz),
        "Hashrate": [
            round(now.board_ghs[at] * 1000, 1),
            round(100 * now.board_ghs[at] / ideal_ghs, 1),
            CHIP_NOISE,
        ],
        "Input Voltage": VOLTS_OUT,
        "Input Current": 0.0,
        "Input Power": 0.0,
        "Output Voltage": 0.0,
        "Output Current": 0.0,
        "Output Power": 0.0,
        "Temperature": float(now.board_c[at]),
    }


def _supply(now: Snapshot) -> Row:
    return {
        "Input Power": round(now.power_w, 2),
        "Input Voltage": VOLTS_IN,
        "Input Current": round(now.power_w / VOLTS_IN, 3),
        "Output Power": round(now.power_w * EFFICIENCY, 2),
        "Output Voltage": VOLTS_OUT,
        "Output Current": round(now.power_w * EFFICIENCY / VOLTS_OUT, 2),
        "Target Voltage": int(VOLTS_OUT * 1000),
    }


def capabilities(machine: Machine, now: Snapshot) -> Row:
    """`/capabilities`: serials only of boards that work, without their numbers."""
    model = machine.model
    return {
        # ePIC's own spelling of the maker's name.
        "Model": model.name.partition(" (")[0].replace("Antminer", "AntMiner"),
        "Max HBs": model.boards,
        "Default Hashrate": round(model.nominal_ghs / 1000),
        "Board Serial Numbers": [
            serial for at, serial in enumerate(machine.board_serials) if machine.chips_at(at)
        ],
        "Control Board Version": {"cpuHardware": "STM32", "cpuSerial": machine.miner_id},
        "Performance Estimator": {"Chip Count": model.chips, "Hashes Per Second Per Chip": 894.0},
        "PerpetualTune": [{"algorithm": ALGORITHM, "min": MIN_THS, "max": MAX_THS}],
        "Temp Sensor Info": {"Count": 2, "Type": "Board"},
    }


def network(machine: Machine, now: Snapshot) -> Row:
    """`/network`."""
    return {"dhcp": {"address": machine.address, "mac_address": machine.mac}}


def hashrate(machine: Machine, now: Snapshot) -> list[Row]:
    """`/hashrate`: every chip of the boards that hash."""
    found = []
    for at, ghs in enumerate(now.board_ghs):
        chips = machine.chips_at(at) if works(machine) else 0
        if chips:
            share = [round(ghs * 1000 / chips, 2), 100.0, CHIP_NOISE]
            found.append({"Index": at, "Data": [share] * chips, "Total": [ghs * 1000, 100.0, 1.0]})
    return found


def temps(machine: Machine, now: Snapshot) -> list[Row]:
    """`/temps`: two sensors a board."""
    rows = enumerate(now.board_c)
    return [{"Index": at, "Data": [float(c - 12), float(c)], "Total": 0.0} for at, c in rows]


_PAGES: dict[str, Callable[[Machine, Snapshot], Any]] = {
    f"/{made.__name__}": made for made in (summary, capabilities, network, hashrate, temps)
}


def page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """A page on port 4028."""
    if ask.method == "POST":
        return obey(machine, ask.path, ask.json(), now)
    if ask.method != "GET":
        return Page(HTTPStatus.METHOD_NOT_ALLOWED)
    made = _PAGES.get(ask.path)
    return json_page(made(machine, now)) if made else NOT_FOUND


def front(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """The page on port 80."""
    return html_page(FRONT_PAGE) if ask.path == "/" else NOT_FOUND


FACE = Face(http_on_rpc=Web(page, server="umc"), web=Web(front, server="nginx"))

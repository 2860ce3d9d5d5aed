"""What LuxOS shows, command by command.

Sources: Luxor's API documentation, and a recorded S19k Pro of 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from drivers.sim.answers import Asked
from drivers.sim.dialects.luxos_boards import boards_of, head, stats, temps, type_of
from drivers.sim.dialects.luxos_settings import (
    atm,
    is_managed,
    limits,
    power_target,
    profile_of,
    tempctrl,
)
from drivers.sim.dialects.rows import pool_row
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import RAMP_S, WARMUP_S, Snapshot
from drivers.sim.protocol import Row

VOLTS = 13.4
STEPS = range(-4, 4)
"""Profiles around the default one."""

Sections = tuple[int, str, dict[str, list[Row]]]


def _hashes(machine: Machine) -> bool:
    return machine.condition in (Condition.RUNNING, Condition.BOARD_LOST)


def _asleep(machine: Machine) -> bool:
    return machine.condition is Condition.SLEEPING


def _ramps(machine: Machine, now: Snapshot) -> bool:
    """True from a start or a wake-up until the full clock."""
    since_s = min(float(now.uptime_s), now.now - machine.woke_at)
    return not _asleep(machine) and since_s < (WARMUP_S + RAMP_S) * machine.pace


def _version(machine: Machine, now: Snapshot) -> Sections:
    row = head(machine) | {"API": "3.7", "LUXminer": machine.model.firmware}
    return 22, "LUXminer versions", {"VERSION": [row]}


def _summary(machine: Machine, now: Snapshot) -> Sections:
    row: Row = {
        "Accepted": now.accepted,
        "Elapsed": now.uptime_s,
        "GHS 15m": round(now.ghs_30m, 2),
        "GHS 30m": round(now.ghs_30m, 2),
        "GHS 5s": round(now.ghs_5s, 2),
        "GHS av": round(now.ghs_av, 2),
        "Hardware Errors": now.hw_errors,
        "Rejected": now.rejected,
        "Stale": now.stale,
        "Total MH": now.total_mh,
    }
    return 11, "Summary", {"SUMMARY": [row]}


def _devs(machine: Machine, now: Snapshot) -> Sections:
    found = boards_of(machine)
    # The order of a recorded machine: not that of the boards.
    rows = [_dev(machine, now, at) for at in [*found[-1:], *found[:-1]]]
    return 9, f"{len(rows)} ASC(s)", {"DEVS": rows}


def _dev(machine: Machine, now: Snapshot, at: int) -> Row:
    boards = machine.model.boards
    return {
        "ASC": at,
        "Accepted": now.accepted // boards,
        "Board": "BHB00000",
        "Device Elapsed": now.uptime_s,
        "Enabled": "Y",
        "Hardware Errors": now.hw_errors // boards,
        "ID": at,
        "IsRamping": _ramps(machine, now),
        "IsUserShutdown": False,
        "MHS 5s": now.board_ghs[at] * 1000 if _hashes(machine) else 0.0,
        "MHS av": now.ghs_av * 1000 / boards,
        "Name": "",
        "Nominal MHS": round(machine.full_ghs * 1000 / boards, 1),
        "Profile": profile_of(machine),
        "SerialNumber": machine.board_serials[at],
        "Status": "Dead" if _asleep(machine) else "Alive",
        "Temperature": float(now.board_c[at]),
    }


def _fans(machine: Machine, now: Snapshot) -> Sections:
    rows: list[Row] = [
        {"FAN": f"FAN{at + 1}", "ID": at, "RPM": rpm, "Speed": duty_of(machine)}
        for at, rpm in enumerate(now.fan_rpm)
    ]
    control: list[Row] = [{"MinFans": 3, "PowerOffSpeed": 20}]
    return 202, f"{len(rows)} Fan(s)", {"FANCTRL": control, "FANS": rows}


def duty_of(machine: Machine) -> int:
    """The fans' duty that is set."""
    chosen = machine.settings.fan_percent
    if chosen is not None:
        return round(chosen)
    return 20 if _asleep(machine) else 65


def watts_of(machine: Machine, now: Snapshot) -> int:
    """What `power` says: a supply that is switched off gives nothing."""
    return 0 if _asleep(machine) else round(now.power_w)


def _power(machine: Machine, now: Snapshot) -> Sections:
    measured = bool(machine.model.extra.get("psu", False)) and not _asleep(machine)
    row: Row = {"PSU": measured, "Watts": watts_of(machine, now)}
    return 311, "Power usage", {"POWER": [row]}


def _pools(machine: Machine, now: Snapshot) -> Sections:
    rows = [_pool(machine, now, at) for at in range(len(machine.pools))]
    return 7, f"{len(rows)} Pool(s)", {"POOLS": rows}


def _pool(machine: Machine, now: Snapshot, at: int) -> Row:
    row = pool_row(Asked(machine, now), at) | {"GROUP": 0, "AsicBoost": True}
    if not _hashes(machine):
        row |= {"Status": "Disabled" if _asleep(machine) else "Dead", "Stratum Active": False}
    return row


def _config(machine: Machine, now: Snapshot) -> Sections:
    row: Row = {
        "ASC Count": len(boards_of(machine)),
        "CurtailMode": "Sleep" if _asleep(machine) else "None",
        "GreenLed": "auto",
        "Hostname": machine.hostname,
        "IsAtmEnabled": is_managed(machine),
        "IsPowerSupplyOn": not _asleep(machine),
        "MACAddr": machine.mac.lower(),
        "Model": type_of(machine),
        "NameplateTHS": machine.model.nominal_ghs / 1000,
        "Profile": profile_of(machine),
        "RedLed": "blink" if machine.settings.locating else "auto",
        "SerialNumber": machine.serial,
        "SystemStatus": "Normal",
        **power_target(machine),
    }
    return 33, "LUXminer config", {"CONFIG": [row]}


_EVENTS = {
    Condition.SLEEPING: ("SLEEP", "Miner is in Sleep mode."),
    Condition.NO_POOL: ("NO_ACTIVE_POOLS", "No active pools available."),
    Condition.BOARD_LOST: (
        "BOARD_NOT_DETECTED",
        "Board was removed or connection to control board is faulty.",
    ),
}


def _events(machine: Machine, now: Snapshot) -> Sections:
    if machine.condition not in _EVENTS:
        return 357, "Miner Events", {"EVENTS": []}
    code, words = _EVENTS[machine.condition]
    row: Row = {
        "Code": code,
        "CreatedAt": datetime.fromtimestamp(int(machine.stopped_at), UTC).isoformat(),
        "Description": words,
        "DocUrl": "",
        "Target": "MINER",
    }
    if machine.condition is Condition.BOARD_LOST:
        row |= {"Target": "BOARD", "ID": machine.model.boards - 1}
    return 357, "Miner Events", {"EVENTS": [row]}


def profile_watts(machine: Machine, step: int) -> int:
    """What a profile says it draws."""
    return round(machine.full_w * (1 + 0.045 * step))


def profile_name(machine: Machine, step: int) -> str:
    """What the profile so many steps from the default one is called."""
    return f"{machine.frequency_mhz + 25 * step}MHz" if step else "default"


def _profiles(machine: Machine, now: Snapshot) -> Sections:
    rows: list[Row] = []
    for step in STEPS:
        mhz = machine.frequency_mhz + 25 * step
        rows.append(
            {
                "Frequency": mhz,
                "Hashrate": round(machine.full_ghs / 1000 * mhz / machine.frequency_mhz, 1),
                "IsDynamic": True,
                "IsTuned": step == 0,
                "Profile Name": profile_name(machine, step),
                "Step": str(step),
                "Voltage": VOLTS,
                "Watts": profile_watts(machine, step),
            }
        )
    return 323, "List profiles", {"PROFILES": rows}


def _devdetails(machine: Machine, now: Snapshot) -> Sections:
    rows: list[Row] = [
        {
            "DEVDETAILS": at,
            "ID": at,
            "Chips": machine.chips_at(at),
            "Frequency": machine.frequency_mhz,
            "Model": type_of(machine),
            "Profile": profile_of(machine),
            "SerialNumber": machine.board_serials[at],
            "Voltage": VOLTS,
        }
        for at in boards_of(machine)
    ]
    return 69, "Device Details", {"DEVDETAILS": rows}


COMMANDS: dict[str, Callable[[Machine, Snapshot], Sections]] = {
    "version": _version,
    "summary": _summary,
    "devs": _devs,
    "stats": stats,
    "temps": temps,
    "fans": _fans,
    "power": _power,
    "pools": _pools,
    "config": _config,
    "events": _events,
    "devdetails": _devdetails,
    "profiles": _profiles,
    "atm": atm,
    "tempctrl": tempctrl,
    "limits": limits,
}

"""How a simulated VNish machine is set: presets, cooling, pools, and the pages that show them."""

from __future__ import annotations

import re
from weakref import WeakKeyDictionary

from drivers.sim.dialects.vnish_rpc import state
from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

POOL_SLOTS = 3
TARGET_C = 65
COOLING = {"min_fan_pwm": 10, "min_target_temp": 20, "max_target_temp": 90}
TUNED = (0, 2, 3)
"""The steps that the machine has tuned, from the lowest."""
_THROTTLES = re.compile(r"1\.3\.[3-9]")
_switchers: WeakKeyDictionary[Machine, Row] = WeakKeyDictionary()
"""How far the preset switcher goes, where somebody has set it beside a preset."""


def presets(machine: Machine) -> list[Row]:
    """The presets: from 600 W below the nominal power to 600 above; the last wants more supply."""
    nominal_w = round(machine.model.nominal_ghs * machine.model.efficiency_j_th / 1000, -2)
    steps = [int(nominal_w) + step for step in range(-600, 601, 200)]
    rows: list[Row] = [
        {
            "name": "disabled",
            "pretty": "Disabled",
            "status": "untuned",
            "modded_psu_required": False,
        }
    ]
    rows += [
        {
            "name": str(step),
            "pretty": f"{step} watt ~ {step} TH",
            "status": "tuned" if at in TUNED else "untuned",
            "modded_psu_required": step == steps[-1],
        }
        for at, step in enumerate(steps)
    ]
    return rows


def share_of(machine: Machine, name: str) -> float:
    """The share of its full power at which a machine runs a preset."""
    return float(name) / machine.full_w if name.isdecimal() else 1.0


def chosen(machine: Machine) -> str:
    """The preset that is set."""
    return machine.settings.mode or str(presets(machine)[4]["name"])


def is_pending(machine: Machine) -> bool:
    """True where a preset was set that mining has not been started with."""
    mode = machine.settings.mode
    return mode is not None and machine.settings.mode_share != share_of(machine, mode)


def in_force(machine: Machine) -> Row:
    """The preset that it runs: at first the switcher has gone down from the one that is set."""
    rows, share = presets(machine), machine.settings.mode_share
    found = (row for row in rows[1:] if share_of(machine, row["name"]) == share)
    return next(found, rows[2])


def switch_within(machine: Machine, switcher: Row) -> None:
    """Keep how far the switcher may go."""
    _switchers[machine] = switcher


def _switcher(machine: Machine) -> Row:
    steps = presets(machine)[1:]
    factory = {
        "enabled": True,
        "top_preset": steps[-2]["name"],
        "decrease_temp": 75,
        "rise_temp": 55,
        "min_preset": steps[0]["name"],
    }
    return factory if machine.settings.mode is None else _switchers.get(machine, factory)


# --- pages -------------------------------------------------------------------------------------


def miner_status(machine: Machine, now: Snapshot) -> Row:
    """What `summary` and `status` begin with."""
    row: Row = {"miner_state": state(machine, now), "miner_state_time": now.uptime_s}
    if _THROTTLES.match(machine.model.firmware):
        row["throttled"] = round(machine.settings.percent)
    return row


def status(machine: Machine, now: Snapshot) -> Row:
    """`status`."""
    return {
        **miner_status(machine, now),
        "find_miner": machine.settings.locating,
        "restart_required": is_pending(machine),
        "reboot_required": False,
        "unlocked": False,
    }


def perf_summary(machine: Machine, now: Snapshot) -> Row:
    """`perf-summary`: the preset in force."""
    return {"current_preset": in_force(machine), "preset_switcher": _switcher(machine)}


def cooling(machine: Machine) -> Row:
    """The block `cooling` of the settings."""
    fixed, target_c = machine.settings.fan_percent, machine.settings.temp_target_c
    auto = {"name": "auto", "param": TARGET_C if target_c is None else round(target_c)}
    mode = auto if fixed is None else {"name": "manual", "param": round(fixed)}
    return {"mode": mode, "fan_min_count": machine.model.fans, "fan_min_duty": 10}


def settings(machine: Machine, now: Snapshot) -> Row:
    """`settings`: pools with their passwords, in slots that may be empty."""
    rows = [
        {"url": pool.url.rpartition("://")[2], "user": pool.user, "pass": pool.password}
        for pool in machine.pools
    ]
    rows += [{"url": "", "user": "", "pass": ""}] * (POOL_SLOTS - len(rows))
    overclock = {
        "modded_psu": False,
        "preset": chosen(machine),
        "globals": {"volt": 1270, "freq": machine.frequency_mhz},
        "chains": [{"freq": machine.frequency_mhz, "disabled": False}] * machine.model.boards,
        "preset_switcher": _switcher(machine),
    }
    return {
        "miner": {
            "cooling": cooling(machine),
            "misc": {"restart_temp": 90},
            "overclock": overclock,
            "pools": rows,
        },
        "ui": {"consts": {"cooling": COOLING}},
        "network": {"hostname": machine.hostname, "dhcp": True, "ipaddress": machine.address},
        "password": None,
    }

"""The REST pages of Braiins OS from 25.07 on; see the vendor's OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from drivers.sim.dialects.braiins_rows import (
    BOOT_S,
    LIMIT_W,
    REFUSED,
    VOLTS,
    asleep,
    chip_c,
    connector,
    fan_rows,
    limit_w,
    model_of,
    nominal_ghs,
    version_of,
    watts,
)
from drivers.sim.machine import Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

LIMITS_W = (1100, 5400)
TARGET_C, HOT_C, DANGEROUS_C = 60.0, 80.0, 90.0
TARGETS_C = (30.0, 75.0)
LEAST_RATIO = 0.1
GROUP = "farm"
NOT_STARTED, NORMAL, PAUSED = 1, 2, 3
"""Of `MinerStatus`."""
_WINDOWS = ("5s", "15s", "30s", "1m", "5m", "15m", "30m", "1h", "24h")


def _ghs(value: float) -> Row:
    return {"gigahash_per_second": value}


def _rates(now_ghs: float, mean_ghs: float, nominal: float) -> Row:
    real = {f"last_{window}": _ghs(now_ghs) for window in _WINDOWS}
    return {
        "best_share": 1,
        "error_hashrate": {"megahash_per_second": 0.0},
        "found_blocks": 0,
        "nominal_hashrate": _ghs(nominal),
        "real_hashrate": real | {"since_restart": _ghs(mean_ghs)},
    }


def _details(machine: Machine, now: Snapshot) -> Row:
    model = model_of(machine)
    return {
        "uid": machine.miner_id,
        "miner_identity": {"brand": 1, "model": 0, "name": model, "miner_model": model},
        "platform": 4,
        "bos_mode": 5,
        "bos_version": {"current": version_of(machine), "major": "22.08", "bos_plus": True},
        "hostname": machine.hostname,
        "mac_address": machine.mac.lower(),
        "system_uptime": now.uptime_s + 30,
        "system_uptime_s": now.uptime_s + 30,
        "bosminer_uptime_s": now.uptime_s,
        "sticker_hashrate": _ghs(machine.model.nominal_ghs),
        "status": _status(machine, now),
        "serial_number": machine.serial,
        "psu_info": {"model_name": "APW171215a", "serial_number": None},
    }


def _status(machine: Machine, now: Snapshot) -> int:
    if now.uptime_s < BOOT_S:
        return NOT_STARTED
    return PAUSED if asleep(machine) else NORMAL


def _shares(now: Snapshot, used: bool) -> Row:
    return {
        "accepted_shares": now.accepted * used,
        "rejected_shares": now.rejected * used,
        "stale_shares": now.stale * used,
        "best_share": 1,
        "last_difficulty": 1,
        "generated_work": 1,
    }


def _stats(machine: Machine, now: Snapshot) -> Row:
    nominal = sum(nominal_ghs(machine, at) for at in range(machine.model.boards))
    drawn_w = watts(now)
    efficiency = round(drawn_w / now.ghs_5s * 1000, 9) if now.ghs_5s else 0.0
    return {
        "miner_stats": _rates(now.ghs_5s, now.ghs_av, nominal),
        "pool_stats": _shares(now, True),
        "power_stats": {
            "approximated_consumption": {"watt": drawn_w},
            "efficiency": {"joule_per_terahash": efficiency},
        },
    }


def _hashboards(machine: Machine, now: Snapshot) -> Row:
    return {"hashboards": [_board(machine, now, at) for at in range(machine.model.boards)]}


def _board(machine: Machine, now: Snapshot, at: int) -> Row:
    runs, board_c = bool(machine.chips_at(at)), float(now.board_c[at])
    chip = {"id": 1, "location": 1, "temperature": {"degree_c": chip_c(machine, now, at)}}
    return {
        "id": f"{connector(machine, at)}",
        "enabled": True,
        "serial_number": machine.board_serials[at],
        "chips_count": machine.chips_at(at) if runs else None,
        "current_frequency": {"hertz": machine.frequency_mhz * 1e6 * runs},
        "current_voltage": {"volt": VOLTS * runs},
        "board_temp": {"degree_c": board_c} if runs else None,
        "highest_chip_temp": chip if runs and not asleep(machine) else None,
        "lowest_inlet_temp": {"degree_c": board_c - 15} if runs else None,
        "highest_outlet_temp": {"degree_c": board_c} if runs else None,
        "stats": _rates(now.board_ghs[at], now.board_ghs[at], nominal_ghs(machine, at)),
    }


def _cooling(machine: Machine, now: Snapshot) -> Row:
    found = fan_rows(machine, now)[: machine.model.fans]
    return {
        "fans": [{"position": at, "rpm": r, "target_speed_ratio": d / 100} for at, r, d in found],
        "highest_temperature": {
            "id": None,
            "location": 2 if asleep(machine) else 1,
            "temperature": {"degree_c": float(max(now.board_c if asleep(machine) else now.chip_c))},
        },
    }


def _pools(machine: Machine, now: Snapshot) -> list[Row]:
    found = [
        {
            "uid": f"{at}",
            "url": pool.url,
            "user": pool.user,
            "enabled": True,
            "alive": machine.pool_alive,
            "active": at == 0 and machine.pool_alive,
            "stats": _shares(now, at == 0),
        }
        for at, pool in enumerate(machine.pools)
    ]
    return [{"uid": "group", "name": GROUP, "quota": {"value": 1}, "pools": found}]


def _errors(machine: Machine, now: Snapshot) -> Row:
    """A log: what failed before the clock was set stays in it."""
    found = [{"timestamp": "2015-01-01T00:00:37.638808Z", "message": "Failed to resolve"}]
    for at in range(machine.model.boards):
        if not machine.chips_at(at):
            when = datetime.fromtimestamp(machine.stopped_at, UTC).isoformat()
            words = f"Hashboard {connector(machine, at)}: {REFUSED}"
            found.append({"timestamp": when, "message": words})
    return {"errors": [{**row, "error_codes": [], "components": []} for row in found]}


def _tuner(machine: Machine, now: Snapshot) -> Row:
    target = {"current_target": {"watt": limit_w(machine)}, "profile": None}
    return {"overall_tuner_state": 2, "mode_state": {"powertargetmodestate": target}}


def _constraints(machine: Machine, now: Snapshot) -> Row:
    lowest, highest = ({"watt": limit} for limit in LIMITS_W)
    found = {"default": {"watt": LIMIT_W}, "min": lowest, "max": highest}
    target = {end: {"degree_c": c} for end, c in zip(("min", "max"), TARGETS_C, strict=True)}
    cooling = {
        "default_cooling_mode": 1,
        "fan_speed_ratio": {"default": 1.0, "min": LEAST_RATIO, "max": 1.0},
        "target_temperature": {"default": {"degree_c": TARGET_C}, **target},
    }
    return {"tuner_constraints": {"power_target": found}, "cooling_constraints": cooling}


def cooling_mode(machine: Machine) -> Row:
    """How the fans run, with the temperatures that go with it."""
    settings = machine.settings
    target_c = TARGET_C if settings.temp_target_c is None else settings.temp_target_c
    found: Row = {
        "target_temperature": {"degree_c": target_c},
        "hot_temperature": {"degree_c": HOT_C},
        "dangerous_temperature": {"degree_c": DANGEROUS_C},
        "minimum_required_fans": 1,
    }
    if settings.fan_percent is None:
        return {"auto": found}
    return {"manual": {**found, "fan_speed_ratio": settings.fan_percent / 100}}


def _configuration(machine: Machine, now: Snapshot) -> Row:
    pools = [
        {"uid": f"{at}", "enabled": True, "url": p.url, "user": p.user, "password": p.password}
        for at, p in enumerate(machine.pools)
    ]
    return {
        "pool_groups": [{"uid": "group", "name": GROUP, "pools": pools}],
        "temperature": {"minimum_required_fans": None, "mode": cooling_mode(machine)},
        "tuner": {"enabled": True, "power_target": {"watt": limit_w(machine)}, "tuner_mode": 1},
    }


PAGES: dict[str, Callable[[Machine, Snapshot], Any]] = {
    "miner/details": _details,
    "miner/stats": _stats,
    "miner/hw/hashboards": _hashboards,
    "cooling/state": _cooling,
    "pools": _pools,
    "miner/errors": _errors,
    "performance/tuner-state": _tuner,
    "configuration/constraints": _constraints,
    "configuration/miner": _configuration,
    "actions/locate": lambda machine, now: machine.settings.locating,
}

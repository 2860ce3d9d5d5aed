"""AxeOS: Bitaxe with ESP-Miner of two ages, and a NerdQAxe.

Source: ESP-Miner's `system_api_json.c` and `http_server.c`, NerdQAxe's `handler_system.cpp`.
`extra` says which: `age` is "new" (2.14: chips on another page, it can pause), "old" (2.6) or
"nerd".
"""

from __future__ import annotations

from drivers.sim.dialects.axeos_orders import PLACES, told
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

FRONT_PAGE = "<!doctype html><html><head><title>AxeOS</title></head><body></body></html>"
NO_SENSOR = -1


def _age(machine: Machine) -> str:
    return str(machine.model.extra["age"])


def _works(machine: Machine) -> bool:
    return machine.condition is Condition.RUNNING


def info(machine: Machine, now: Snapshot) -> Row:
    """`/api/system/info`: rates in GH/s, voltages in mV, currents in mA."""
    volts = float(machine.model.extra["volts"])
    held = machine.settings.fan_percent
    row: Row = {
        "power": round(now.power_w, 4),
        "voltage": volts * 1000,
        "current": round(now.power_w / volts * 1000, 2),
        "temp": float(now.chip_c[0]) or NO_SENSOR,
        "vrTemp": float(now.board_c[0]),
        "hashRate": _rate(machine, now),
        "coreVoltage": 1150,
        "frequency": machine.frequency_mhz,
        "smallCoreCount": int(machine.model.extra["cores"]),
        "ASICModel": machine.model.extra["chip"],
        "macAddr": machine.mac,
        "hostname": machine.hostname,
        "wifiStatus": "Connected!",
        "sharesAccepted": now.accepted,
        "sharesRejected": now.rejected,
        "uptimeSeconds": now.uptime_s,
        "version": machine.model.firmware,
        "fanspeed": 45 if held is None else round(held),
        "autofanspeed": int(held is None),
        "fanrpm": now.fan_rpm[0],
        **_pools(machine),
    }
    return row | {"new": _new, "old": _old, "nerd": _nerd}[_age(machine)](machine, now)


def _rate(machine: Machine, now: Snapshot) -> float:
    return round(now.ghs_5s if machine.chips_at(0) else 0.0, 3)


def _pools(machine: Machine) -> Row:
    row: Row = {}
    for at, prefix in enumerate(PLACES):
        pool = machine.pools[at] if at < len(machine.pools) else None
        row |= {
            f"{prefix}URL": pool.host if pool else "",
            f"{prefix}Port": int(pool.url.rpartition(":")[2]) if pool else 0,
            f"{prefix}User": pool.user if pool else "",
        }
    return row


def _new(machine: Machine, now: Snapshot) -> Row:
    rate = _rate(machine, now)
    row: Row = {
        "temp2": NO_SENSOR,
        "fan2rpm": 0,
        "actualFrequency": machine.frequency_mhz - 0.5,
        "expectedHashrate": round(machine.full_ghs, 2),
        "bestDiff": now.accepted * 991,
        "poolDifficulty": machine.traits.share_difficulty,
        "isUsingFallbackStratum": 0,
        "poolConnectionInfo": "IPv4" if machine.pool_alive else "Not connected",
        "temptarget": machine.settings.temp_target_c or 60,
        "miningPaused": machine.condition is Condition.SLEEPING,
        "overheat_mode": 0,
        "boardVersion": machine.model.extra["board"],
        "axeOSVersion": machine.model.firmware,
        "hashrateMonitor": {
            "asics": [{"total": rate, "errorCount": now.hw_errors, "domains": [rate / 4] * 4}]
        },
    }
    if not machine.chips_at(0):
        row["hardware_fault"] = "no ASIC answers"
    return row


def _old(machine: Machine, now: Snapshot) -> Row:
    # Difficulties in short, and no word of a pause: it could not be paused yet.
    return {
        "asicCount": machine.model.chips,
        "boardVersion": machine.model.extra["board"],
        "bestDiff": f"{now.accepted * 991 / 1e6:.2f}M",
        "stratumDiff": machine.traits.share_difficulty,
        "isUsingFallbackStratum": 0,
        "overheat_mode": 0 if machine.chips_at(0) else 1,
    }


def _nerd(machine: Machine, now: Snapshot) -> Row:
    alive = machine.pool_alive
    active = {
        "active": True,
        "connected": alive,
        "poolDifficulty": machine.traits.share_difficulty,
        "accepted": now.accepted,
        "rejected": now.rejected,
    }
    return {
        "asicCount": machine.model.chips,
        "deviceModel": machine.model.name,
        "vrTempInt": now.board_c[0] + 4.0,
        "asicTemps": [float(now.chip_c[0])] * machine.model.chips,
        "fanrpm2": now.fan_rpm[-1],
        "fanCount": machine.model.fans,
        "shutdown": machine.condition is Condition.SLEEPING,
        "bestDiff": f"{now.accepted * 991 / 1e6:.2f}M",
        "poolDifficulty": machine.traits.share_difficulty,
        # The device's wish, not what the pool asks.
        "stratumDifficulty": 1000,
        "stratum": {
            "activePoolMode": 0,
            "usingFallback": False,
            "pools": [active, {"active": False, "connected": False}],
        },
    }


def asic(machine: Machine, now: Snapshot) -> Row:
    """`/api/system/asic`."""
    extra = machine.model.extra
    return {
        "ASICModel": extra["chip"],
        "deviceModel": extra.get("family", machine.model.name),
        "asicCount": machine.model.chips,
    }


def page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """A page of the device; what it does not know it sends to its front page."""
    if ask.path in {"/", "/index.html"}:
        return html_page(FRONT_PAGE)
    if ask.method != "GET":
        return told(machine, ask, now.now, _age(machine))
    if ask.path == "/api/system/info":
        return json_page(info(machine, now))
    if ask.path == "/api/system/asic" and _age(machine) != "old":
        return json_page(asic(machine, now))
    return NOT_FOUND


FACE = Face(web=Web(page, server="esp"), polled="web")

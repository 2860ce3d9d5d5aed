"""A Whatsminer in frames on port 4433, API 3; port 4028 stays open with answers that lack half.

Rates are in TH/s. While the machine is stopped its mining program does not run: the status is
refused with a sentence, and only the device's information tells why.
"""

from __future__ import annotations

from drivers.sim.answers import Reply
from drivers.sim.dialects.whatsminer import (
    MAINS_V,
    OK,
    UNKNOWN,
    codes_of,
    command_of,
    cooled_by_liquid,
    lights_of,
    limit_of,
    ramping,
)
from drivers.sim.dialects.whatsminer3_orders import (
    DONE,
    FAILED,
    INVALID_COMMAND,
    NO_PARAMETER,
    clock_of,
    obey,
    salt_of,
)
from drivers.sim.dialects.whatsminer_orders import said
from drivers.sim.face import Face
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

SECTIONS = ("summary", "edevs", "pools")


def _info(machine: Machine, now: Snapshot) -> Row:
    model = machine.model
    serials = {f"pcbsn{at}": serial for at, serial in enumerate(machine.board_serials)}
    board_ghs = round(machine.full_ghs / model.boards)
    power: Row = {
        "type": "P221B",
        "mode": "1",
        "iin": round(now.power_w / MAINS_V, 2),
        "vin": MAINS_V,
        "vout": 1209,
        "pin": round(now.power_w),
        "fanspeed": 6112,
        "vendor": "1",
    }
    if cooled_by_liquid(machine):
        power["liquid-temperature"] = round(now.inlet_c + 9, 1)
    return {
        "network": {"proto": "dhcp", "mac": machine.mac.upper(), "hostname": machine.hostname},
        "miner": {
            "working": "false" if machine.condition is Condition.SLEEPING else "true",
            "type": model.extra.get("type", ""),
            "detect-hash-rate": ":".join([str(board_ghs)] * model.boards) + ":",
            "cointype": "BTC/BCH/BSV",
            "board-num": str(model.boards),
            "miner-sn": machine.serial,
            "power-limit-set": str(limit_of(machine)),
            **serials,
        },
        "system": {
            "api": model.extra.get("api", "3.0.3"),
            "platform": "H616",
            "fwversion": model.firmware,
            "apiswitch": str(int(model.extra.get("write_api", True) is not False)),
            "ledstatus": lights_of(machine),
        },
        "power": power,
        "salt": salt_of(machine),
        "error-code": [
            {str(code): "2026-09-20 10:00:00", "reason": "As the table says."}
            for code in codes_of(machine)
        ],
    }


def _summary(machine: Machine, now: Snapshot) -> Row:
    fans = now.fan_rpm or (0, 0)
    ths = now.ghs_5s / 1000
    return {
        "elapsed": now.uptime_s,
        "bootup-time": now.uptime_s + 97,
        "freq-avg": machine.frequency_mhz,
        "target-freq": 0,
        "factory-hash": round(machine.full_ghs / 1000, 3),
        "hash-average": round(now.ghs_av / 1000, 3),
        "hash-1min": round(ths, 6),
        "hash-15min": round(now.ghs_30m / 1000, 3),
        "hash-realtime": round(ths, 6),
        "power-rate": round(now.power_w / ths, 3) if ths else 0.0,
        "power-5min": round(now.power_w, 3),
        "power-realtime": round(now.power_w),
        "environment-temperature": round(now.inlet_c, 1),
        "board-temperature": [float(temp) for temp in now.board_c],
        "chip-temp-min": float(min(now.chip_c)),
        "chip-temp-avg": float(sum(now.chip_c) / len(now.chip_c)),
        "chip-temp-max": float(max(now.chip_c)),
        "power-limit": limit_of(machine),
        "up-freq-finish": int(not ramping(machine, now)),
        "fan-speed-in": fans[0],
        "fan-speed-out": fans[1],
    }


def _board(machine: Machine, now: Snapshot, at: int) -> Row:
    return {
        "id": at,
        "slot": at,
        "hash-average": round(now.board_ghs[at] / 1000, 6),
        "factory-hash": round(machine.full_ghs / machine.model.boards / 1000, 3),
        "freq": float(machine.frequency_mhz),
        "effective-chips": machine.chips_at(at),
        "chip-temp-min": float(now.chip_c[at]),
        "chip-temp-avg": float(now.chip_c[at]),
        "chip-temp-max": float(now.chip_c[at]),
    }


def _pool(machine: Machine, now: Snapshot, at: int) -> Row:
    """No counts of shares: the API has none."""
    return {
        "id": at + 1,
        "url": machine.pools[at].url,
        "status": "alive" if machine.pool_alive else "dead",
        "account": machine.pools[at].user,
        "stratum-active": at == 0 and machine.pool_alive,
        "reject-rate": 0.1,
        "last-share-time": now.last_share_at,
    }


def _status(machine: Machine, now: Snapshot, parameter: object) -> tuple[int, object]:
    wanted = str(parameter).split("+") if isinstance(parameter, str) else []
    if not wanted or any(name not in SECTIONS for name in wanted):
        return NO_PARAMETER, "param item is null"
    if machine.condition is Condition.SLEEPING:
        return FAILED, "btminer process is down err"
    all_of: Row = {
        "summary": _summary(machine, now),
        "edevs": [_board(machine, now, at) for at in range(machine.model.boards)],
        "pools": [_pool(machine, now, at) for at in range(len(machine.pools))],
    }
    return DONE, {name: all_of[name] for name in wanted}


def _setting(machine: Machine) -> Row:
    percent = round(machine.settings.percent)
    return {
        "power-limit": limit_of(machine),
        "power-mode": machine.settings.mode or "normal",
        "fast-boot": "disable",
        "power": 0,
        "power-percent": 0 if percent == 100 else percent,
    }


def framed(machine: Machine, request: Row, now: Snapshot) -> Row:
    """Answer the object of a frame; nothing where the machine hangs up."""
    command = str(request.get("cmd"))
    said = (
        obey(machine, command, request, now)
        if command.startswith("set.")
        else _content(machine, request, now, command)
    )
    if said is None:
        return {}
    code, content = said
    return {"code": code, "when": int(clock_of(machine, now)), "msg": content, "desc": command}


def _content(machine: Machine, request: Row, now: Snapshot, command: str) -> tuple[int, object]:
    if command == "get.device.info":
        found, section = _info(machine, now), request.get("param")
        return DONE, {str(section): found[str(section)]} if section in found else found
    if command == "get.miner.status":
        return _status(machine, now, request.get("param"))
    if command == "get.miner.setting" and machine.model.extra.get("api") != "3.0.0":
        return DONE, _setting(machine)
    return INVALID_COMMAND, "invalid command"


def respond(machine: Machine, data: bytes, when: float) -> Reply:
    """Port 4028 of such a machine: the summary without a name, no details of its boards."""
    now, command = machine.at(when), command_of(data)
    if command == "get_version":
        version = {"api_ver": "2.2.0", "fw_ver": machine.model.firmware, "platform": "H616"}
        return Reply(said("S", OK, version, now), command)
    if command == "summary":
        row = {
            "Elapsed": now.uptime_s + 0.5,
            "MHS av": round(now.ghs_av * 1000),
            "HS RT": round(now.ghs_5s * 1000),
            "Factory GHS": round(machine.full_ghs),
            "Power": now.power_w,
            "Btminer Fast Boot": "disable",
        }
        return Reply(said("S", OK, row, now), command)
    return Reply(said("E", UNKNOWN, "invalid cmd", now), command or "")


FACE = Face(rpc=respond, framed=framed, polled="framed")

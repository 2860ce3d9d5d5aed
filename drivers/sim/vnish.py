"""VNish (AnthillOS): `/api/v1` with a token for what is locked, and a smaller port 4028."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from drivers.sim.answers import Asked, Command, Dialect, reply_to
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, html_page, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row
from drivers.sim.rows import Answer, difficulty

SESSION_S = 900.0
"""How long an unused token lasts."""
MILLIVOLTS = 13_400
SWITCHED_W = 400
"""How far below the set preset the preset switcher runs."""
_STATES = {Condition.SLEEPING: "stopped", Condition.BOARD_LOST: "mining"}
FRONT_PAGE = '<html><head><meta name="firmware" content="AnthillOS"></head></html>'


def _state(machine: Machine, now: Snapshot) -> str:
    if machine.condition in _STATES:
        return _STATES[machine.condition]
    return "mining" if now.ghs_5s or not machine.pool_alive else "starting"


def _watts(machine: Machine, now: Snapshot) -> int:
    tells = machine.model.extra.get("watts", True)
    return round(now.power_w) if tells else 0


def _bare_name(machine: Machine) -> str:
    return machine.model.name.partition(" (")[0]


# --- port 4028 -----------------------------------------------------------------------------


def _stats(asked: Asked) -> Answer:
    machine, now, model = asked.machine, asked.now, asked.machine.model
    head: Row = {
        "Type": model.name,
        "Miner": "0.0.0",
        "Cgminer": model.firmware,
        "CompileTime": model.compile_time,
    }
    body: Row = {
        "Elapsed": now.uptime_s,
        "GHS 5s": f"{now.ghs_5s:.2f}",
        "GHS av": round(now.ghs_av, 2),
        "fan_num": model.fans,
        "fan_mode": 0,
        "fan_pwm": 72 if any(now.fan_rpm) else 0,
        **{f"fan{at}": rpm for at, rpm in enumerate(now.fan_rpm, 1)},
        "state": _state(machine, now),
        "total_rate": round(now.ghs_5s, 2),
        "total_rateideal": round(machine.full_ghs, 2),
        "total_acn": sum(map(machine.chips_at, range(model.boards))),
    }
    for index in range(model.boards):
        body |= _chain_keys(machine, now, index)
    return 70, ("CGMiner",), (head, body)


def _chain_keys(machine: Machine, now: Snapshot, index: int) -> Row:
    chips, at = machine.chips_at(index), index + 1
    return {
        f"temp_sens{at}": "m-m-m-m",
        f"temp{at}": now.board_c[index],
        f"temp2_{at}": now.chip_c[index],
        f"temp3_{at}": now.chip_c[index],
        f"temp_pcb{at}": "-".join([str(now.board_c[index])] * 4),
        f"temp_chip{at}": "-".join([str(now.chip_c[index])] * 4),
        f"chain_consumption{at}": _watts(machine, now) // machine.model.boards,
        f"chain_hw{at}": now.hw_errors // machine.model.boards,
        f"chain_rate{at}": round(now.board_ghs[index], 3),
        f"chain_rateideal{at}": round(machine.full_ghs / machine.model.boards, 3),
        f"freq_avg{at}": float(machine.frequency_mhz) if chips else 0.0,
        f"chain_vol{at}": MILLIVOLTS if chips else 0,
        f"chain_state{at}": _chain_state(machine, now, index),
        f"chain_fault{at}": "" if chips else "No chips detected",
        f"chain_acn{at}": chips,
    }


def _chain_state(machine: Machine, now: Snapshot, index: int) -> str:
    return _state(machine, now) if machine.chips_at(index) else "failure"


def _summary_rpc(asked: Asked) -> Answer:
    now = asked.now
    row: Row = {
        "Elapsed": now.uptime_s,
        "GHS 5s": round(now.ghs_5s, 2),
        "GHS av": round(now.ghs_av, 2),
        "Accepted": now.accepted + now.accepted // 36,
        "Rejected": now.rejected,
        "Stale": now.stale,
        "Hardware Errors": now.hw_errors,
        "Fee Percent": 2.8,
    }
    return 11, (), (row,)


def _pools_rpc(asked: Asked) -> Answer:
    machine, now = asked.machine, asked.now
    found: list[Row] = []
    for index, pool in enumerate(machine.pools):
        used = index == 0
        found.append(
            {
                "POOL": index,
                "URL": pool.url.partition("://")[2],
                "Type": 0,
                "User": pool.user,
                "Status": "Alive" if machine.pool_alive else "Dead",
                "Accepted": now.accepted * used,
                "Rejected": now.rejected * used,
                "Stale": now.stale * used,
                "Stratum Active": used and machine.pool_alive,
                "Difficulty Accepted": difficulty(asked, now.accepted * used),
            }
        )
    fee: Row = {
        "POOL": len(found),
        "URL": "DevFee",
        "Type": 1,
        "User": "DevFee",
        "Status": "Alive",
        "Accepted": now.accepted // 36,
        "Rejected": 1,
        "Stale": 0,
        "Stratum Active": True,
    }
    return 7, (len(found) + 1,), (*found, fee)


DIALECT = Dialect(
    {
        "stats": Command(_stats, "STATS", shows_rate=True, shows_uptime=True),
        "summary": Command(_summary_rpc, "SUMMARY", shows_rate=True, shows_uptime=True),
        "pools": Command(_pools_rpc, "POOLS"),
    },
    hides_name=True,
)
"""`version` is not known to it."""


# --- the web API ---------------------------------------------------------------------------


def _summary(machine: Machine, now: Snapshot) -> Row:
    rate = round(now.ghs_5s, 2)
    watts = _watts(machine, now)
    miner: Row = {
        "miner_status": {"miner_state": _state(machine, now), "miner_state_time": now.uptime_s},
        "miner_type": machine.model.name,
        "hr_stock": machine.model.nominal_ghs,
        "average_hashrate": now.ghs_av / 1000,
        "instant_hashrate": rate / 1000,
        "hr_realtime": rate,
        "hr_nominal": round(machine.full_ghs, 2),
        "hr_average": round(now.ghs_av, 2),
        "pcb_temp": {"min": min(now.board_c), "max": max(now.board_c)},
        "chip_temp": {"min": min(now.chip_c), "max": max(now.chip_c)},
        "power_consumption": watts,
        "power_usage": round(1000 * watts / now.ghs_5s) if now.ghs_5s else 0,
        "power_efficiency": round(1000 * watts / now.ghs_5s, 6) if now.ghs_5s else 0.0,
        "hw_errors": now.hw_errors,
        "devfee_percent": 2.8,
        "pools": _pools(machine, now),
        "cooling": {
            "fan_num": machine.model.fans,
            "fans": [
                {"id": at, "rpm": rpm, "status": "ok", "max_rpm": machine.model.fan_max_rpm}
                for at, rpm in enumerate(now.fan_rpm)
            ],
            "settings": {"mode": {"name": "auto"}},
            "fan_duty": 72 if any(now.fan_rpm) else 0,
        },
        "chains": [_chain(machine, now, index) for index in range(machine.model.boards)],
        "found_blocks": 0,
        "psu": {"psu_power_metering": bool(machine.model.extra.get("watts", True))},
    }
    return {"miner": miner}


def _chain(machine: Machine, now: Snapshot, index: int) -> Row:
    chips, board_c, chip_c = machine.chips_at(index), now.board_c[index], now.chip_c[index]
    stopped = machine.condition is Condition.SLEEPING
    state: Row = {"state": _chain_state(machine, now, index)}
    return {
        "id": index + 1,
        "frequency": float(machine.frequency_mhz) if chips else 0.0,
        "voltage": MILLIVOLTS if chips else 0,
        "power_consumption": _watts(machine, now) // machine.model.boards,
        "hashrate_ideal": round(machine.full_ghs / machine.model.boards, 3),
        "hashrate_rt": round(now.board_ghs[index], 3),
        "hw_errors": now.hw_errors // machine.model.boards,
        "pcb_temp": {"min": board_c, "max": board_c},
        "chip_temp": {"min": chip_c, "max": chip_c},
        "chip_statuses": {"red": 0, "orange": 0, "grey": 0 if stopped else chips},
        "status": state if chips else {"state": "failure", "description": "No chips detected"},
    }


def _pools(machine: Machine, now: Snapshot) -> list[Row]:
    found: list[Row] = []
    for index, pool in enumerate(machine.pools):
        used = index == 0
        words = ("active" if used else "working") if machine.pool_alive else "offline"
        found.append(
            {
                "id": index,
                "url": pool.url.partition("://")[2],
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


def _status(machine: Machine, now: Snapshot) -> Row:
    return {
        "miner_state": _state(machine, now),
        "miner_state_time": now.uptime_s,
        "find_miner": False,
        "restart_required": False,
        "reboot_required": False,
        "unlocked": False,
    }


def presets(machine: Machine) -> list[Row]:
    """The presets: from 600 W below the nominal power to 600 above; the last wants more supply."""
    watts = round(machine.model.nominal_ghs * machine.model.efficiency_j_th / 1000, -2)
    steps = [int(watts) + step for step in range(-600, 601, 200)]
    rows: list[Row] = [{"name": "disabled", "pretty": "Disabled", "modded_psu_required": False}]
    rows += [
        {
            "name": str(step),
            "pretty": f"{step} watt ~ {step} TH",
            "status": "untuned",
            "modded_psu_required": step == steps[-1],
        }
        for step in steps
    ]
    return rows


def _perf_summary(machine: Machine, now: Snapshot) -> Row:
    return {"current_preset": presets(machine)[2], "preset_switcher": {"enabled": True}}


def _settings(machine: Machine, now: Snapshot) -> Row:
    overclock = {"modded_psu": False, "preset": presets(machine)[4]["name"]}
    return {"miner": {"overclock": overclock}, "network": {"hostname": machine.hostname}}


def _presets(machine: Machine, now: Snapshot) -> list[Row]:
    return presets(machine)


def _factory_info(machine: Machine, now: Snapshot) -> Row:
    chains = [{"id": at, "serial": word} for at, word in enumerate(machine.board_serials, 1)]
    return {"chains": chains, "psu_serial": f"PSU{machine.serial}", "hr_stock": 1.0}


_OPEN: dict[str, Callable[[Machine, Snapshot], Any]] = {
    "/api/v1/summary": _summary,
    "/api/v1/info": _info,
    "/api/v1/status": _status,
    "/api/v1/perf-summary": _perf_summary,
    "/api/v1/chains/factory-info": _factory_info,
}
_LOCKED: dict[str, Callable[[Machine, Snapshot], Any]] = {
    "/api/v1/settings": _settings,
    "/api/v1/autotune/presets": _presets,
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
    if ask.path == "/api/v1/lock" and _let_in(machine, ask, now):
        machine.sessions.pop(_token(machine, ask), None)
        return json_page({})
    if ask.path != "/api/v1/unlock":
        return _DENIED
    body = ask.json()
    if not isinstance(body, dict) or body.get("pw") != machine.credential[1]:
        return json_page({"unlock_timeout": 0}, status=HTTPStatus.FORBIDDEN)
    token = f"{machine.miner_id}{len(machine.sessions)}"
    machine.sessions[token] = now.now
    return json_page({"token": token})


def _token(machine: Machine, ask: Ask) -> str:
    """The token in the form that this build takes: with or without `Bearer`."""
    word = ask.headers.get("authorization", "")
    bare = machine.model.extra.get("bare", False)
    return word if bare else word.removeprefix("Bearer ") if word.startswith("Bearer ") else ""


def _let_in(machine: Machine, ask: Ask, now: Snapshot) -> bool:
    token = _token(machine, ask)
    used = machine.sessions.get(token)
    if used is None or now.now - used > SESSION_S:
        machine.sessions.pop(token, None)
        return False
    machine.sessions[token] = now.now
    return True


FACE = Face(rpc=partial(reply_to, DIALECT), web=Web(page, server="nginx"), polled="web")

"""Auradine: gcminer on port 4028, and the API on port 8080 that wants a token.

As the vendor's API description shows them: values of the supply are words with units, sensors
of three kinds in one page, a row for every chip, and a token in a header of its own name.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from drivers.sim.answers import Asked, Command, Dialect, reply_to
from drivers.sim.dialects.auradine_orders import frame, led, mode, obey
from drivers.sim.dialects.rows import Answer, difficulty, per_minute, pool_row
from drivers.sim.face import NOT_FOUND, Ask, Face, Page, Web, json_page
from drivers.sim.machine import Condition, Machine
from drivers.sim.physics import Snapshot
from drivers.sim.protocol import Row

TOKEN_LIFE_S = 3600.0
SUPPLY_EFFICIENCY = 0.94


def _version(asked: Asked) -> Answer:
    return 22, ("GCMiner",), ({"API": "1.0", "GCMiner": "0.5"},)


def _summary(asked: Asked) -> Answer:
    now = asked.now
    row: Row = {
        "Accepted": now.accepted,
        "Difficulty Accepted": difficulty(asked, now.accepted),
        "Difficulty Rejected": difficulty(asked, now.rejected),
        "Elapsed": now.uptime_s,
        "Hardware Errors": now.hw_errors,
        "MHS 15m": now.ghs_30m * 1000,
        "MHS 5s": now.ghs_5s * 1000,
        "MHS av": now.ghs_av * 1000,
        "Rejected": now.rejected,
        "Total MH": int(now.total_mh),
        "Utility": per_minute(now.accepted, now),
    }
    return 11, (), (row,)


def _devs(asked: Asked) -> Answer:
    machine, now = asked.machine, asked.now
    rows = tuple(
        {
            "DEV": at + 1,
            "Enabled": True,
            "ID": at + 1,
            "MHS 5s": ghs * 1000,
            "Name": "ASICBoard",
            "Status": "Alive" if machine.chips_at(at) else "Dead",
            "Temperature": float(now.board_c[at]),
        }
        for at, ghs in enumerate(now.board_ghs)
    )
    return 9, (f"{len(rows)} Dev(s)",), rows


def _pools(asked: Asked) -> Answer:
    return 7, (len(asked.machine.pools),), tuple(map(partial(_pool, asked), _places(asked)))


def _places(asked: Asked) -> range:
    return range(len(asked.machine.pools))


def _pool(asked: Asked, index: int) -> Row:
    row = pool_row(asked, index)
    if not asked.machine.pool_alive:
        row |= {"Status": "Dead", "Stratum Active": False}
    return row


def _asccount(asked: Asked) -> Answer:
    boards = [chips for at in range(asked.machine.model.boards) if (chips := _chips(asked, at))]
    return 104, (), ({"AsicCount": sum(boards), "BoardCount": len(boards)},)


def _chips(asked: Asked, board: int) -> int:
    return asked.machine.chips_at(board)


DIALECT = Dialect(
    {
        "version": Command(_version, "VERSION"),
        "summary": Command(_summary, "SUMMARY", shows_rate=True, shows_uptime=True),
        "devs": Command(_devs, "DEVS", headed=False),
        "pools": Command(_pools, "POOLS", headed=False),
        "asccount": Command(_asccount, "ASCCount"),
    }
)


# --- the API of port 8080 ----------------------------------------------------------------------


def _ipreport(machine: Machine, now: Snapshot) -> list[Row]:
    return [
        {
            "CBSerialNo": machine.serial,
            "ChassisSerialNo": f"{machine.index:06d}",
            "HBSerialNo": list(machine.board_serials),
            "InternalType": "T2",
            "SerialNo": machine.serial,
            "command": "ipreport",
            "hostname": machine.hostname,
            "ip": machine.address,
            "mac": machine.mac.lower(),
            "model": machine.model.name.removeprefix("Teraflux "),
            "version": machine.model.firmware,
        }
    ]


def _psu(machine: Machine, now: Snapshot) -> list[Row]:
    output_w = 0.0 if machine.condition is Condition.SLEEPING else now.power_w * SUPPLY_EFFICIENCY
    return [
        {
            "FanSpeed1": "4052.00 RPM",
            "Iin": f"{now.power_w / 240:.2f}A",
            "PoutMax": "3452.00W",
            "PowerIn": f"{now.power_w:.2f}W",
            "PowerOut": f"{output_w:.2f}W",
            "Vin": "240.00V",
        }
    ]


def _fan(machine: Machine, now: Snapshot) -> list[Row]:
    most = machine.model.fan_max_rpm
    speeds = enumerate(now.fan_rpm, 1)
    return [{"ID": at, "Max": most, "Speed": rpm, "Target": rpm} for at, rpm in speeds]


def _sensors(name: str, values: list[float]) -> list[Row]:
    return [{"ID": at, name: value} for at, value in enumerate(values)]


def _temperature(machine: Machine, now: Snapshot) -> list[Row]:
    control = {"BoardTemp": _sensors("Temperature", [now.inlet_c + 4]), "ChipTemp": None}
    rows: list[Row] = [{**control, "ID": 0, "Name": "Control Board"}]
    for at, (board_c, chip_c) in enumerate(zip(now.board_c, now.chip_c, strict=True), 1):
        alive = bool(machine.chips_at(at - 1))
        chips = [float(chip_c - each % 3) for each in range(machine.chips_at(at - 1))]
        board = [now.inlet_c, now.inlet_c + 1, float(board_c)] if alive else []
        heat = {
            "BoardTemp": _sensors("Temperature", board),
            "ChipTemp": _sensors("Temperature", chips),
        }
        rows.append({**heat, "ID": at, "Name": f"Hash Board {at}"})
    return rows


def _frequency(machine: Machine, now: Snapshot) -> list[Row]:
    mhz = float(machine.frequency_mhz)
    return [
        {
            "ChipFrequency": _sensors("Frequency", [mhz] * machine.chips_at(at)),
            "ID": at + 1,
            "Name": f"Hash Board {at + 1}",
        }
        for at in range(machine.model.boards)
    ]


PAGES: dict[str, tuple[str, Callable[[Machine, Snapshot], list[Row]]]] = {
    "/ipreport": ("IPReport", _ipreport),
    "/mode": ("Mode", mode),
    "/psu": ("PSU", _psu),
    "/fan": ("Fan", _fan),
    "/temperature": ("Temperature", _temperature),
    "/frequency": ("Frequency", _frequency),
    "/led": ("LED", led),
}


def _token(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    wish = ask.json()
    given = (wish.get("user"), wish.get("password")) if isinstance(wish, dict) else None
    if given != machine.credential:
        return json_page(frame(machine, now, "E", "Invalid user or password"))
    token = secrets.token_hex(16)
    machine.sessions = {
        name: at for name, at in machine.sessions.items() if now.now - at < TOKEN_LIFE_S
    }
    machine.sessions[token] = now.now
    row = {"Name": "token", "Token": token, "When": int(now.now)}
    return json_page(frame(machine, now, "S", "Token", Token=[row]))


def page(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """One page of the API; all but `token` want one."""
    if ask.path == "/token" and ask.method == "POST":
        return _token(machine, ask, now)
    since = machine.sessions.get(ask.headers.get("token", ""))
    if since is None or now.now - since >= TOKEN_LIFE_S:
        return json_page(frame(machine, now, "E", "Token expired"), status=HTTPStatus.UNAUTHORIZED)
    if ask.method == "POST":
        return obey(machine, ask.path.removeprefix("/"), ask.json(), now)
    if ask.path not in PAGES:
        return NOT_FOUND
    section, made = PAGES[ask.path]
    return json_page(frame(machine, now, "S", section, **{section: made(machine, now)}))


def front(machine: Machine, ask: Ask, now: Snapshot) -> Page:
    """The web interface of port 80: its front page alone."""
    if ask.path != "/":
        return NOT_FOUND
    return Page(HTTPStatus.OK, b"<html><title>Miner UI</title></html>")


FACE = Face(
    rpc=partial(reply_to, DIALECT),
    web=Web(front, server="nginx"),
    side=Web(page, server="api-server"),
)

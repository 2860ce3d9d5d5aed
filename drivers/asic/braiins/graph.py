"""GraphQL of Braiins OS, from 21.09 up to 25.05: the questions, and their answers. Pure.

Source: recordings of an S9 (22.08) and of S21 (24.09 to 25.05). Rates are in MH/s. An older
build refuses a whole question that holds one field it does not know; then each part is asked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.braiins import parts as braiins_parts
from drivers.asic.braiins.rpc import Extra
from drivers.asic.cgminer import missing
from drivers.asic.fields import (
    Row,
    common,
    highest,
    integer,
    number,
    positive,
    text,
    truth,
)
from drivers.asic.page_parts import (
    BOARDS_LIMIT,
    FANS_LIMIT,
    FAULTS_LIMIT,
    POOLS_LIMIT,
    degrees,
    listed,
    rate,
    section,
    watts,
)
from drivers.model import (
    Board,
    Fan,
    Fault,
    Identity,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
)
from drivers.wire.cgminer import Report

_BOS = "bos { hostname faultLight info { version { full } } uptime { durationS } }"
_RATE = "realHashrate { mhs5S } nominalMhs"
_SYSTEM = f"modelName workSolver {{ {_RATE} }} fans {{ name speed rpm }}"
_POWER = "summary { power { limitW approxConsumptionW } }"
_BOARD = (
    f"name {_RATE} hwDetails {{ chips frequencyMhz voltageV }} temperatures {{ name degreesC }}"
)
_NEW_BOARD = _BOARD.replace("voltageV", "voltageV hbSerialNumber")
_POOL = "url user status active shares { acceptedSolutions rejectedSolutions }"
_POOLS = f"poolGroups {{ name pools {{ {_POOL} }} }}"
_EVENTS = "events { appeals { kind timestamp message } }"


def _info(words: str) -> str:
    return f"bosminer {{ info {{ {words} }} }}"


def _solvers(words: str) -> str:
    return f"workSolver {{ childSolvers {{ {words} }} }}"


WHOLE = f"{{ {_BOS} {_info(f'{_SYSTEM} {_POWER} {_solvers(_NEW_BOARD)} {_POOLS}')} {_EVENTS} }}"
PARTS = {
    "system": f"{{ {_BOS} {_info(f'{_SYSTEM} {_POWER}')} }}",
    "boards": f"{{ {_info(_solvers(_BOARD))} }}",
    "pools": f"{{ {_info(_POOLS)} }}",
    "events": f"{{ {_EVENTS} }}",
}
_MHS = 1e-6
_LIMIT_DEPTH = 8


def merged(one: Any, other: Any, depth: int = _LIMIT_DEPTH) -> Any:
    """Two answers to parts of one question as one answer."""
    if not isinstance(one, dict) or not isinstance(other, dict) or depth <= 0:
        return one if other is None else other
    found = dict(one)
    for key, value in other.items():
        found[key] = merged(found[key], value, depth - 1) if key in found else value
    return found


def parse_identity(data: Any) -> Identity:
    """Who the answer says that it is, without the id: it has no MAC."""
    bos, info = section(data, "bos"), section(data, "bosminer", "info")
    make, model = braiins_parts.make_and_model(text(info.get("modelName")))
    return Identity(
        id="",
        kind=Kind.ASIC,
        make=make,
        model=model,
        firmware=braiins_parts.FIRMWARE,
        firmware_version=common(section(bos, "info", "version").get("full")),
        hostname=text(bos.get("hostname")),
        algorithm=braiins_parts.ALGORITHM,
    )


def reduce(data: Any) -> Extra:
    """What port 4028 does not tell."""
    boards = _boards(data, None)
    return Extra(
        model=parse_identity(data).model,
        locating=truth(section(data, "bos").get("faultLight")),
        serials=tuple((board.index, board.serial) for board in boards if board.serial),
        events=_events(data),
    )


def parse(
    data: Any, device_id: str, taken_at: float, report: Report, model: str | None = None
) -> Sample:
    """Read the answer; `report` names what failed beside it."""
    who = parse_identity(data)
    bos, info = section(data, "bos"), section(data, "bosminer", "info")
    solver, power = section(info, "workSolver"), section(info, "summary", "power")
    model = who.model or model
    boards, pools = _boards(data, model), _pools(info)
    hashrate_ths = rate(section(solver, "realHashrate").get("mhs5S"), _MHS)
    power_w, uptime_s = (
        watts(power.get("approxConsumptionW")),
        number(section(bos, "uptime").get("durationS")),
    )
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=braiins_parts.rated_state(hashrate_ths, uptime_s, pools),
        uptime_s=uptime_s,
        hashrate_ths=hashrate_ths,
        hashrate_nominal_ths=rate(positive(solver.get("nominalMhs")), _MHS),
        power_w=power_w,
        power_source=None if power_w is None else PowerSource.MODELLED,
        power_limit_w=positive(power.get("limitW")),
        mode=_mode(data),
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        locating=truth(bos.get("faultLight")),
        boards=boards,
        fans=braiins_parts.placed_fans(_fans(info), model, boards),
        pools=pools,
        faults=_events(data),
        missing=missing(report),
    )
    words = (who.firmware_version, who.hostname, *(board.serial for board in boards))
    return Sample(reading, braiins_parts.fingerprint(reading, words))


def _mode(data: Any) -> str | None:
    tuning = section(data, "bosminer", "config", "autotuning")
    return braiins_parts.mode_of(tuning.get("mode"))


def _boards(data: Any, model: str | None) -> tuple[Board, ...]:
    solver = section(data, "bosminer", "info", "workSolver")
    chips = braiins_parts.chips_expected(model)
    rows = enumerate(listed(solver.get("childSolvers"), BOARDS_LIMIT))
    return tuple(_board(at, row, chips) for at, row in rows)


def _board(at: int, row: Row, chips: int | None) -> Board:
    details, temps = section(row, "hwDetails"), _temps(row.get("temperatures"))
    return Board(
        index=braiins_parts.board_index(row.get("name"), at),
        serial=text(details.get("hbSerialNumber")),
        hashrate_ths=rate(section(row, "realHashrate").get("mhs5S"), _MHS),
        hashrate_nominal_ths=rate(positive(row.get("nominalMhs")), _MHS),
        chips=integer(details.get("chips")),
        chips_expected=chips,
        board_temp_c=temps.get("board"),
        chip_temp_c=temps.get("chip"),
        inlet_temp_c=temps.get("inlet"),
        outlet_temp_c=temps.get("outlet"),
        voltage_v=positive(details.get("voltageV")),
        frequency_mhz=positive(details.get("frequencyMhz")),
    )


def _temps(found: Any) -> dict[str, float]:
    """By what the sensor's name ends with: `Board`, `Max Board` and `MAX_BOARD` are the same."""
    temps: dict[str, float] = {}
    for row in listed(found, 16):
        name, value = str(row.get("name"))[:32].lower(), degrees(row.get("degreesC"))
        for role in ("board", "chip", "inlet", "outlet"):
            if value is not None and name.endswith(role):
                temps[role] = max(value, temps.get(role, value))
    return temps


def _fans(info: Row) -> list[Fan]:
    found = []
    for at, row in enumerate(listed(info.get("fans"), FANS_LIMIT)):
        index, duty = integer(row.get("name")), number(row.get("speed"))
        found.append(
            Fan(
                at if index is None else index,
                integer(row.get("rpm")),
                duty if duty is not None and 0 <= duty <= 100 else None,
            )
        )
    return found


def _pools(info: Row) -> tuple[Pool, ...]:
    groups = listed(info.get("poolGroups"), POOLS_LIMIT)
    rows = [row for group in groups for row in listed(group.get("pools"), POOLS_LIMIT)]
    return tuple(_pool(row) for row in rows[:POOLS_LIMIT] if row.get("url"))


def _pool(row: Row) -> Pool:
    shares, status = section(row, "shares"), common(row.get("status"))
    return Pool(
        url=common(row.get("url")),
        user=text(row.get("user")),
        status=status.capitalize() if status else None,
        active=truth(row.get("active")),
        accepted=integer(shares.get("acceptedSolutions")),
        rejected=integer(shares.get("rejectedSolutions")),
    )


def _events(data: Any) -> tuple[Fault, ...]:
    """What the firmware wants a person to look at."""
    rows = listed(section(data, "events").get("appeals"), FAULTS_LIMIT)
    found = ((text(row.get("kind")), text(row.get("message"))) for row in rows)
    return tuple(Fault(kind, words or str(kind)) for kind, words in found if words or kind)

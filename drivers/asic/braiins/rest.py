"""A poll of Braiins OS from 25.07 on, by its REST pages under `/api/v1/`. Pure.

Rates are in GH/s, frequencies in Hz; see `braiins_build` for the sources. The water's
temperatures are in builds of 2026 (unverified: as a public client reads them).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.braiins import parts as braiins_parts
from drivers.asic.braiins.build import (
    BOARDS,
    CONSTRAINTS,
    COOLING,
    ERRORS,
    LOCATE,
    POOLS,
    SETTINGS,
    STATS,
    TUNER,
    Tuning,
    parse_identity,
    status_of,
    uptime_of,
    words_of,
)
from drivers.asic.cgminer import missing
from drivers.asic.fields import Row, highest, integer, number, positive, scaled, text
from drivers.asic.page_parts import (
    BOARDS_LIMIT,
    FANS_LIMIT,
    FAULTS_LIMIT,
    degrees,
    listed,
    rate,
    section,
    watts,
)
from drivers.errors import Refused
from drivers.model import (
    Board,
    Fan,
    Fault,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
    State,
)
from drivers.wire.cgminer import Report

_GHS = 1e-3
NO_PROGRAM = 412
_CHIP = (1, "SENSOR_LOCATION_CHIP")
_OLD_S = 86_400.0
"""Of a machine that does not say when its program started: how old an error may be."""


def parse(
    details: Any,
    report: Report,
    device_id: str,
    taken_at: float,
    slow: Mapping[str, Any],
    slow_at: Mapping[str, float],
) -> Sample:
    """Read `miner/details`, the other pages of a poll, and what was kept of the slow ones."""
    row, stats = section(details), section(report.replies.get(STATS))
    rated, shares = section(stats, "miner_stats"), section(stats, "pool_stats")
    power = section(stats, "power_stats")
    model = parse_identity(row, device_id).model
    boards = _boards(section(report.replies.get(BOARDS)).get("hashboards"), model)
    cooling, water = section(report.replies.get(COOLING)), _water(report.replies.get(BOARDS))
    pools, tuning = slow.get(POOLS, ()), slow.get(TUNER, Tuning())
    hashrate_ths, power_w = _now(rated), watts(_watt(power.get("approximated_consumption")))
    lowest_w, highest_w = slow.get(CONSTRAINTS, (None, None))
    faults = _faults(row, tuning, slow.get(ERRORS, ()), taken_at)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=_state(row, report, hashrate_ths, pools),
        uptime_s=uptime_of(row),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=_ghs(section(rated, "real_hashrate").get("since_restart")),
        hashrate_nominal_ths=_nominal(rated, row),
        power_w=power_w,
        power_source=None if power_w is None else PowerSource.MODELLED,
        power_limit_w=tuning.limit_w,
        power_limit_min_w=lowest_w,
        power_limit_max_w=highest_w,
        efficiency_j_th=positive(section(power, "efficiency").get("joule_per_terahash")),
        mode=tuning.mode,
        temp_target_c=slow.get(SETTINGS),
        inlet_temp_c=water[0],
        outlet_temp_c=water[1],
        chip_temp_max_c=_hottest(cooling, boards),
        shares_accepted=integer(shares.get("accepted_shares")),
        shares_rejected=integer(shares.get("rejected_shares")),
        shares_stale=integer(shares.get("stale_shares")),
        locating=slow.get(LOCATE),
        boards=boards,
        fans=braiins_parts.placed_fans(_fans(cooling), model, boards),
        pools=pools,
        pools_at=_before(slow_at.get(POOLS), taken_at),
        faults=faults,
        missing=missing(report),
    )
    return Sample(reading, braiins_parts.fingerprint(reading, words_of(row)))


def _watt(value: Any) -> Any:
    return section(value).get("watt")


def _ghs(value: Any) -> float | None:
    return rate(section(value).get("gigahash_per_second"), _GHS)


def _now(rated: Row) -> float | None:
    real = section(rated, "real_hashrate")
    found = _ghs(real.get("last_5s"))
    return _ghs(real.get("last_15s")) if found is None else found


def _nominal(rated: Row, details: Row) -> float | None:
    """What the tuner holds for reachable; while it does not hash, what is on the sticker."""
    return _ghs(rated.get("nominal_hashrate")) or _ghs(details.get("sticker_hashrate"))


def _before(at: float | None, now: float) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at is not None and at != now else None


def _state(
    details: Row, report: Report, hashrate_ths: float | None, pools: tuple[Pool, ...]
) -> State:
    """From the machine's own word; `normal` says that the program runs, not that it hashes."""
    status, uptime_s = status_of(details), uptime_of(details)
    if status == "paused":
        return State.SLEEPING
    if status == "not started" or _is_down(report):
        young = uptime_s is not None and uptime_s < parts.STARTING_S
        return State.STARTING if young else State.SLEEPING  # `actions/stop` does that
    found = parts.mining_state(hashrate_ths, number(details.get("bosminer_uptime_s")), pools)
    if found in (State.FAULT, State.UNKNOWN) and status in ("suspended", "restricted"):
        return State.FAULT
    return found


def _is_down(report: Report) -> bool:
    """True where the program that the page is about does not run (the vendor's own client)."""
    error = report.errors.get(STATS)
    return isinstance(error, Refused) and error.code == NO_PROGRAM


def _faults(details: Row, tuning: Tuning, log: tuple[Fault, ...], now: float) -> tuple[Fault, ...]:
    """What holds now: entries of the log from before the program started are history.

    Clocks without a time server stand in 2015, so they are history too.
    """
    running_s = number(details.get("bosminer_uptime_s"))
    since = now - (running_s if running_s else _OLD_S) - 60.0
    found = [fault for fault in log if fault.at is None or fault.at.timestamp() >= since]
    status = status_of(details)
    if status in ("suspended", "restricted"):
        found.append(Fault(status, f"the firmware says that the miner is {status}"))
    if tuning.state == "error":
        found.append(Fault("tuner", "the tuner reports an error"))
    return tuple(found[-FAULTS_LIMIT:])


def _hottest(cooling: Row, boards: tuple[Board, ...]) -> float | None:
    sensor = section(cooling, "highest_temperature")
    at_chip = sensor.get("location") in _CHIP
    told = degrees(section(sensor, "temperature").get("degree_c")) if at_chip else None
    return highest((told, *(board.chip_temp_c for board in boards)))


# --- boards and fans ---------------------------------------------------------------------------


def _boards(found: Any, model: str | None) -> tuple[Board, ...]:
    chips = braiins_parts.chips_expected(model)
    rows = enumerate(listed(found, BOARDS_LIMIT))
    return tuple(_board(at, row, chips) for at, row in rows)


def _board(at: int, row: Row, chips: int | None) -> Board:
    stats, hertz = section(row, "stats"), positive(section(row, "current_frequency").get("hertz"))
    return Board(
        index=braiins_parts.board_index(row.get("id"), at),
        serial=text(row.get("serial_number")),
        hashrate_ths=_now(stats),
        hashrate_nominal_ths=_ghs(stats.get("nominal_hashrate")),
        chips=integer(row.get("chips_count")),
        chips_expected=chips,
        board_temp_c=_degree(row.get("board_temp")),
        chip_temp_c=_degree(section(row, "highest_chip_temp").get("temperature")),
        inlet_temp_c=_degree(row.get("lowest_inlet_temp")),
        outlet_temp_c=_degree(row.get("highest_outlet_temp")),
        voltage_v=positive(section(row, "current_voltage").get("volt")),
        frequency_mhz=scaled(hertz, 1e-6),
    )


def _degree(value: Any) -> float | None:
    return degrees(section(value).get("degree_c"))


def _water(page: Any) -> tuple[float | None, float | None]:
    """The coldest inlet and the hottest outlet of the water, on machines that it cools."""
    rows = listed(section(page).get("hashboards"), BOARDS_LIMIT)
    comes = [_degree(row.get("lowest_water_inlet_temp")) for row in rows]
    goes = [_degree(row.get("highest_water_outlet_temp")) for row in rows]
    return min((each for each in comes if each is not None), default=None), highest(goes)


def _fans(cooling: Row) -> list[Fan]:
    found = []
    for at, row in enumerate(listed(cooling.get("fans"), FANS_LIMIT)):
        index, ratio = integer(row.get("position")), number(row.get("target_speed_ratio"))
        duty = round(ratio * 100, 3) if ratio is not None and 0 <= ratio <= 1 else None
        found.append(Fan(at if index is None else index, integer(row.get("rpm")), duty))
    return found

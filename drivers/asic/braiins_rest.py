"""The REST pages of Braiins OS from 25.07 on, under `/api/v1/`. Pure.

Source: the vendor's OpenAPI document and the proto files that it mirrors; a recorded S19 XP of
25.07. Rates are in GH/s, frequencies in Hz. Enumerations are numbers here; names, as gRPC's JSON
has them, are read too. The water's temperatures are in builds of 2026 (unverified).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from drivers.asic import braiins_parts, parts
from drivers.asic.cgminer import missing
from drivers.asic.fields import (
    Row,
    common,
    highest,
    integer,
    mac,
    miner_id,
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
    State,
)
from drivers.wire.cgminer import Report

DETAILS, STATS, BOARDS = "miner/details", "miner/stats", "miner/hw/hashboards"
COOLING, POOLS, ERRORS = "cooling/state", "pools", "miner/errors"
TUNER, CONSTRAINTS, LOCATE = "performance/tuner-state", "configuration/constraints", "actions/locate"
_GHS = 1e-3
_STATUSES = ("unspecified", "not started", "normal", "paused", "suspended", "restricted")
_TUNERS = ("unspecified", "disabled", "stable", "tuning", "error", "continuous", "preheat")
"""The last two came in 2026; their numbers are as public clients have them."""
_CHIP = (1, "SENSOR_LOCATION_CHIP")
_OLD_S = 86_400.0
"""Of a machine that does not say when its program started: how old an error may be."""


class Tuning(NamedTuple):
    """What the tuner works towards."""

    state: str | None = None
    mode: str | None = None
    limit_w: float | None = None


def word_of(value: Any, names: tuple[str, ...], prefix: str) -> str | None:
    """The name of an enumeration's member, given as number or as name."""
    found = integer(value) if not isinstance(value, str) or value.isdecimal() else None
    if found is not None:
        return names[found] if 0 <= found < len(names) else f"{found}"
    words = common(value)
    return words.lower().removeprefix(prefix).replace("_", " ") if words else None


def status_of(details: Row) -> str | None:
    """What the machine says it does: `normal`, `paused` and so on."""
    return word_of(details.get("status"), _STATUSES, "miner_status_")


def words_of(details: Any) -> tuple[str, ...]:
    """What the machine calls itself."""
    row = section(details)
    found = (row.get("mac_address"), row.get("uid"), section(row, "bos_version").get("current"))
    return tuple(words for words in map(text, found) if words)


def uptime_of(details: Any) -> float | None:
    """How long the machine has been up."""
    row = section(details)
    found = number(row.get("system_uptime_s"))
    return number(row.get("system_uptime")) if found is None else found


def parse_identity(details: Any, provisional_id: str) -> Identity:
    """Who `miner/details` says that it is."""
    row, who = section(details), section(details, "miner_identity")
    make, model = braiins_parts.make_and_model(text(who.get("name")) or text(who.get("miner_model")))
    address, serial = mac(row.get("mac_address")), text(row.get("serial_number"))
    return Identity(
        id=miner_id(address, serial or text(row.get("uid")), provisional_id),
        kind=Kind.ASIC,
        make=make,
        model=model,
        firmware=braiins_parts.FIRMWARE,
        firmware_version=common(section(row, "bos_version").get("current")),
        serial=serial,
        mac=address,
        hostname=text(row.get("hostname")),
        algorithm=braiins_parts.ALGORITHM,
    )


# --- pages that are read now and then ----------------------------------------------------------


def reduce_pools(page: Any) -> tuple[Pool, ...]:
    """The pools of all groups: every group has one that works are from."""
    groups = page if isinstance(page, list) else section(page).get("pool_groups")
    rows = [row for group in listed(groups, POOLS_LIMIT) for row in listed(group.get("pools"), 16)]
    return tuple(_pool(row) for row in rows[:POOLS_LIMIT] if row.get("url"))


def _pool(row: Row) -> Pool:
    stats, alive = section(row, "stats"), truth(row.get("alive"))
    status = None if alive is None else "Alive" if alive else "Dead"
    return Pool(
        url=common(row.get("url")),
        user=text(row.get("user")),
        status="Disabled" if truth(row.get("enabled")) is False else status,
        active=truth(row.get("active")),
        accepted=integer(stats.get("accepted_shares")),
        rejected=integer(stats.get("rejected_shares")),
        stale=integer(stats.get("stale_shares")),
    )


def reduce_errors(page: Any) -> tuple[Fault, ...]:
    """The newest entries of the log of errors."""
    found = section(page).get("errors") if isinstance(page, dict) else page
    rows = listed(found[-FAULTS_LIMIT:], FAULTS_LIMIT) if isinstance(found, list) else []
    return tuple(fault for row in rows if (fault := _fault(row)))


def _fault(row: Row) -> Fault | None:
    reason = next(iter(listed(row.get("error_codes"), 4)), {})
    message = text(row.get("message")) or text(reason.get("reason"))
    if message is None:
        return None
    return Fault(text(reason.get("code")), message, _moment(row.get("timestamp")))


def _moment(value: Any) -> datetime | None:
    """RFC 3339 with its zone, as `2026-04-08T08:03:18.155033Z`."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None


def reduce_tuner(page: Any) -> Tuning:
    """State and target of the tuner; the target after a power scaling is the current one."""
    modes = section(page, "mode_state")
    name = next((key for key in modes if isinstance(modes[key], dict)), None)
    target = section(modes, name, "current_target") if name else {}
    state = word_of(section(page).get("overall_tuner_state"), _TUNERS, "tuner_state_")
    return Tuning(state, braiins_parts.mode_of(name), positive(target.get("watt")))


def reduce_constraints(page: Any) -> tuple[float | None, float | None]:
    """The lowest and the highest power target."""
    found = section(page, "tuner_constraints", "power_target")
    return positive(section(found, "min").get("watt")), positive(section(found, "max").get("watt"))


def reduce_locate(page: Any) -> bool | None:
    """The page is a bare `true` or `false`."""
    return truth(page)


# --- a poll ------------------------------------------------------------------------------------


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
        state=_state(row, hashrate_ths, pools),
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


def _state(details: Row, hashrate_ths: float | None, pools: tuple[Pool, ...]) -> State:
    """From the machine's own word; `normal` says that the program runs, not that it hashes."""
    status, uptime_s = status_of(details), uptime_of(details)
    if status == "paused":
        return State.SLEEPING
    if status == "not started":
        young = uptime_s is not None and uptime_s < parts.STARTING_S
        return State.STARTING if young else State.SLEEPING  # `actions/stop` does that
    found = parts.mining_state(hashrate_ths, number(details.get("bosminer_uptime_s")), pools)
    if found in (State.FAULT, State.UNKNOWN) and status in ("suspended", "restricted"):
        return State.FAULT
    return found


def _faults(
    details: Row, tuning: Tuning, log: tuple[Fault, ...], now: float
) -> tuple[Fault, ...]:
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
    stats, hertz = section(row, "stats"), section(row, "current_frequency").get("hertz")
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
        frequency_mhz=braiins_parts.megahertz(hertz),
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

"""What a Proto Rig answers: mining, telemetry, pools, cooling, errors. Pure.

Source: the maker's OpenAPI document (MDK API). Telemetry gives every figure with its unit;
`mining` has GH/s. Power supplies measure what goes in and what comes out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drivers.asic.cgminer import missing
from drivers.asic.fields import Row, common, first, highest, integer, number, positive, text
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
from drivers.asic.parts import total
from drivers.asic.proto.build import Rig, Slot
from drivers.model import (
    Board,
    Fan,
    Fault,
    Fingerprint,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
    State,
)
from drivers.wire.cgminer import Report

GHS = 1e-3
_SUPPLIES_LIMIT = 8
_CHIPS_LIMIT = 1024
_SCALES = {"H/s": 1e-12, "MH/s": 1e-6, "GH/s": GHS, "TH/s": 1.0, "PH/s": 1e3, "kW": 1e3, "mV": 1e-3}
"""The document knows TH/s, W and V; the others cost nothing."""
_STATES = {
    "Uninitialized": State.STARTING,
    "PoweringOn": State.STARTING,
    "Mining": State.MINING,
    "DegradedMining": State.MINING,
    "PoweringOff": State.SLEEPING,
    "Stopped": State.SLEEPING,
    "Curtailed": State.SLEEPING,
    "NoPools": State.IDLE,
    "Error": State.FAULT,
}
_NO_RIG = Rig()


def words_of(report: Report) -> tuple[tuple[str, ...], float | None]:
    """What a rig shows of itself in every poll, the serials of its boards, and its uptime."""
    boards = listed(section(report.replies.get("telemetry")).get("hashboards"), BOARDS_LIMIT)
    serials = tuple(text(row.get("serial_number")) or "" for row in boards)
    return serials, _uptime(_mining(report))


def _mining(report: Report) -> Row:
    return section(report.replies.get("mining"), "mining-status")


def _uptime(mining: Row) -> float | None:
    return number(first(mining, ("reboot_uptime_s", "mining_uptime_s")))


def parse(report: Report, device_id: str, taken_at: float, rig: Rig | None = None) -> Sample:
    """Read what the pages brought, whichever of them did, with what is known of the rig."""
    rig = rig or _NO_RIG
    mining = _mining(report)
    telemetry = section(report.replies.get("telemetry"))
    miner = section(telemetry, "miner")
    boards = _boards(telemetry, rig)
    pools = _pools(report.replies.get("pools"))
    word = text(mining.get("status"))
    hashrate_ths = _hashrate(mining, miner, boards)
    power_w, output_w, source = _power(mining, telemetry)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=_state(word, hashrate_ths),
        mode=rig.mode,
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=rate(mining.get("average_hashrate_ghs"), GHS),
        hashrate_nominal_ths=rate(positive(mining.get("ideal_hashrate_ghs")), GHS),
        power_w=power_w,
        power_source=source,
        power_output_w=output_w,
        power_limit_w=positive(mining.get("power_target_watts")) or rig.limit_w,
        power_limit_min_w=rig.limit_min_w,
        power_limit_max_w=rig.limit_max_w,
        efficiency_j_th=positive(mining.get("power_efficiency_jth")),
        uptime_s=_uptime(mining),
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=total(pools, "accepted"),
        shares_rejected=total(pools, "rejected"),
        hw_errors=integer(mining.get("hw_errors")),
        boards=boards,
        fans=_fans(report.replies.get("cooling")),
        pools=pools,
        faults=_faults(report.replies.get("errors"), mining, boards),
        missing=missing(report),
    )
    return Sample(reading, _fingerprint(report, reading))


def _state(word: str | None, hashrate_ths: float | None) -> State:
    """By the rig's own word; without one, a rate above 0 still tells."""
    if word is None or word not in _STATES:
        return State.MINING if hashrate_ths else State.UNKNOWN
    return _STATES[word]


def _metric(holder: Row, name: str) -> float | None:
    """A figure with its unit, `{"value": 36.4, "unit": "TH/s"}`, in TH/s, W, V or as it is."""
    found = section(holder, name)
    scale = _SCALES.get(text(found.get("unit")) or "", 1.0)
    return rate(found.get("value"), scale)


def _hashrate(mining: Row, miner: Row, boards: tuple[Board, ...]) -> float | None:
    for found in (_metric(miner, "hashrate"), rate(mining.get("hashrate_ghs"), GHS)):
        if found is not None:
            return found
    rates = [board.hashrate_ths for board in boards if board.hashrate_ths is not None]
    return rate(sum(rates), 1) if rates else None


def _power(mining: Row, telemetry: Row) -> tuple[float | None, float | None, PowerSource | None]:
    """Watts in, watts out, and where they come from: the supplies measure, where all of them do."""
    supplies = [section(row, "power") for row in listed(telemetry.get("psus"), _SUPPLIES_LIMIT)]
    inputs = [found for row in supplies if (found := watts(row.get("input"))) is not None]
    outputs = [found for row in supplies if (found := watts(row.get("output"))) is not None]
    whole = bool(supplies) and len(inputs) == len(supplies)
    output_w = sum(outputs) if supplies and len(outputs) == len(supplies) else None
    if whole:
        return watts(sum(inputs)), watts(output_w), PowerSource.METERED
    power_w = _metric(section(telemetry, "miner"), "power")
    if power_w is None:
        power_w = watts(mining.get("power_usage_watts"))
    return power_w, watts(output_w), None if power_w is None else PowerSource.REPORTED


def _boards(telemetry: Row, rig: Rig) -> tuple[Board, ...]:
    """The boards in their slots; a board without telemetry is one that does not answer."""
    rows = listed(telemetry.get("hashboards"), BOARDS_LIMIT)
    by_serial = {serial: row for row in rows if (serial := text(row.get("serial_number")))}
    by_index = {integer(row.get("index")): row for row in rows}
    found, used = [], []
    for slot in rig.slots:
        # The index counts from 0, slots from 1; serials decide where both pages have them.
        row = by_serial.get(slot.serial) if slot.serial in by_serial else None
        if row is None and not (slot.serial and by_serial):
            row = by_index.get(slot.slot - 1)
        used.append(row)
        found.append(_board(slot, row or {}))
    for at, row in enumerate(rows):
        if not any(row is each for each in used):
            index = integer(row.get("index"))
            found.append(_board(Slot((at if index is None else index) + 1, None, None), row))
    return tuple(sorted(found, key=lambda board: board.index)[:BOARDS_LIMIT])


def _board(slot: Slot, row: Row) -> Board:
    temps, chips = section(row, "temperature"), section(row, "asics")
    inlet_c, outlet_c = degrees(temps.get("inlet")), degrees(temps.get("outlet"))
    rates = section(chips, "hashrate").get("values")
    heats = section(chips, "temperature").get("values")
    return Board(
        index=slot.slot,
        serial=slot.serial or text(row.get("serial_number")),
        hashrate_ths=_metric(row, "hashrate"),
        chips=_answering(rates),
        chips_expected=slot.chips,
        board_temp_c=highest((inlet_c, outlet_c, degrees(temps.get("average")))),
        chip_temp_c=highest(map(degrees, heats[:_CHIPS_LIMIT]))
        if isinstance(heats, list)
        else None,
        inlet_temp_c=inlet_c,
        outlet_temp_c=outlet_c,
        voltage_v=_metric(row, "voltage"),
    )


def _answering(rates: Any) -> int | None:
    """Chips with a rate, where the level `asic` was asked for."""
    if not isinstance(rates, list):
        return None
    return sum(1 for each in rates[:_CHIPS_LIMIT] if positive(each))


def _fans(cooling: Any) -> tuple[Fan, ...]:
    rows = listed(section(cooling, "cooling-status").get("fans"), FANS_LIMIT)
    return tuple(_fan(at, row) for at, row in enumerate(rows, 1))


def _fan(at: int, row: Row) -> Fan:
    slot = integer(row.get("slot"))
    duty = number(first(row, ("percentage", "speed_percentage")))
    return Fan(at if slot is None else slot, integer(row.get("rpm")), duty)


def _pools(page: Any) -> tuple[Pool, ...]:
    """In the order of their priority."""
    rows = listed(page if isinstance(page, list) else section(page).get("pools"), POOLS_LIMIT)
    ranked = sorted(rows, key=lambda row: number(first(row, ("priority", "id"))) or 0.0)
    return tuple(_pool(row) for row in ranked if text(row.get("url")))


def _pool(row: Row) -> Pool:
    status = common(first(row, ("status", "connection_status")))
    return Pool(
        url=common(row.get("url")),
        user=text(first(row, ("user", "username"))),
        status=status,
        active=None if status in {None, "Unknown"} else status == "Active",
        # The document says `accepted`, the maker's simulator `accepted_shares`.
        accepted=integer(first(row, ("accepted", "accepted_shares"))),
        rejected=integer(first(row, ("rejected", "rejected_shares"))),
    )


def _faults(errors: Any, mining: Row, boards: tuple[Board, ...]) -> tuple[Fault, ...]:
    rows = listed(errors if isinstance(errors, list) else section(errors).get("errors"), 1024)
    found = [_fault(row) for row in rows[:FAULTS_LIMIT]]
    hashing, present = (
        integer(mining.get("hashboards_mining")),
        integer(mining.get("hashboards_installed")),
    )
    word = text(mining.get("status"))
    if word == "DegradedMining":
        found.append(Fault(word, "the rig says that it mines below what it could"))
    if _state(word, None) is State.MINING:
        if hashing is not None and present is not None and hashing < present:
            found.append(Fault(None, f"{hashing} of {present} boards mine"))
        dark = [board for board in boards if board.chips_expected and board.hashrate_ths is None]
        # A whole page of telemetry is missing where no board has any.
        if len(dark) < len(boards):
            found += [Fault(None, f"board {board.index} gives no telemetry") for board in dark]
    return tuple(found[:FAULTS_LIMIT])


def _fault(row: Row) -> Fault:
    """The rig's words, with the part that they are about."""
    code = text(first(row, ("error_code", "code")))
    words = text(row.get("message")) or code or "an error without words"
    source, slot = text(row.get("source")), integer(row.get("slot"))
    place = " ".join(str(word) for word in (source, slot) if word is not None)
    return Fault(code, f"{place}: {words}"[:256] if place else words, _moment(row.get("timestamp")))


def _moment(value: Any) -> datetime | None:
    """Seconds since the epoch; the maker's simulator sends RFC 3339."""
    seconds = positive(value) if not isinstance(value, str) or value.isdecimal() else None
    try:
        if seconds is not None:
            return datetime.fromtimestamp(seconds, UTC)
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return found.astimezone(UTC) if found is not None and found.tzinfo else None
    except (ValueError, OverflowError, OSError):
        return None


def _fingerprint(report: Report, reading: MinerReading) -> Fingerprint:
    serials, uptime_s = words_of(report)
    users = (pool.user or "" for pool in reading.pools[:1])
    return Fingerprint(
        traits=(*serials, *users),
        uptime_s=uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )

"""MARA firmware's pages under `/kaonsu/v1/`. Pure; all of it unverified on a machine of ours.

No vendor document is public and no recording is at hand: keys and units are those on which public
clients agree, who have read S19, S21 and KS5 Pro. Rates carry a unit beside them on newer builds
(`hashrate_unit`, `hashrate_average_unit`). Without one `hashrate_ideal` and the boards' averages
are GH/s; the machine's own rate is taken for TH/s by one reader and for GH/s by another, so the
ideal rate decides. `temperature_max` is neither the chips' nor the boards' (75 and 70 degrees
were reported beside a maximum of 60), so it is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.cgminer import missing
from drivers.asic.fields import Row, first, highest, integer, number, positive, scaled, text
from drivers.asic.mara.pages import (
    BOARDS,
    BRIEF,
    CONFIG,
    DETAILS,
    EVENTS,
    FANS,
    LOCATE,
    POOLS,
    Config,
    Hardware,
    index_of,
    payload,
    rate_of,
)
from drivers.asic.models import known
from drivers.asic.page_parts import (
    BOARDS_LIMIT,
    FANS_LIMIT,
    FAULTS_LIMIT,
    degrees,
    listed,
    section,
    watts,
)
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

_FAR = 10.0
"""No machine runs at this many times its ideal rate: its unit is another then."""
_WORDS: tuple[tuple[str, State], ...] = (
    ("sleep", State.SLEEPING),
    ("pause", State.SLEEPING),
    ("curtail", State.SLEEPING),
    ("suspend", State.SLEEPING),
    ("stop", State.SLEEPING),
    ("idle", State.IDLE),
    ("fail", State.FAULT),
    ("fatal", State.FAULT),
    ("critical", State.FAULT),
    ("init", State.STARTING),
    ("start", State.STARTING),
    ("boot", State.STARTING),
    ("warm", State.STARTING),
    ("ramp", State.STARTING),
    ("tuning", State.STARTING),
)


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    slow: Mapping[str, Any],
    slow_at: Mapping[str, float],
    model: str | None = None,
) -> Sample:
    """Read the pages of a poll, and what was kept of the slow ones."""
    brief = section(payload(report.replies.get(BRIEF)))
    page = section(payload(report.replies.get(BOARDS)))
    rows, unit = listed(page.get("hashboards"), BOARDS_LIMIT), text(brief.get("hashrate_unit"))
    boards = _boards(rows, text(page.get("hashrate_unit")) or unit, slow.get(DETAILS, {}), model)
    pools, config = slow.get(POOLS, ()), slow.get(CONFIG, Config())
    hashrate_ths, nominal_ths = _now(brief), rate_of(brief, "hashrate_ideal", None, "GH")
    power_w, uptime_s = (
        watts(brief.get("power_consumption_estimated")),
        number(brief.get("elapsed")),
    )
    mode = text(brief.get("work_mode")) or config.mode
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=_state(brief, config, hashrate_ths, pools),
        uptime_s=uptime_s,
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=_of_machine(brief, "hashrate_average"),
        hashrate_nominal_ths=nominal_ths if nominal_ths else None,
        power_w=power_w,
        power_source=None if power_w is None else _source(brief),
        power_limit_w=config.limit_w,
        mode=mode.lower() if mode else None,
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        locating=slow.get(LOCATE),
        boards=boards,
        fans=_fans(report.replies.get(FANS)),
        pools=pools,
        pools_at=_before(slow_at.get(POOLS), taken_at),
        faults=(*_faults(brief, rows), *slow.get(EVENTS, ()))[:FAULTS_LIMIT],
        missing=missing(report),
    )
    return Sample(reading, _fingerprint(reading))


def words_of(report: Report) -> tuple[str, ...]:
    """The boards' serials, which a running machine keeps."""
    rows = listed(section(payload(report.replies.get(BOARDS))).get("hashboards"), BOARDS_LIMIT)
    return tuple(serial for row in rows if (serial := text(row.get("serial_number"))))


def uptime_of(report: Report) -> float | None:
    """How long it has been running."""
    return number(section(payload(report.replies.get(BRIEF))).get("elapsed"))


def _before(at: float | None, now: float) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at is not None and at != now else None


def _source(brief: Row) -> PowerSource:
    """`power_source` is `PSU` or `EST`; both stand beside a figure that is called estimated."""
    reported = str(brief.get("power_source")).upper() == "PSU"
    return PowerSource.REPORTED if reported else PowerSource.MODELLED


def _state(
    brief: Row, config: Config, hashrate_ths: float | None, pools: tuple[Pool, ...]
) -> State:
    status = (text(brief.get("status")) or "").lower()
    mode = (text(brief.get("work_mode")) or config.mode or "").lower()
    if "sleep" in mode and not hashrate_ths:
        return State.SLEEPING
    told = next((state for word, state in _WORDS if word in status), None)
    if told is not None:
        return told
    found = parts.mining_state(hashrate_ths, number(brief.get("elapsed")), pools)
    if status == "mining":
        return State.MINING if hashrate_ths is None else found
    return State.UNKNOWN if found is State.FAULT else found


def _faults(brief: Row, rows: list[dict[str, Any]]) -> list[Fault]:
    """What the machine and its boards say of themselves in words of failure."""
    found = []
    named = [("", brief), *((f"board {index_of(row, at)}: ", row) for at, row in enumerate(rows))]
    for name, row in named:
        status = text(row.get("status")) or ""
        if any(word in status.lower() for word in ("fail", "fatal", "critical", "error")):
            reason = text(first(row, ("status_long", "description", "indicator_long")))
            found.append(Fault(status, f"{name}{reason or status}"[:300]))
    return found


def _fingerprint(reading: MinerReading) -> Fingerprint:
    serials = tuple(board.serial for board in reading.boards if board.serial)
    return Fingerprint(traits=serials, uptime_s=reading.uptime_s)


# --- rates -------------------------------------------------------------------------------------


def _now(brief: Row) -> float | None:
    keys = ("hashrate_realtime", "hashrate_realtime_10m")
    return next((_of_machine(brief, key) for key in keys if key in brief), None)


def _of_machine(brief: Row, key: str) -> float | None:
    unit = text(brief.get("hashrate_unit"))
    found = rate_of(brief, key, unit, "TH")
    if found is None or unit is not None or f"{key}_unit" in brief:
        return found
    ideal = rate_of(brief, "hashrate_ideal", None, "GH")
    return scaled(found, 1e-3) if ideal and found > _FAR * ideal else found


# --- boards and fans ---------------------------------------------------------------------------


def _boards(
    rows: list[dict[str, Any]],
    unit: str | None,
    hardware: Mapping[int, Hardware],
    model: str | None,
) -> tuple[Board, ...]:
    row = known(model)
    chips = row.chips if row else None
    return tuple(_board(at, row, unit, hardware, chips) for at, row in enumerate(rows))


def _board(
    at: int, row: Row, unit: str | None, hardware: Mapping[int, Hardware], chips: int | None
) -> Board:
    index = index_of(row, at)
    more, expected = hardware.get(index, Hardware()), positive(row.get("asic_num_ideal"))
    recent = rate_of(row, "hashrate_realtime_10m", text(row.get("hashrate_unit")) or unit, "TH")
    average = rate_of(row, "hashrate_average", text(row.get("hashrate_unit")), "GH")
    return Board(
        index=index,
        serial=text(row.get("serial_number")),
        hashrate_ths=recent if "hashrate_realtime_10m" in row else average,
        hashrate_nominal_ths=more.nominal_ths,
        chips=integer(row.get("asic_num")),
        chips_expected=int(expected) if expected else chips,
        board_temp_c=_hottest(row.get("temperature_pcb")),
        chip_temp_c=_hottest(row.get("temperature_chip")),
        voltage_v=more.voltage_v,
        frequency_mhz=more.frequency_mhz,
    )


def _hottest(value: Any) -> float | None:
    """The highest of a list or an object of sensors, or of one."""
    if isinstance(value, dict):
        value = list(value.values())
    sensors = value[:64] if isinstance(value, list) else [value]
    return highest(degrees(sensor) for sensor in sensors)


def _fans(page: Any) -> tuple[Fan, ...]:
    found = payload(page)
    rows = first(found, ("fans", "fan")) if isinstance(found, dict) else found
    if not isinstance(rows, list):
        return ()
    return tuple(_fan(at, row) for at, row in enumerate(rows[:FANS_LIMIT]))


def _fan(at: int, row: Any) -> Fan:
    told = first(row, ("current_speed", "rpm", "speed")) if isinstance(row, dict) else row
    rpm = integer(told)
    return Fan(at, rpm if rpm is not None and rpm >= 0 else None)

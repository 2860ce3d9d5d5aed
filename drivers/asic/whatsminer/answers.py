"""What a Whatsminer's answers on port 4028 say of it (APIs 1 and 2): pure reading."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from drivers.asic import parts
from drivers.asic.cgminer import missing
from drivers.asic.cgminer import parse as parse_classic
from drivers.asic.fields import (
    THS_PER,
    Row,
    common,
    first,
    highest,
    integer,
    number,
    positive,
    scaled,
    text,
)
from drivers.asic.kept import Kept
from drivers.asic.whatsminer.shapes import board_rows, is_off, summary_of, supply_power_w, words_of
from drivers.asic.whatsminer.types import (
    FAULTS_LIMIT,
    Doing,
    Whole,
    faults_of,
    flag,
    hurts,
    of_a_fan,
    silent_boards,
    state_of,
    whole,
    with_missing,
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
from drivers.wire.cgminer import Report, rows

Pools = Kept[tuple[Pool, ...]]

# From the shortest window to the longest. `HS RT` is the mean of 5 minutes on API 1 and 2.0, of
# one on 2.2: in recordings it has all the digits of `MHS 5m`, and of `MHS 1m`.
_NOW = ("MHS 5s", "MHS 1m", "HS RT", "MHS 5m", "MHS 15m")
_AVERAGE = ("MHS av",)
_MEGA, _GIGA = THS_PER["MHS"], THS_PER["GHS"]
_NO_MACHINE_THS = 5000.0
"""More than any machine makes; the same figure in MH/s is less than a single chip's."""
_ERROR_KEYS = tuple(f"Error Code {at}" for at in range(64))


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked apart from the poll, some of it a while ago."""

    status: dict[str, Any] = {}
    """`status`, whose word on being off counts where the machine does not hash."""
    fresh: bool = False
    """Whether `status` was asked in this poll."""
    errors: Any = None
    """The list of `get_error_code`."""
    supply: dict[str, Any] = {}
    """`get_psu`, asked in this poll."""
    metered: bool = False
    """Whether the summary's power was the supply's own measurement when both were read."""
    info: dict[str, Any] = {}
    """`get_miner_info`."""
    model: str | None = None
    """What `identify` found."""


NOTHING = Seen()


# --- reading


def rate_now(summary: Row) -> float | None:
    """The machine's rate in TH/s, over the shortest window that it reports."""
    return _rate(summary, _NOW)


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    seen: Seen = NOTHING,
    earlier: Pools | None = None,
) -> Sample:
    """Read a poll, with what was asked apart from it; without a summary, what the rest tells."""
    summary, found = summary_of(report), board_rows(report)
    if not summary and not seen.status:
        return parse_classic(report, device_id, taken_at)
    now_ths, uptime_s = _rate(summary, _NOW), _uptime_s(summary)
    boards = _boards(found, summary, whole(seen.model))
    pools = (
        earlier.value if earlier else parts.pools(rows(report.replies.get("pools", {}), "POOLS"))
    )
    told = faults_of(*_codes(summary), seen.errors)
    silent = silent_boards(boards) if now_ths else ()
    power_w, source = _power(summary, seen)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=_state(summary, found, boards, pools, told, seen),
        mode=_mode(summary, seen.status),
        hashrate_ths=now_ths,
        hashrate_avg_ths=_rate(summary, _AVERAGE),
        hashrate_nominal_ths=_nominal(summary),
        power_w=power_w,
        power_source=source,
        power_limit_w=positive(summary.get("Power Limit"))
        or positive(seen.status.get("power_limit_set")),
        efficiency_j_th=positive(summary.get("Power Rate")),
        uptime_s=uptime_s,
        # Of liquid-cooled machines the manuals do not say where it is measured (unverified).
        inlet_temp_c=positive(summary.get("Env Temp")),
        chip_temp_max_c=positive(summary.get("Chip Temp Max"))
        or highest(board.chip_temp_c for board in boards),
        shares_accepted=_counter(summary, "Accepted", pools),
        shares_rejected=_counter(summary, "Rejected", pools),
        shares_stale=_counter(summary, "Stale", pools),
        hw_errors=integer(summary.get("Hardware Errors")),
        locating=_locating(seen.info),
        boards=boards,
        fans=_fans(summary, told),
        pools=pools,
        pools_at=datetime.fromtimestamp(earlier.at, UTC) if earlier else None,
        faults=(told + silent)[:FAULTS_LIMIT],
        missing=missing(report),
    )
    user = pools[0].user if pools else None
    traits = (*words_of(summary, found), *([user] if user else []))
    accepted = reading.shares_accepted
    counters = () if accepted is None else (float(accepted),)
    return Sample(reading, Fingerprint(traits=traits, uptime_s=uptime_s, counters=counters))


def _rate(row: Row, keys: tuple[str, ...], scale: float = _MEGA) -> float | None:
    """The first rate that is there; -1 stands for none."""
    for key in keys:
        if key in row:
            rate = scaled(row[key], scale)
            if rate is not None and rate >= 0:
                return rate
    return None


def _nominal(row: Row) -> float | None:
    return scaled(positive(row.get("Factory GHS")), _GIGA)


def _uptime_s(summary: Row) -> float | None:
    """Since mining began; the control board's own `Uptime` runs on while that restarts."""
    return number(first(summary, ("Elapsed", "Uptime")))


def _counter(summary: Row, key: str, pools: tuple[Pool, ...]) -> int | None:
    found = integer(summary.get(key))
    return parts.total(pools, key.lower()) if found is None else found


def _codes(summary: Row) -> tuple[list[Any], ...]:
    """The error codes that API 1 writes into the summary, beside those that were never cleared."""
    count = integer(summary.get("Error Code Count")) or 0
    keys = _ERROR_KEYS[: max(0, min(count, len(_ERROR_KEYS)))]
    return ([summary[key] for key in keys if key in summary],)


# --- boards -----------------------------------------------------------------------------------


def _boards(found: list[dict[str, Any]], summary: Row, expected: Whole) -> tuple[Board, ...]:
    scale = _board_scale(found, summary) if found else _MEGA
    boards = tuple(_board(at, row, scale, expected.chips) for at, row in enumerate(found))
    return with_missing(boards, expected)


def _board_scale(found: list[dict[str, Any]], summary: Row) -> float:
    """The unit of the boards' rates, whose names all say MHS.

    Firmware that keeps this API beside API 3 writes TH/s there, and MH/s in the summary (2025 and
    2026, seen in recordings): what the boards make up together tells, by a factor of a million.
    """
    for keys in (_AVERAGE, _NOW):
        together, whole_ths = _sum(found, keys), _rate(summary, keys)
        if together and whole_ths:
            return 1.0 if together < whole_ths * 1000 else _MEGA
    together = _sum(found, _NOW) or _sum(found, _AVERAGE)
    return 1.0 if 0 < together < _NO_MACHINE_THS else _MEGA


def _sum(found: list[dict[str, Any]], keys: tuple[str, ...]) -> float:
    return sum(_rate(row, keys, 1.0) or 0.0 for row in found)


def _board(at: int, row: Row, scale: float, chips_expected: int | None) -> Board:
    slot = integer(first(row, ("Slot", "ASC", "ID")))
    return Board(
        index=at if slot is None else slot,
        serial=text(row.get("PCB SN")),
        hashrate_ths=_rate(row, (*_NOW, *_AVERAGE), scale),
        hashrate_nominal_ths=_nominal(row),
        chips=integer(row.get("Effective Chips")),
        chips_expected=chips_expected,
        board_temp_c=positive(row.get("Temperature")),
        chip_temp_c=positive(row.get("Chip Temp Max")),
        frequency_mhz=positive(first(row, ("Chip Frequency", "Frequency"))),
        hw_errors=integer(row.get("Hardware Errors")),
    )


# --- fans, power, state -----------------------------------------------------------------------


def _fans(summary: Row, told: tuple[Fault, ...]) -> tuple[Fan, ...]:
    """The intake (0) and the exhaust fan (1), by the keys that name them.

    Liquid-cooled machines, and those in oil without fans, say 0 for both: that is no fan, unless
    the machine itself complains of one. MicroBT's manuals have the comments of the two swapped.
    """
    speeds = [integer(summary.get(key)) for key in ("Fan Speed In", "Fan Speed Out")]
    if not any(speed and speed > 0 for speed in speeds) and not of_a_fan(told):
        return ()
    return tuple(
        Fan(at, speed) for at, speed in enumerate(speeds) if speed is not None and speed >= 0
    )


def _power(summary: Row, seen: Seen) -> tuple[float | None, PowerSource | None]:
    """The summary's figure, metered where the power supply was seen to measure just that.

    Without one: what the supply has just measured. -1 stands for none.
    """
    said_w = number(summary.get("Power"))
    if said_w is not None and said_w >= 0:
        return said_w, PowerSource.METERED if seen.metered else PowerSource.REPORTED
    measured_w = supply_power_w(seen.supply)
    return measured_w, PowerSource.METERED if measured_w is not None else None


def _mode(summary: Row, status: Row) -> str | None:
    word = text(summary.get("Power Mode")) or text(status.get("power_mode"))
    return common(word.lower()) if word else None


def _locating(info: Row) -> bool | None:
    """The lights are the firmware's own (`auto`), or follow what somebody set."""
    word = text(info.get("ledstat"))
    return None if word is None else word.lower() != "auto"


def _state(
    summary: Row,
    found: list[dict[str, Any]],
    boards: tuple[Board, ...],
    pools: tuple[Pool, ...],
    told: tuple[Fault, ...],
    seen: Seen,
) -> State:
    rate, uptime_s = _rate(summary, _NOW), _uptime_s(summary)
    off = is_off(seen.status)
    if not seen.fresh and rate:
        off = None  # it was off; now it hashes
    chips = [board.chips for board in boards if board.chips is not None]
    looks = parts.mining_state(rate, uptime_s, pools, chips=sum(chips) if chips else None)
    doing = Doing(rate, off, _ramping(summary, found), hurts(told), uptime_s)
    return state_of(doing, looks)


def _ramping(summary: Row, found: list[dict[str, Any]]) -> bool | None:
    """Whether the frequency still goes up; boards without chips never end that and do not count."""
    done = [flag(summary.get("Upfreq Complete"))]
    if done[0] is None:
        done = [
            flag(row.get("Upfreq Complete"))
            for row in found
            if integer(row.get("Effective Chips")) != 0
        ]
    known = [each for each in done if each is not None]
    if known:
        return not all(known)
    stable = flag(summary.get("Hash Stable"))
    return None if stable is None else not stable

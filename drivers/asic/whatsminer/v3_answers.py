"""What a Whatsminer's answers in frames say of it (MicroBT's API 3): pure reading.

Hash rates are in TH/s, only `detect-hash-rate` is in GH/s; -1, and thousandths below 0, stand for
what is not known. Pools have no share counts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.cgminer import missing
from drivers.asic.fields import (
    Row,
    common,
    first,
    highest,
    integer,
    number,
    positive,
    text,
)
from drivers.asic.kept import Kept
from drivers.asic.whatsminer.types import (
    FAULTS_LIMIT,
    Doing,
    Whole,
    faults_of,
    flag,
    hurts,
    model_name,
    of_a_fan,
    silent_boards,
    state_of,
    whole,
    with_missing,
)
from drivers.asic.whatsminer.v3_shapes import (
    BOARDS,
    NOTHING,
    POOLS,
    Info,
    content,
    summary_of,
    supply_power_w,
    words_of,
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

BOARDS_LIMIT = 16

Pools = Kept[tuple[Pool, ...]]

# `environment-tempurature` and `board-tempurature` are how some builds spell it (a peer's schema,
# unverified).
_ENVIRONMENT = ("environment-temperature", "environment-tempurature")
_BOARD_TEMPERATURES = ("board-temperature", "board-tempurature")


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    info: Info = NOTHING,
    earlier: Pools | None = None,
) -> Sample:
    """Read a poll with the device's information, and its pools or those of an earlier one."""
    summary, miner = summary_of(report), info.section("miner")
    now_ths, uptime_s = _rate(summary, _NOW), _uptime_s(summary)
    boards = _boards(report, summary, miner)
    pools = earlier.value if earlier else _pools(content(report, POOLS, "pools"))
    told = faults_of(info.sections.get("error-code"))
    silent = silent_boards(boards) if now_ths else ()
    power_w = _figure(first(summary, ("power-realtime", "power-5min", "power")))
    measured_w = supply_power_w(info.sections) if info.fresh else None
    source = PowerSource.METERED if info.metered else PowerSource.REPORTED
    if power_w is None and measured_w is not None:
        power_w, source = measured_w, PowerSource.METERED
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=_state(summary, boards, pools, hurts(told), info),
        mode=_mode(info),
        throttle_percent=_share(info),
        hashrate_ths=now_ths,
        hashrate_avg_ths=_rate(summary, ("hash-average",)),
        hashrate_nominal_ths=positive(summary.get("factory-hash")) or _rated(miner),
        power_w=power_w,
        power_source=source if power_w is not None else None,
        power_limit_w=positive(summary.get("power-limit"))
        or positive(miner.get("power-limit-set")),
        efficiency_j_th=positive(summary.get("power-rate")),
        uptime_s=uptime_s,
        # Of liquid-cooled machines the manual does not say where it is measured (unverified).
        inlet_temp_c=positive(first(summary, _ENVIRONMENT)),
        chip_temp_max_c=positive(summary.get("chip-temp-max"))
        or highest(board.chip_temp_c for board in boards),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        locating=_locating(info),
        boards=boards,
        fans=_fans(summary, told),
        pools=pools,
        pools_at=datetime.fromtimestamp(earlier.at, UTC) if earlier else None,
        faults=(told + silent)[:FAULTS_LIMIT],
        missing=missing(report),
    )
    user = pools[0].user if pools else None
    traits = (*words_of(info), *([user] if user else []))
    return Sample(reading, Fingerprint(traits=traits, uptime_s=uptime_s))


_NOW = ("hash-realtime", "hash-1min", "hash-15min")


def _uptime_s(summary: Row) -> float | None:
    """Since mining began; the control board's own `bootup-time` runs on while that restarts."""
    return number(first(summary, ("elapsed", "bootup-time")))


def _figure(value: Any) -> float | None:
    """A number that is not below 0: that stands for one that is not known."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def _rate(row: Row, keys: tuple[str, ...]) -> float | None:
    return next((rate for key in keys if (rate := _figure(row.get(key))) is not None), None)


def _rated(miner: Row) -> float | None:
    """The sum of what the boards were rated at, in GH/s: `33231:34095:34306:`.

    Whole or not at all: a board that says -1 was not determined, one of 0 is no board.
    """
    words = text(miner.get("detect-hash-rate"))
    rated = [number(word) for word in words.split(":") if word] if words else []
    known = [ghs for ghs in rated if ghs is not None and ghs >= 0]
    return round(sum(known) / 1000, 6) or None if len(known) == len(rated) else None


def _boards(report: Report, summary: Row, miner: Row) -> tuple[Board, ...]:
    found = content(report, BOARDS, "edevs")
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    temps = first(summary, _BOARD_TEMPERATURES)
    expected = whole(model_name(text(miner.get("type"))))
    count = integer(miner.get("board-num"))
    if count and 0 < count <= BOARDS_LIMIT:
        expected = Whole(count, expected.chips)
    boards = tuple(
        _board(at, row, temps, miner, expected.chips) for at, row in enumerate(rows[:BOARDS_LIMIT])
    )
    return with_missing(boards, expected)


def _board(at: int, row: Row, temps: Any, miner: Row, chips_expected: int | None) -> Board:
    slot = integer(first(row, ("slot", "id")))
    index = at if slot is None else slot
    listed = isinstance(temps, list) and 0 <= index < len(temps)
    return Board(
        index=index,
        serial=text(miner.get(f"pcbsn{index}")),
        hashrate_ths=_rate(row, (*_NOW, "hash-average")),
        hashrate_nominal_ths=positive(row.get("factory-hash")),
        chips=integer(row.get("effective-chips")),
        chips_expected=chips_expected,
        board_temp_c=positive(temps[index]) if listed else None,
        chip_temp_c=positive(row.get("chip-temp-max")),
        frequency_mhz=positive(row.get("freq")),
    )


def _pools(found: Any) -> tuple[Pool, ...]:
    """The pools, in the words of API 2: `alive` is `Alive` there and everywhere else."""
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    named = [
        {
            "URL": row.get("url"),
            "User": row.get("account"),
            "Status": word.capitalize() if (word := text(row.get("status"))) else None,
            "Stratum Active": row.get("stratum-active"),
            "Accepted": row.get("accepted"),
            "Rejected": row.get("rejected"),
            "Stale": row.get("stale"),
        }
        for row in rows[:64]
    ]
    return parts.pools(named)


def _fans(summary: Row, told: tuple[Fault, ...]) -> tuple[Fan, ...]:
    """The intake (0) and the exhaust fan (1); two zeros are a machine without fans, unless it
    complains of one.
    """  # noqa: D205
    speeds = [integer(summary.get(key)) for key in ("fan-speed-in", "fan-speed-out")]
    if not any(speed and speed > 0 for speed in speeds) and not of_a_fan(told):
        return ()
    return tuple(
        Fan(at, speed) for at, speed in enumerate(speeds) if speed is not None and speed >= 0
    )


def _mode(info: Info) -> str | None:
    """The mode's word; `power.mode` is a number whose meaning no manual tells."""
    word = text(info.setting.get("power-mode"))
    return common(word.lower()) if word else None


def _share(info: Info) -> float | None:
    """The share that it is held at; 0 stands for none that is set (the manual's example)."""
    percent = number(info.setting.get("power-percent"))
    return None if percent is None or percent < 0 else percent or 100.0


def _locating(info: Info) -> bool | None:
    """The lights are the firmware's own (`auto`), or follow what somebody set."""
    word = text(info.section("system").get("ledstatus"))
    return None if word is None else word.lower() != "auto"


def _state(
    summary: Row, boards: tuple[Board, ...], pools: tuple[Pool, ...], hurt: bool, info: Info
) -> State:
    """`working` says whether the mining program runs; not why.

    One that does not run was stopped, as far as the figures tell, unless the machine complains of
    its parts (unverified).
    """
    rate, uptime_s = _rate(summary, _NOW), _uptime_s(summary)
    working = flag(info.section("miner").get("working"))
    stopped = working is False and (info.fresh or not rate)
    if stopped and hurt:
        return State.FAULT
    chips = [board.chips for board in boards if board.chips is not None]
    looks = parts.mining_state(rate, uptime_s, pools, chips=sum(chips) if chips else None)
    done = flag(summary.get("up-freq-finish"))
    off = True if stopped else False if working else None
    return state_of(Doing(rate, off, None if done is None else not done, hurt, uptime_s), looks)

"""What a SealMiner answers: bdminer on port 4028, and the PHP pages of its web side. Pure.

bdminer follows cgminer 4.11; its `stats` has one row for the whole machine, with the boards' and
fans' values under numbered keys such as `0 Freq`. Sources: a recording of an A2 with firmware of
2025, and public descriptions of a K10Pro's answers.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from drivers.asic import parts
from drivers.asic.cgminer import missing
from drivers.asic.cgminer import parse as parse_classic
from drivers.asic.fields import (
    Row,
    common,
    hashrate_average_ths,
    hashrate_now_ths,
    highest,
    integer,
    number,
    positive,
    text,
    truth,
)
from drivers.asic.models import Model, known
from drivers.asic.page_parts import (
    BOARDS_LIMIT,
    FANS_LIMIT,
    FAULTS_LIMIT,
    degrees,
    rate,
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
from drivers.wire.cgminer import Report, rows

LINE = "SealMiner"
_MHS = 1e-6
_NOW = ("MHS(30s)", "MHS(1m)", "MHS(2m)", "MHS(5m)")
"""Of `stats`. The 5 s of `summary` counts few shares: 368 TH/s on a machine rated at 231."""
_RATED = ("MHS(Rated)", "MHS(Ideal)")
"""Rated is the model's, ideal that of the frequencies which the power limit has left."""
_SLEEPS = re.compile(r"susp|sleep|stop|standby|off", re.I)
_STARTS = re.compile(r"init|boot|start|raise|tun|ramp|prepar|wait", re.I)
_WELL = frozenset({"", "0", "602", "none", "normal"})
"""602 was seen on machines that work; what it means is not known."""
_CODES = re.compile(r"[^\s,;|]{1,64}")


class Keys(NamedTuple):
    """The keys of one board in `stats`; made once, for every poll looks them up."""

    at: int
    online: str
    chips: str
    bad: str
    serial: str
    rate: str
    ideal: str
    frequency: str
    temps: tuple[str, ...]


def _keys(at: int) -> Keys:
    return Keys(
        at=at,
        online=f"{at} Online",
        chips=f"{at} Chip Count",
        bad=f"{at} Bad Chip Count",
        serial=f"{at} SN",
        rate=f"{at} MHS(Sample)",
        ideal=f"{at} MHS(Ideal)",
        frequency=f"{at} Freq",
        temps=(f"{at} Temp", *(f"{at} Temp {sensor}" for sensor in range(8))),
    )


_KEYS = tuple(_keys(at) for at in range(16))
_FANS = tuple((at, f"{at} Speed", f"{at} PWM") for at in range(FANS_LIMIT))


# --- what a poll brought -----------------------------------------------------------------------


def full_name(model: str | None) -> str | None:
    """The firmware says `A2` of what its maker calls a SealMiner A2."""
    return f"{LINE} {model}" if model and re.fullmatch(r"A\d.{0,16}", model) else model


def stats_of(stats: Any) -> Row:
    """The row of `stats` that speaks for the machine."""
    return next(iter(rows(stats, "STATS")), {}) if isinstance(stats, dict) else {}


def words_of(report: Report) -> tuple[str, ...]:
    """What the machine calls itself in a poll."""
    row = stats_of(report.replies.get("stats"))
    return tuple(text(row.get(key)) or "" for key in ("MAC", "Ctrl Board SN", "Firmware"))


def uptime_of(report: Report) -> float | None:
    """Seconds since bdminer was started."""
    return number(stats_of(report.replies.get("stats")).get("Elapsed"))


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    locating: bool | None = None,
    lacking: tuple[str, ...] = (),
) -> Sample:
    """Read `stats`, `summary` and `pools`; without `stats` as any of cgminer's descendants."""
    row = stats_of(report.replies.get("stats"))
    if not row:
        return parse_classic(report, device_id, taken_at)
    summary = next(iter(rows(report.replies.get("summary", {}), "SUMMARY")), {})
    pools = parts.pools(rows(report.replies.get("pools", {}), "POOLS"))
    model = known(full_name(common(row.get("Model"))))
    boards = _boards(row, model)
    hashrate_ths = _rate(row, _NOW) if _rate(row, _NOW) is not None else hashrate_now_ths(summary)
    average_ths = hashrate_average_ths(summary)
    input_w = watts(row.get("PSU Input Power"))
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=_state(row, hashrate_ths, pools),
        mode=_mode(row),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=_rate(row, ("MHS(Avg)",)) if average_ths is None else average_ths,
        hashrate_nominal_ths=_rate(row, _RATED) or None,
        power_w=input_w,
        power_source=None if input_w is None else PowerSource.METERED,
        power_output_w=watts(row.get("PSU Output Power")),
        power_limit_w=positive(row.get("Power Limit")),
        efficiency_j_th=positive(row.get("W/T(Avg)")),
        uptime_s=uptime_of(report),
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=_shares(summary, "Accepted", pools, "accepted"),
        shares_rejected=_shares(summary, "Rejected", pools, "rejected"),
        shares_stale=_shares(summary, "Stale", pools, "stale"),
        hw_errors=integer(summary.get("Hardware Errors")),
        locating=locating,
        boards=boards,
        fans=_fans(row),
        pools=pools,
        faults=_faults(row, boards),
        missing=(*missing(report), *lacking),
    )
    return Sample(reading, _fingerprint(row, report, reading))


def _rate(row: Row, keys: tuple[str, ...]) -> float | None:
    return next((found for key in keys if (found := rate(row.get(key), _MHS)) is not None), None)


def _shares(summary: Row, key: str, pools: tuple[Pool, ...], name: str) -> int | None:
    found = integer(summary.get(key))
    return parts.total(pools, name) if found is None else found


def _mode(row: Row) -> str | None:
    words = text(row.get("Mining Mode"))
    return words.lower() if words else None


def _state(row: Row, hashrate_ths: float | None, pools: tuple[Pool, ...]) -> State:
    """By `PM State`, of which "Running" alone has been seen: the other words are unverified."""
    if hashrate_ths:
        return State.MINING
    words = text(row.get("PM State")) or ""
    if _SLEEPS.search(words):
        return State.SLEEPING
    if _STARTS.search(words):
        return State.STARTING
    return parts.mining_state(hashrate_ths, number(row.get("Elapsed")), pools)


def _boards(row: Row, model: Model | None) -> tuple[Board, ...]:
    count = integer(row.get("Board Count"))
    count = (model.boards if model else None) if count is None else count
    places = [keys for keys in _KEYS if keys.chips in row or keys.online in row]
    inside = _KEYS[: min(max(count or 0, 0), BOARDS_LIMIT)]
    return tuple(_board(row, keys, model) for keys in sorted({*places, *inside}))


def _board(row: Row, keys: Keys, model: Model | None) -> Board:
    there, bad = integer(row.get(keys.chips)), integer(row.get(keys.bad)) or 0
    chips = None if there is None else max(0, there - max(0, bad))
    temps = [found for key in keys.temps if (found := degrees(row.get(key))) is not None]
    several = len(temps) > 1
    # Chip sensors by a public description of the API; the first two of four lie at the inlet, as
    # their numbers tell (55 and 52 beside 70 and 69 degrees).
    return Board(
        index=keys.at,
        serial=text(row.get(keys.serial)),
        hashrate_ths=rate(row.get(keys.rate), _MHS),
        hashrate_nominal_ths=rate(row.get(keys.ideal), _MHS) or None,
        chips=chips,
        chips_expected=(model.chips if model else None) or there or None,
        board_temp_c=highest(temps),
        chip_temp_c=highest(temps),
        inlet_temp_c=min(temps) if several else None,
        outlet_temp_c=max(temps) if several else None,
        frequency_mhz=positive(row.get(keys.frequency)),
    )


def _fans(row: Row) -> tuple[Fan, ...]:
    """`PWM` is one of 256 steps: 207 has been seen, at 6210 rpm."""
    count = integer(row.get("Fan Count"))
    limit = FANS_LIMIT if count is None else min(max(count, 0), FANS_LIMIT)
    found = []
    for at, speed, duty in _FANS[:limit]:
        rpm, step = integer(row.get(speed)), number(row.get(duty))
        if rpm is not None or count is not None:
            in_range = step is not None and 0 <= step <= 255
            found.append(Fan(at, rpm, round((step or 0.0) / 2.55, 1) if in_range else None))
    return tuple(found)


def _faults(row: Row, boards: tuple[Board, ...]) -> tuple[Fault, ...]:
    codes = _CODES.findall((text(row.get("Error Code")) or "")[:1024])
    found = [
        Fault(code, f"the miner shows error {code}") for code in codes if code.lower() not in _WELL
    ]
    chips = text(row.get("Error Chip"))
    if chips:
        found.append(Fault(None, f"chips with errors: {chips}"))
    supply = text(row.get("PSU Error"))
    if supply and supply.lower().removeprefix("0x").strip("0"):
        found.append(Fault(supply, f"the power supply shows error {supply}"))
    for board in boards:
        if truth(row.get(f"{board.index} Online")) is False:
            found.append(Fault(None, f"board {board.index} does not answer"))
        elif board.chips is not None and board.chips < (board.chips_expected or 0):
            words = f"{board.chips} of {board.chips_expected} chips answer"
            found.append(Fault(None, f"board {board.index}: {words}"))
    return tuple(found[:FAULTS_LIMIT])


def _fingerprint(row: Row, report: Report, reading: MinerReading) -> Fingerprint:
    serials = (board.serial for board in reading.boards)
    accepted = reading.shares_accepted
    return Fingerprint(
        traits=tuple(filter(None, (*words_of(report), text(row.get("PSU SN")), *serials))),
        uptime_s=number(row.get("System Uptime")) or reading.uptime_s,
        counters=() if accepted is None else (float(accepted),),
    )

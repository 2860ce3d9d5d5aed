"""What Elphapex's machines answer on their CGI pages. Pure.

The pages look like Bitmain's and mean less: what recordings of DG1+ and DG Home 1 show to be
constants is not read. `hw` repeats `asic_num`, `hw_all` repeats `rate_avg`, `asic` is one text for
every board, and `temp_pcb` and `temp_pic` are 47, 46, 67, 66 on every board of every machine, also
on one whose chips are at 25 degrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from drivers.asic import parts
from drivers.asic.fields import (
    Row,
    common,
    first,
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
    Fingerprint,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
    State,
)

STATS, POOLS, SUMMARY, CONFIG, BLINK, POWER, SYSTEM_INFO = (
    *("stats", "pools", "summary", "get_miner_conf", "get_blink_status", "get_power"),
    "get_system_info",
)
_UNITS = {"KH": 1e-9, "MH": 1e-6, "GH": 1e-3, "TH": 1.0}
SLEEPING = -1000
"""What two public clients write to `fc-work-mode` to stop a machine, and read back."""
_MODES = {0: "normal", SLEEPING: "sleep", 2: "high", 3: "low"}
"""2 and 3 by one public client, unverified."""
_CONSTANT = [47, 46, 67, 66]
_MILLIDEGREES = 200.0
_EXCESS = 2.0
"""A short-term rate beyond so many times the ideal is a firmware's slip (one public client)."""


class Config(NamedTuple):
    """`get_miner_conf`: the mode that is set."""

    mode: int | None = None


def read_config(page: Any) -> Config:
    """The mode, a number or a word."""
    return Config(integer(section(page).get("fc-work-mode")))


def read_blink(page: Any) -> bool | None:
    """Whether the light blinks."""
    return truth(section(page).get("blink"))


def read_power(page: Any) -> float | None:
    """The figure of the DG Home's supply, in watts: it says 25 of a machine that stands."""
    return watts(section(page).get("power_output"))


def read_health(page: Any) -> tuple[Fault, ...]:
    """`summary` says `s` of what is well, and nothing of what was not looked at yet."""
    row = next(iter(listed(section(page).get("SUMMARY"), 1)), {})
    found = []
    for part in listed(row.get("status"), FAULTS_LIMIT):
        status = text(part.get("status"))
        if status and status.lower() != "s":
            kind, code = text(part.get("type")) or "machine", integer(part.get("code"))
            words = text(part.get("msg")) or f"the firmware says that {kind} is not well"
            found.append(Fault(str(code) if code else None, words))
    return tuple(found)


def read_pools(page: Any) -> tuple[Pool, ...]:
    """Pools as on port 4028, under names in small letters; which one works is not said."""
    rows = [_as_rpc(row) for row in listed(section(page).get("POOLS"), POOLS_LIMIT)]
    return parts.pools(rows)


def _as_rpc(row: Row) -> dict[str, Any]:
    names = ("url", "user", "status", "accepted", "rejected", "stale", "priority")
    named = {name.capitalize(): row[name] for name in names if name in row}
    return {"URL": named.pop("Url", None), **named}


# --- what a poll brought -----------------------------------------------------------------------


def words_of(stats: Row) -> tuple[str, ...]:
    """What the machine calls itself in `stats`."""
    own = section(stats, "INFO")
    return tuple(text(own.get(key)) or "" for key in ("dev_sn", "type", "miner_version"))


def uptime_of(stats: Row) -> float | None:
    """Seconds since the machine was switched on: `elapsed` stands at 0 while it does not mine."""
    return number(section(stats, "STATUS").get("when"))


def _body(stats: Row) -> Row:
    return next(iter(listed(stats.get("STATS"), 1)), {})


def is_mining(stats: Row) -> bool:
    """Whether `stats` shows a rate."""
    return bool(positive(_body(stats).get("rate_5s")))


def parse(
    stats: Row,
    device_id: str,
    taken_at: float,
    pages: Mapping[str, Any] = {},
    pools_at: float | None = None,
    lacking: tuple[str, ...] = (),
) -> Sample:
    """Read `stats`, and what the other pages were reduced to."""
    body, own = _body(stats), section(stats, "INFO")
    scale = _scale(body)
    model = known(common(own.get("type")))
    boards = _boards(body, model, scale)
    pools: tuple[Pool, ...] = pages.get(POOLS, ())
    mode = pages.get(CONFIG, Config()).mode
    hashrate_ths, power_w = _rate_now(body, boards, scale), pages.get(POWER)
    sleeps = mode == SLEEPING and not hashrate_ths
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=State.SLEEPING if sleeps else _state(stats, hashrate_ths, boards, pages),
        mode=None if mode is None else _MODES.get(mode, str(mode)),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=rate(body.get("rate_avg"), scale),
        hashrate_nominal_ths=rate(body.get("rate_ideal"), scale) or None,
        power_w=power_w,
        power_source=None if power_w is None else PowerSource.REPORTED,
        uptime_s=number(body.get("elapsed")),
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        locating=pages.get(BLINK),
        boards=boards,
        fans=_fans(body),
        pools=pools,
        pools_at=None if pools_at is None else datetime.fromtimestamp(pools_at, UTC),
        faults=(*pages.get(SUMMARY, ()), *(() if sleeps else _silent(boards)))[:FAULTS_LIMIT],
        missing=lacking,
    )
    return Sample(reading, _fingerprint(stats, reading))


def _state(
    stats: Row,
    hashrate_ths: float | None,
    boards: tuple[Board, ...],
    pages: Mapping[str, Any],
) -> State:
    chips = [board.chips for board in boards if board.chips is not None]
    total = sum(chips) if chips else None
    pools = pages.get(POOLS, ())
    state = parts.mining_state(hashrate_ths, uptime_of(stats), pools, chips=total)
    # Of a machine that stands these pages tell whether it sleeps, or has nothing to do.
    blind = state is State.FAULT and total != 0 and not {POOLS, CONFIG} <= pages.keys()
    return State.UNKNOWN if blind else state


def _scale(body: Row) -> float:
    unit = body.get("rate_unit")
    return _UNITS.get(unit.strip()[:2].upper(), 1e-6) if isinstance(unit, str) else 1e-6


def _rate_now(body: Row, boards: tuple[Board, ...], scale: float) -> float | None:
    found, ideal = rate(body.get("rate_5s"), scale), rate(body.get("rate_ideal"), scale)
    if found is None or not ideal or found <= _EXCESS * ideal:
        return found
    own = [board.hashrate_ths for board in boards if board.hashrate_ths is not None]
    return round(sum(own), 9) if own else None


def _boards(body: Row, model: Model | None, scale: float) -> tuple[Board, ...]:
    """Every place for a board is listed, also those that a model has no board in."""
    places = list(enumerate(listed(body.get("chain"), BOARDS_LIMIT)))
    there = [at for at, row in places if _is_there(row)]
    expected = (model.boards if model else None) or 0
    lost = [at for at, row in places if at not in there][: max(0, expected - len(there))]
    shown = {*there, *lost}
    chips = model.chips if model else None
    return tuple(_board(at, row, chips, scale) for at, row in places if at in shown)


def _is_there(row: Row) -> bool:
    return bool(
        integer(row.get("asic_num")) or text(row.get("sn")) or positive(row.get("rate_ideal"))
    )


def _board(at: int, row: Row, chips_expected: int | None, scale: float) -> Board:
    index, pcb = integer(row.get("index")), row.get("temp_pcb")
    sensors = [*map(degrees, pcb[:16])] if isinstance(pcb, list) else []
    return Board(
        index=at if index is None else index,
        serial=text(row.get("sn")),
        # `rate_real` is the mean: over the boards it adds up to `rate_avg` exactly.
        hashrate_ths=rate(first(row, ("hashrate", "rate_real")), scale),
        hashrate_nominal_ths=rate(row.get("rate_ideal"), scale) or None,
        chips=integer(row.get("asic_num")),
        chips_expected=chips_expected,
        board_temp_c=highest(sensors) if sensors != _CONSTANT else None,
        chip_temp_c=_chip_temp(row.get("temp_chip")),
        # kHz: rate, chips and this agree on both models, at 576 hashes in 2048 cycles a chip.
        frequency_mhz=_thousandth(row.get("freq_avg")),
    )


def _chip_temp(value: Any) -> float | None:
    """The hottest of some sensors in thousandths of a degree, such as "47125"; empty is none."""
    values = value[:16] if isinstance(value, list) else [value]
    found = (positive(each) for each in values)
    return highest(degrees(each / 1000 if each > _MILLIDEGREES else each) for each in found if each)


def _thousandth(value: Any) -> float | None:
    found = positive(value)
    return None if found is None else found / 1000


def _fans(body: Row) -> tuple[Fan, ...]:
    speeds = body.get("fan")
    found = speeds[:FANS_LIMIT] if isinstance(speeds, list) else []
    return tuple(
        Fan(at, rpm) for at, each in enumerate(found) if (rpm := integer(each)) is not None
    )


def _silent(boards: tuple[Board, ...]) -> list[Fault]:
    return [
        Fault(None, f"board {board.index}: {board.chips} of {board.chips_expected} chips answer")
        for board in boards
        if board.chips_expected and board.chips is not None and board.chips < board.chips_expected
    ]


def _fingerprint(stats: Row, reading: MinerReading) -> Fingerprint:
    serials = (board.serial for board in reading.boards)
    return Fingerprint(
        traits=tuple(filter(None, (*words_of(stats), *serials))), uptime_s=uptime_of(stats)
    )

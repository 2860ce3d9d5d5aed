"""What Bitmain's stock firmware answers: `stats`, `pools`, its system information. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from drivers.api import WebReply
from drivers.asic import parts
from drivers.asic.cgminer import missing, parse_identity
from drivers.asic.cgminer import parse as parse_classic
from drivers.asic.fields import (
    THS_PER_RATE_UNIT,
    Row,
    common,
    corners,
    first,
    highest,
    integer,
    mac,
    miner_id,
    number,
    positive,
    scaled,
    text,
)
from drivers.asic.kept import Kept
from drivers.asic.models import Model, known
from drivers.errors import BadReply
from drivers.model import (
    Board,
    Fan,
    Fault,
    Fingerprint,
    Identity,
    Kind,
    MinerReading,
    Pool,
    Sample,
    State,
)
from drivers.wire.cgminer import Report, rows

Pools = Kept[tuple[Pool, ...]]
_FANS = tuple((at, f"fan{at}") for at in range(1, 9))
_MODES = {0: "normal", 1: "sleep", 2: "high", 3: "low"}
_SLEEPING = 1


def parse_page(page: WebReply) -> dict[str, Any]:
    """The object in a web page; raises `BadReply` where there is none."""
    if page.status != 200:
        raise BadReply(f"HTTP status {page.status}", page.body)
    try:
        return msgspec.json.decode(page.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadReply("not an object", page.body) from None


def parse_system_info(
    version: dict[str, Any], info: dict[str, Any], provisional_id: str
) -> Identity:
    """Put together what `version` and `get_system_info.cgi` say; either may be empty."""
    classic = parse_identity(version, provisional_id)
    row = (rows(version, "VERSION") or [{}])[0]
    address = mac(info.get("macaddr"))
    serial = text(first(info, ("serinum", "serialno")))
    build = first(info, ("system_filesystem_version",)) or row.get("CompileTime")
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make="Bitmain",
        # Of the two, the poll's own word is kept: pages of one machine have named another type.
        model=classic.model or common(info.get("minertype")),
        firmware="stock",
        firmware_version=common(build),
        serial=serial,
        mac=address,
        hostname=text(info.get("hostname")),
    )


def parse(report: Report, device_id: str, taken_at: float, earlier: Pools | None = None) -> Sample:
    """Read `stats` and `pools`, or the pools of an earlier poll.

    Without `stats`: whatever the classic dialect makes of the rest.
    """
    stats = rows(report.replies.get("stats", {}), "STATS")
    if not stats:
        return parse_classic(report, device_id, taken_at)
    head, body = stats[0], stats[-1]
    model = known(text(head.get("Type")))
    boards = _boards(body, model)
    pools = (
        earlier.value if earlier else parts.pools(rows(report.replies.get("pools", {}), "POOLS"))
    )
    scale = _scale(body)
    hashrate_ths = scaled(body.get("GHS 5s"), scale)
    uptime_s = number(body.get("Elapsed"))
    chips = [board.chips for board in boards if board.chips is not None]
    mode = integer(body.get("miner_mode"))
    state = parts.mining_state(hashrate_ths, uptime_s, pools, chips=sum(chips) if chips else None)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=State.SLEEPING if mode == _SLEEPING else state,
        mode=None if mode is None else _MODES.get(mode, str(mode)),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=scaled(body.get("GHS av"), scale),
        hashrate_nominal_ths=scaled(body.get("total_rateideal"), scale),
        uptime_s=uptime_s,
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        hw_errors=integer(body.get("no_matching_work")),
        boards=boards,
        fans=_fans(body),
        pools=pools,
        pools_at=datetime.fromtimestamp(earlier.at, UTC) if earlier else None,
        faults=_faults(boards) if mode != _SLEEPING else (),
        missing=missing(report),
    )
    return Sample(reading, _fingerprint(head, body, reading))


def _scale(body: Row) -> float:
    unit = body.get("rate_unit")
    return THS_PER_RATE_UNIT.get(unit[:2].upper() if isinstance(unit, str) else "GH", 1e-3)


class _Keys(NamedTuple):
    """The keys of one chain in STATS; made once, for every poll looks them up."""

    at: int
    chips: str
    rate: str
    chip_corners: str
    chip: str
    board_corners: str
    board: str
    frequencies: tuple[str, str]
    hw_errors: str


_CHAIN_KEYS = tuple(
    _Keys(
        at=at,
        chips=f"chain_acn{at}",
        rate=f"chain_rate{at}",
        chip_corners=f"temp_chip{at}",
        chip=f"temp2_{at}",
        board_corners=f"temp_pcb{at}",
        board=f"temp{at}",
        frequencies=(f"freq_avg{at}", f"freq{at}"),
        hw_errors=f"chain_hw{at}",
    )
    for at in range(1, 17)
)


def _boards(body: Row, model: Model | None) -> tuple[Board, ...]:
    """The boards of the model, and any beyond them that shows chips."""
    places = [keys for keys in _CHAIN_KEYS if keys.chips in body]
    shown = [keys for keys in places if integer(body[keys.chips])]
    # The S9 family numbers its boards from 6: what shows chips counts before what is expected.
    expected = model.boards or 0 if model else 0
    if expected > len(shown):
        silent = [keys for keys in places if keys not in shown]
        shown = sorted(shown + silent[: expected - len(shown)])
    chips = model.chips if model else None
    scale = _scale(body)
    return tuple(_board(body, keys, chips, scale) for keys in shown)


def _board(body: Row, keys: _Keys, chips_expected: int | None, scale: float) -> Board:
    chip_temps = (corners(body.get(keys.chip_corners)), positive(body.get(keys.chip)))
    board_temps = (corners(body.get(keys.board_corners)), positive(body.get(keys.board)))
    return Board(
        index=keys.at,
        hashrate_ths=scaled(body.get(keys.rate), scale),
        chips=integer(body.get(keys.chips)),
        chips_expected=chips_expected,
        board_temp_c=highest(board_temps),
        chip_temp_c=highest(chip_temps),
        frequency_mhz=positive(first(body, keys.frequencies)),
        hw_errors=integer(body.get(keys.hw_errors)),
    )


def _fans(body: Row) -> tuple[Fan, ...]:
    """Turning fans, and standing ones up to `fan_num`: places without a fan say 0 as well."""
    speeds = {at: rpm for at, key in _FANS if (rpm := integer(body.get(key))) is not None}
    turning = [at for at, rpm in speeds.items() if rpm > 0]
    standing = [at for at, rpm in speeds.items() if rpm <= 0]
    count = integer(body.get("fan_num")) or len(turning)
    present = turning + standing[: max(0, count - len(turning))]
    return tuple(Fan(at, speeds[at]) for at in sorted(present))


def _faults(boards: tuple[Board, ...]) -> tuple[Fault, ...]:
    return tuple(
        Fault(None, f"board {board.index}: {board.chips} of {board.chips_expected} chips answer")
        for board in boards
        if board.chips_expected and board.chips is not None and board.chips < board.chips_expected
    )


def head_and_body(report: Report) -> tuple[Row, Row]:
    """The two objects of STATS: what the machine is, and what it does; empty where absent."""
    stats = rows(report.replies.get("stats", {}), "STATS") or [{}]
    return stats[0], stats[-1]


def words_of(head: Row, body: Row) -> tuple[str, ...]:
    """What a machine calls itself: type, builds, and its id where the firmware has one."""
    words = (head.get("Type"), head.get("CompileTime"), head.get("Miner"), body.get("miner_id"))
    return tuple(map(str, words))


def _fingerprint(head: Row, body: Row, reading: MinerReading) -> Fingerprint:
    chips = "-".join(str(board.chips) for board in reading.boards)
    user = reading.pools[0].user if reading.pools else None
    return Fingerprint(
        traits=(*words_of(head, body), chips, *([user] if user else [])),
        uptime_s=reading.uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )

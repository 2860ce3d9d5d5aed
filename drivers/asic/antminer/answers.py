"""What Bitmain's stock firmware answers: `stats`, `pools`, its web pages. Pure.

Port 4028 gives no MAC, and no mode on some builds; the web pages have them. Both sides are read
into the same reading.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from drivers.api import WebReply
from drivers.asic import parts
from drivers.asic.antminer.boards import (
    board_faults,
    fans,
    listed_boards,
    numbered_boards,
    rate,
    type_of,
    unit_ths,
)
from drivers.asic.antminer.pages import NOTHING_ASIDE, Aside, pool_of_page
from drivers.asic.cgminer import missing, parse_identity
from drivers.asic.cgminer import parse as parse_classic
from drivers.asic.fields import (
    Row,
    common,
    first,
    highest,
    integer,
    mac,
    miner_id,
    number,
    positive,
    text,
)
from drivers.asic.kept import Kept
from drivers.asic.models import Model, known
from drivers.errors import BadReply
from drivers.model import (
    Board,
    Fault,
    Fingerprint,
    Identity,
    Kind,
    MinerReading,
    Pool,
    PowerSource,
    Sample,
    State,
)
from drivers.wire.cgminer import Report, rows

Pools = Kept[tuple[Pool, ...]]
MODES = {0: "normal", 1: "sleep", 2: "high", 3: "low"}
SLEEPING = 1
MODE_KEYS = ("miner_mode", "miner-mode")
_SUFFIX = re.compile(r"\s*\([^()]*\)\s*$")
FAULTS_LIMIT = 64
SERIALS = ("serinum", "serial_no", "serialno")
"""`serial_no` on an S19 XP of 2025, `serinum` on an S21 of the same year."""
BUILDS = ("system_filesystem_version", "file_system_version")


# --- identity ----------------------------------------------------------------------------------


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
    address = mac(info.get("macaddr")) or classic.mac
    serial = text(first(info, SERIALS))
    build = first(info, BUILDS) or row.get("CompileTime")
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


# --- what a poll brought -----------------------------------------------------------------------


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    earlier: Pools | None = None,
    aside: Aside = NOTHING_ASIDE,
) -> Sample:
    """Read `stats` and `pools`, or the pools of an earlier poll.

    Without `stats`: whatever the classic dialect makes of the rest.
    """
    head, body = head_and_body(report)
    if not head and not body:
        return parse_classic(report, device_id, taken_at)
    name = type_of(head)
    model = model_of(name)
    scale = unit_ths(body, name, model)
    listed = "chain" in body or "rate_5s" in body
    boards = (listed_boards if listed else numbered_boards)(body, model, scale)
    pools = earlier.value if earlier else _pools(report)
    hashrate_ths = _rate_of(body, _NOW, scale)
    uptime_s = number(first(body, ("Elapsed", "elapsed")))
    watts = positive(first(body, ("watt", "power"))) or aside.watts
    mode = _mode(body, aside, hashrate_ths)
    state = _state(mode, hashrate_ths, uptime_s, pools, boards)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=state,
        mode=_mode_word(mode, body, aside),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=_rate_of(body, _AVERAGE, scale),
        hashrate_nominal_ths=_nominal(body, scale),
        uptime_s=uptime_s,
        power_w=watts,
        power_source=PowerSource.REPORTED if watts else None,
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        hw_errors=integer(first(body, ("no_matching_work", "hw_all"))),
        locating=aside.locating,
        boards=_with_serials(boards, aside.serials),
        fans=fans(body, model, name),
        pools=pools,
        pools_at=datetime.fromtimestamp(earlier.at, UTC) if earlier else None,
        faults=_faults(body, boards, aside, asleep=state is State.SLEEPING),
        missing=missing(report),
    )
    return Sample(reading, _fingerprint(head, body, reading))


def model_of(name: str | None) -> Model | None:
    """What is known of a model, whatever its firmware added in brackets."""
    return known(name) or (known(_SUFFIX.sub("", name)) if name else None)


_NOW = (("GHS 5s", None), ("rate_5s", None), ("MHS 5s", 1e-6), ("KHS 5s", 1e-9), ("THS 5s", 1.0))
_AVERAGE = (
    ("GHS av", None),
    ("rate_avg", None),
    ("MHS av", 1e-6),
    ("KHS av", 1e-9),
    ("THS av", 1.0),
)


def _rate_of(body: Row, names: tuple[tuple[str, float | None], ...], scale: float) -> float | None:
    for name, fixed in names:
        if name in body:
            return rate(body[name], fixed or scale)
    return None


def _nominal(body: Row, scale: float) -> float | None:
    """The rate that the firmware means to reach; an L9 gives it in GH/s among its MH/s."""
    value = positive(first(body, ("total_rateideal", "rate_ideal")))
    small = value is not None and value < 100 and scale == 1e-6 and "rate_unit" not in body
    return rate(value, 1e-3 if small else scale)


def _mode(body: Row, aside: Aside, hashrate_ths: float | None) -> int | None:
    """The poll's own word; else what is configured, unless a hash rate says otherwise."""
    mode = integer(first(body, MODE_KEYS))
    if mode is not None:
        return mode
    # A mode can be configured without effect: builds differ in the key that they obey.
    contradicted = aside.mode == SLEEPING and bool(hashrate_ths)
    return None if contradicted else aside.mode


def _mode_word(mode: int | None, body: Row, aside: Aside) -> str | None:
    if mode is None:
        return None
    word = MODES.get(mode, str(mode))
    level = integer(body.get("freq-level")) or aside.level
    return f"{word}, {level} %" if level and 0 < level < 100 and mode != SLEEPING else word


def _state(
    mode: int | None,
    hashrate_ths: float | None,
    uptime_s: float | None,
    pools: tuple[Pool, ...],
    boards: tuple[Board, ...],
) -> State:
    if mode == SLEEPING:
        return State.SLEEPING
    chips = [board.chips for board in boards if board.chips is not None]
    return parts.mining_state(hashrate_ths, uptime_s, pools, chips=sum(chips) if chips else None)


def _faults(
    body: Row, boards: tuple[Board, ...], aside: Aside, *, asleep: bool
) -> tuple[Fault, ...]:
    seen = () if asleep else board_faults(body, boards)
    return (*seen, *aside.faults)[:FAULTS_LIMIT]


def _with_serials(boards: tuple[Board, ...], serials: dict[int, str]) -> tuple[Board, ...]:
    if not serials:
        return boards
    return tuple(
        msgspec.structs.replace(board, serial=board.serial or serials.get(board.index))
        for board in boards
    )


def _pools(report: Report) -> tuple[Pool, ...]:
    found = rows(report.replies.get("pools", {}), "POOLS")[:16]
    if found and "url" in found[0]:
        return tuple(pool_of_page(row) for row in found if row.get("url"))
    return parts.pools(found)


# --- who answers -------------------------------------------------------------------------------

_BODY_KEYS = ("GHS 5s", "rate_5s", "chain_acn1", "chain", "MHS 5s", "GHS av", "chain_rate1")


def head_and_body(report: Report) -> tuple[Row, Row]:
    """What the machine is, and what it does; empty where absent.

    Old cgminer adds objects for the pools behind the two, the new form has the first in INFO.
    """
    reply = report.replies.get("stats", {})
    found = rows(reply, "STATS")
    if not found:
        return {}, {}
    body = next((row for row in found if any(key in row for key in _BODY_KEYS)), found[-1])
    info = reply.get("INFO")
    if not isinstance(info, dict):
        return next((row for row in found if "Type" in row), found[0]), body
    keys = {"Type": "type", "CompileTime": "CompileTime", "Miner": "miner_version"}
    return {key: info.get(name) for key, name in keys.items()}, body


def words_of(head: Row, body: Row) -> tuple[str, ...]:
    """What a machine calls itself: type, builds, and its id where the firmware has one."""
    words = (head.get("Type"), head.get("CompileTime"), head.get("Miner"), body.get("miner_id"))
    return tuple(str(word)[:64].encode("utf-8", "replace").decode() for word in words)


def _fingerprint(head: Row, body: Row, reading: MinerReading) -> Fingerprint:
    chips = "-".join(str(board.chips) for board in reading.boards)
    user = reading.pools[0].user if reading.pools else None
    return Fingerprint(
        traits=(*words_of(head, body), chips, *([user] if user else [])),
        uptime_s=reading.uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )

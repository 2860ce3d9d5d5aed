"""What Hammer, blackMiner and VolcMiner answer on port 4028, and who they are. Pure.

One program for all three, after Bitmain's: ccminer, with `stats` in the old form of numbered keys.
Sources: recordings of Hammer D10 (firmwares of 2022 and 2023) and public descriptions of a
VolcMiner D1 and a blackMiner F1. In `summary`, "Accepted" repeats "Rejected" on every D10 seen
(28 and 28 where the pools count 12979 and 28), so shares are read from the pools alone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import msgspec

from drivers.asic import parts
from drivers.asic.antminer.boards import board_faults, fans, numbered_boards
from drivers.asic.cgminer import missing
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
    text,
    truth,
)
from drivers.asic.models import known
from drivers.asic.page_parts import FAULTS_LIMIT, degrees, rate, section
from drivers.model import Fingerprint, Identity, Kind, MinerReading, Sample, State
from drivers.wire.cgminer import Report, rows

SCRYPT = "scrypt"
_MHS = 1e-6
_GHS = 1e-3


class Make(NamedTuple):
    """One of the makes that share a program and a realm."""

    word: str
    """In the type that the machine states, in capitals."""
    name: str
    ghs: float
    """TH/s of what its answers call GHS: scrypt machines mean MH/s (`ghs5s` of a D10 is 5019)."""
    algorithm: str | None = None


MAKES = (
    Make("VOLCMINER", "VolcMiner", _MHS, SCRYPT),
    Make("HAMMER", "Hammer", _MHS, SCRYPT),
    Make("BLACKMINER", "HashAltCoin", _GHS),
)
_UNKNOWN = Make("", "", _MHS)
_RATES_NOW = (("MHS 5s", _MHS), ("GHS 5s", None))
_RATES_AVERAGE = (("MHS av", _MHS), ("GHS av", None))
_CHIP_TEMPS = tuple(f"chipTemp{at}" for at in range(33))
_NUMBERS = re.compile(r"\d{1,3}(?:\.\d+)?")
_MODE_KEYS = ("bitmain-work-mode", "miner-mode", "runmode")
_MODES = {0: "normal", 1: "sleep", -1: "sleep"}
"""1 as on the machines it was built after; -1 is what a public client writes to a VolcMiner's
`runmode` to stop it. Neither was recorded: unverified."""


SLEEP, NORMAL = "-1", "0"
"""What a public client writes to a VolcMiner's `runmode` to stop it, and to start it again."""


class Page(NamedTuple):
    """What `get_miner_conf` is reduced to."""

    mode: int | None = None


def read_config(page: Any) -> Page:
    """The mode that is set, a number or a word."""
    return Page(integer(first(section(page), _MODE_KEYS)))


def read_blink(page: Any) -> bool | None:
    """Whether the light blinks; a D10 has answered a code instead."""
    return truth(section(page).get("blink"))


def make_of(*names: Any) -> Make:
    """Which of the makes these words speak of."""
    words = " ".join(name.upper()[:256] for name in names if isinstance(name, str))
    return next((make for make in MAKES if make.word in words), _UNKNOWN)


def parse_identity(version: Row, info: Row, provisional_id: str) -> Identity:
    """Put together `version` and `get_system_info.cgi`; either may be empty."""
    row = next(iter(rows(dict(version), "VERSION")), {})
    kind, page_kind = common(row.get("Type")), common(info.get("minertype"))
    address = mac(info.get("macaddr"))
    make = make_of(kind, page_kind, info.get("hostname"))  # the factory's is the make's name
    # The mining program's build: the page's file system stays older after an update.
    build = row.get("CompileTime") or info.get("system_filesystem_version")
    return Identity(
        id=miner_id(address, None, provisional_id),
        kind=Kind.ASIC,
        make=make.name or None,
        model=kind or page_kind,
        firmware="stock",
        firmware_version=common(build),
        mac=address,
        hostname=text(info.get("hostname")),
        algorithm=make.algorithm,
    )


# --- what a poll brought -----------------------------------------------------------------------


def head_and_body(report: Report) -> tuple[Row, Row]:
    """The two objects of `stats`: what the machine is, and what it does; empty where absent."""
    found = rows(report.replies.get("stats", {}), "STATS") or [{}]
    return found[0], found[-1]


def words_of(report: Report) -> tuple[str, ...]:
    """What the machine calls itself, and whom it works for."""
    head, _ = head_and_body(report)
    pool = next(iter(rows(report.replies.get("pools", {}), "POOLS")), {})
    own = (head.get("Type"), head.get("CompileTime"), head.get("Miner"), pool.get("User"))
    return tuple(text(word) or "" for word in own)


def uptime_of(report: Report) -> float | None:
    """Seconds since the mining program was started."""
    return number(head_and_body(report)[1].get("Elapsed"))


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    config: Page | None = None,
    locating: bool | None = None,
    lacking: tuple[str, ...] = (),
) -> Sample:
    """Read `stats` and `pools`; without `stats` as any of cgminer's descendants."""
    head, body = head_and_body(report)
    if not body:
        return parse_classic(report, device_id, taken_at)
    name = common(head.get("Type"))
    make, model = make_of(name), known(name)
    pools = parts.pools(rows(report.replies.get("pools", {}), "POOLS"))
    # Of a board no unit is said; on a D10 they add up to `MHS 5s`.
    boards = numbered_boards(body, model, _MHS if "MHS 5s" in body else make.ghs)
    hashrate_ths = _rate(body, _RATES_NOW, make)
    chips = [board.chips for board in boards if board.chips is not None]
    uptime_s, mode = uptime_of(report), config.mode if config else None
    sleeps = _MODES.get(mode or 0) == "sleep" and not hashrate_ths
    state = parts.mining_state(hashrate_ths, uptime_s, pools, chips=sum(chips) if chips else None)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=State.SLEEPING if sleeps else state,
        mode=None if mode is None else _MODES.get(mode, str(mode)),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=_rate(body, _RATES_AVERAGE, make),
        uptime_s=uptime_s,
        chip_temp_max_c=highest((*(board.chip_temp_c for board in boards), _chip_temp(body))),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        hw_errors=integer(body.get("no_matching_work")),
        locating=locating,
        boards=boards,
        fans=fans(body, model, name),
        pools=pools,
        faults=() if sleeps else board_faults(body, boards)[:FAULTS_LIMIT],
        missing=(*missing(report), *lacking),
    )
    return Sample(reading, _fingerprint(report, reading))


def with_pages(sample: Sample, config: Page | None, locating: bool | None) -> Sample:
    """The same reading with mode and light, for machines that are read from their status page."""
    reading = cast("MinerReading", sample.reading)
    mode = config.mode if config else None
    named = None if mode is None else _MODES.get(mode, str(mode))
    sleeps = named == "sleep" and not reading.hashrate_ths
    reading = msgspec.structs.replace(
        reading,
        state=State.SLEEPING if sleeps else reading.state,
        mode=named,
        locating=locating,
    )
    return Sample(reading, sample.fingerprint)


def _rate(body: Row, keys: tuple[tuple[str, float | None], ...], make: Make) -> float | None:
    for key, scale in keys:
        if key in body:
            return rate(body[key], make.ghs if scale is None else scale)
    return None


def _chip_temp(body: Row) -> float | None:
    """A blackMiner lists its chips' temperatures, such as `chipTemp1`: "[62, 63]"."""
    found = (body[key] for key in _CHIP_TEMPS if key in body)
    words = (value[:4096] for value in found if isinstance(value, str))
    return highest(degrees(each) for word in words for each in _NUMBERS.findall(word))


def _fingerprint(report: Report, reading: MinerReading) -> Fingerprint:
    chips = "-".join(str(board.chips) for board in reading.boards)
    accepted = reading.shares_accepted
    return Fingerprint(
        traits=tuple(filter(None, (*words_of(report), chips))),
        uptime_s=reading.uptime_s,
        counters=() if accepted is None else (float(accepted),),
    )

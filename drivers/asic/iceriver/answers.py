"""What an IceRiver's web page `userpanel` tells: everything there is. Pure.

Sources: the C code of the page in a published image of a KS3L, recordings of a KS5L and an AL3,
test answers of a KS0. The page is glued together with `sprintf`: `(null)` is a missing word,
counts are written as 18.000000, and a number that should be true comes out as false.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.fields import (
    Row,
    common,
    highest,
    integer,
    mac,
    miner_id,
    number,
    positive,
    scaled,
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
)
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
)

_NOTHING = frozenset({"", "none", "no", "(null)", "null", "unknown"})
_RATE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([KMGTP]?)", re.IGNORECASE)
_THS_PER = {"": 1e-12, "K": 1e-9, "M": 1e-6, "G": 1e-3, "T": 1.0, "P": 1e3}
_RUNTIME = re.compile(r"(\d{1,6}):(\d{1,2}):(\d{1,2}):(\d{1,2})")
_MODEL = re.compile(r"(?:^|[_-])((?:ks|al|ae|rx|xt)\d)([a-z]*)(?=[_-]|miner|$)", re.IGNORECASE)
_LINES = ("pro", "ultra", "lite", "plus", "max")
_CODES = {"10306": "AL3"}
"""Newer builds carry a number in place of the name: the one that a recording ties to a model."""
_ALGORITHMS = {"KS": "kheavyhash", "AL": "blake3"}
"""What the maker sells these lines for; `algo` says `none` in all recordings."""
_FLAGS = (("powstate", "pow", "the hash rate is not normal"), ("fanstate", "fan", "a fan fails"))
"""Of the page's four flags: `tempstate` is false on healthy machines, and a lost network does not
show on a page that is read over it."""


def parse_identity(data: Row, provisional_id: str) -> Identity:
    """Who the machine is, from its panel."""
    address = mac(data.get("mac"))
    software = word(data.get("softver1"))
    model = word(data.get("model")) or _model(software)
    return Identity(
        id=miner_id(address, None, provisional_id),
        kind=Kind.ASIC,
        make="IceRiver",
        model=model,
        firmware="stock",
        firmware_version=software,
        mac=address,
        hostname=word(data.get("host")),
        algorithm=word(data.get("algo")) or _ALGORITHMS.get((model or "")[:2].upper()),
    )


def word(value: Any) -> str | None:
    """A word that means something."""
    found = common(value)
    return None if found is None or found.lower() in _NOTHING else found


def _model(software: str | None) -> str | None:
    """The model in a build's name: `ICM168_3_2_10_ks5L_miner` is a KS5L."""
    if software is None:
        return None
    found = _MODEL.search(software)
    if not found:
        return next((model for code, model in _CODES.items() if f"_{code}_" in software), None)
    name, line = found[1].upper(), found[2].lower().removesuffix("miner")
    return common(f"{name} {line.title()}" if line in _LINES else f"{name}{line.upper()}")


def parse(data: Row, device_id: str, taken_at: float) -> Sample:
    """Read a panel."""
    boards = tuple(_boards(data))
    pools = tuple(map(_pool, listed(data.get("pools"), POOLS_LIMIT)))
    pools = tuple(pool for pool in pools if pool.url)
    hashrate_ths = rate_ths(data.get("rtpow"), data.get("unit"))
    uptime_s = _seconds(data.get("runtime"))
    chips = [board.chips for board in boards if board.chips is not None]
    state = parts.mining_state(hashrate_ths, uptime_s, pools, chips=sum(chips) if chips else None)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=state,
        uptime_s=uptime_s,
        hashrate_ths=hashrate_ths,
        # The page calls it the average; over how long is unverified (half an hour, by one account).
        hashrate_avg_ths=rate_ths(data.get("avgpow"), data.get("unit")),
        hashrate_nominal_ths=_nominal(boards),
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        inlet_temp_c=highest(board.inlet_temp_c for board in boards),
        outlet_temp_c=highest(board.outlet_temp_c for board in boards),
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        locating=truth(data.get("locate")),
        boards=boards,
        fans=_fans(data.get("fans")),
        pools=pools,
        faults=_faults(data, boards),
    )
    return Sample(reading, _fingerprint(data, reading))


def rate_ths(value: Any, unit: Any = None) -> float | None:
    """A rate such as `5160.37G`; the unit of the page counts where the figure has none."""
    words = value if isinstance(value, str) else text(value)
    found = _RATE.match(words) if words else None
    if not found:
        return None
    letter = found[2].upper() or (unit.strip()[:1].upper() if isinstance(unit, str) else "")
    scale = _THS_PER.get(letter)
    return None if scale is None else scaled(found[1], scale)


def _seconds(value: Any) -> float | None:
    """`days:hours:minutes:seconds`."""
    found = _RUNTIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        return None
    days, hours, minutes, seconds = map(int, found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _boards(data: Row) -> list[Board]:
    found = []
    for at, row in enumerate(listed(data.get("boards"), BOARDS_LIMIT), 1):
        index = integer(row.get("no"))
        inlet_c, outlet_c = degrees(row.get("intmp")), degrees(row.get("outtmp"))
        ideal = rate_ths(row.get("idealpow"), data.get("unit"))
        found.append(
            Board(
                index=at if index is None else index,
                hashrate_ths=rate_ths(row.get("rtpow"), data.get("unit")),
                hashrate_nominal_ths=ideal or None,  # 0.00G where the firmware has none
                chips=integer(row.get("chipnum")),
                board_temp_c=highest((_hottest(row.get("pcbtemp")), inlet_c, outlet_c)),
                chip_temp_c=degrees(row.get("chiptmp")),
                inlet_temp_c=inlet_c,
                outlet_temp_c=outlet_c,
                frequency_mhz=positive(row.get("freq")),
            )
        )
    return found


def _hottest(value: Any) -> float | None:
    """The hottest of `61.00-60.50-0.00-0.00`."""
    if not isinstance(value, str):
        return degrees(value)
    return highest(degrees(part) for part in value[:80].split("-"))


def _nominal(boards: tuple[Board, ...]) -> float | None:
    rates = [board.hashrate_nominal_ths for board in boards]
    known = [rate for rate in rates if rate is not None]
    return scaled(sum(known), 1.0) if known and len(known) == len(rates) else None


def _fans(value: Any) -> tuple[Fan, ...]:
    speeds = map(integer, value[:FANS_LIMIT]) if isinstance(value, list) else ()
    return tuple(Fan(at, rpm) for at, rpm in enumerate(speeds) if rpm is not None and rpm >= 0)


def _pool(row: Row) -> Pool:
    """A pool; in use where `state` is 1.

    `connect` is 1 or -1 in some builds; in others the page's code makes false of either.
    """
    active = number(row.get("state")) == 1 if "state" in row else None
    connected = row.get("connect") is True or number(row.get("connect")) == 1
    return Pool(
        url=text(row.get("addr")),
        user=word(row.get("user")),
        status="Alive" if active or connected else None,
        active=active,
        accepted=integer(row.get("accepted")),
        rejected=integer(row.get("rejected")),
    )


def _faults(data: Row, boards: tuple[Board, ...]) -> tuple[Fault, ...]:
    found = [Fault(code, words) for key, code, words in _FLAGS if truth(data.get(key)) is False]
    for board, row in zip(boards, listed(data.get("boards"), BOARDS_LIMIT), strict=True):
        if truth(row.get("state")) is False:
            found.append(Fault("board", f"board {board.index} does not work"))
        bad = row.get("false")
        # A KS5L that hashes well lists all of its chips: only a part of them means something.
        if isinstance(bad, list) and 0 < len(bad) < (board.chips or 0):
            numbers = ", ".join(str(at) for at in map(integer, bad[:20]) if at is not None)
            found.append(Fault("chip", f"board {board.index}: chips {numbers} are faulty"))
    return tuple(found[:FAULTS_LIMIT])


def _fingerprint(data: Row, reading: MinerReading) -> Fingerprint:
    words = (
        mac(data.get("mac")),
        word(data.get("softver1")),
        *(p.user for p in reading.pools[:1]),
    )
    return Fingerprint(
        traits=tuple(word for word in words if word),
        uptime_s=reading.uptime_s,
        counters=() if reading.shares_accepted is None else (float(reading.shares_accepted),),
    )

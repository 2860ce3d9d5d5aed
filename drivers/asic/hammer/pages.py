"""The status page of Hammer's and VolcMiner's web side, for machines whose port 4028 is closed.

`get_miner_status.cgi` is JSON on newer firmware and broken on older; `get_miner_statusV1.cgi` of
the VolcMiner writes objects and lists in quotation marks: `"data":"{ "elapsed":.. }"`. Sources:
recordings of a Hammer D10's page and public clients that read a VolcMiner D1's.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from drivers.asic import parts
from drivers.asic.fields import Row, corners, first, highest, integer, number, scaled, text
from drivers.asic.hammer.answers import Make
from drivers.asic.models import known
from drivers.asic.page_parts import BOARDS_LIMIT, POOLS_LIMIT, degrees, listed, section
from drivers.errors import BadReply
from drivers.model import Board, Fan, Fingerprint, Kind, MinerReading, Sample
from drivers.wire.repair import REPAIR_LIMIT_CHARS, mend, patched

_FANS = tuple((at, f"fan{at}") for at in range(1, 17))
_WITHIN = re.compile(r"MHS (5s|av)=(\d{1,12}(?:\.\d{1,9})?)")
_AGE = re.compile(r"(\d{1,9})\s*([dhms])", re.IGNORECASE)
_AGES = re.compile(r"(?:\s*\d{1,9}\s*[dhms])+\s*", re.IGNORECASE)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def decode(body: bytes) -> dict[str, Any]:
    """The object in a status page, also where its parts stand in quotation marks.

    Raises `BadReply`.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = _loosely(body)
    if isinstance(found, dict) and isinstance(found.get("data"), dict):
        found = found["data"]
    if not isinstance(found, dict):
        raise BadReply("the status page is not an object", body)
    return found


def _loosely(body: bytes) -> Any:
    words = body.decode("utf-8", "replace")
    if len(words) > REPAIR_LIMIT_CHARS:
        raise BadReply(f"the status page is malformed and over {REPAIR_LIMIT_CHARS} characters")
    for quoted, plain in (('"{', "{"), ('}"', "}"), ('"[', "["), (']"', "]")):
        words = words.replace(quoted, plain)
    if (found := patched(words.encode("utf-8", "replace"))) is not None:
        return found
    try:
        return msgspec.json.decode(mend(words))
    except (msgspec.DecodeError, RecursionError):
        raise BadReply("the status page is no JSON", body) from None


def parse_status(
    page: Row,
    info: Row,
    make: Make,
    device_id: str,
    taken_at: float,
    lacking: tuple[str, ...] = (),
) -> Sample:
    """Read a status page of either form."""
    summary = section(page, "summary") or page
    hashrate_ths = _rate(summary, "ghs5s", "5s", make)
    name = text(info.get("minertype"))
    boards = _boards(page, make, name)
    pools = parts.pools([_as_rpc(row) for row in _pools(page)])
    uptime_s = _age_s(summary.get("elapsed"))
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=parts.mining_state(hashrate_ths, uptime_s, pools),
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=_rate(summary, "ghsav", "av", make),
        uptime_s=uptime_s,
        shares_accepted=parts.total(pools, "accepted"),
        shares_rejected=parts.total(pools, "rejected"),
        shares_stale=parts.total(pools, "stale"),
        hw_errors=_count(section(page, "pools", "hw").get("h_hw", summary.get("hw"))),
        boards=boards,
        fans=_fans(page),
        pools=pools,
        missing=lacking,
    )
    words = (text(info.get("macaddr")), name, text(info.get("system_filesystem_version")))
    chips = "-".join(str(board.chips) for board in boards)
    traits = tuple(filter(None, (*words, chips)))
    return Sample(reading, Fingerprint(traits=traits, uptime_s=uptime_s))


def _plain(value: Any) -> Any:
    """Numbers are grouped by thousands: "18,500.5"."""
    return value.replace(",", "") if isinstance(value, str) and len(value) < 40 else value


def _rate(summary: Row, key: str, window: str, make: Make) -> float | None:
    """Old firmware cuts its own answer at the wrong commas: the rate stands within the rest."""
    value = summary.get(key)
    if isinstance(value, str) and "MHS" in value:
        found = dict(_WITHIN.findall(value[:4096]))
        return scaled(found.get(window), 1e-6)
    rate = scaled(_plain(value), make.ghs)
    return rate if rate is not None and rate >= 0 else None


def _age_s(value: Any) -> float | None:
    """Seconds, or "2d 4h 10m 3s"."""
    if isinstance(value, str) and len(value) < 64 and _AGES.fullmatch(value):
        found = _AGE.findall(value)
        return float(sum(int(count) * _SECONDS[unit.lower()] for count, unit in found))
    return number(value)


def _count(value: Any) -> int | None:
    return integer(_plain(value))


def _pools(page: Row) -> list[dict[str, Any]]:
    found = page.get("pools")
    nested = found.get("pool_dtls") if isinstance(found, dict) else found
    return listed(nested, POOLS_LIMIT)


def _as_rpc(row: Row) -> dict[str, Any]:
    names = ("url", "user", "status", "priority", "accepted", "rejected", "stale")
    named = {name.capitalize(): _plain(row[name]) for name in names if name in row}
    named["User"] = row.get("user")
    return {"URL": named.pop("Url", None), **named}


def _boards(page: Row, make: Make, name: str | None) -> tuple[Board, ...]:
    rows = listed(first(page, ("chains", "devs", "chain")), BOARDS_LIMIT)
    model = known(name)
    expected = model.chips if model else None
    return tuple(_board(at, row, make, expected) for at, row in enumerate(rows, 1))


def _board(at: int, row: Row, make: Make, chips_expected: int | None) -> Board:
    index, temps = _count(row.get("index")), row.get("temp")
    values = temps[:16] if isinstance(temps, list) else [temps]
    return Board(
        index=at if index is None else index,
        hashrate_ths=scaled(_plain(row.get("chain_rate")), make.ghs),
        chips=_count(row.get("chain_acn")),
        chips_expected=chips_expected,
        board_temp_c=highest(map(_hot, values)),
        frequency_mhz=number(_plain(row.get("freq"))) or None,
        hw_errors=_count(row.get("hw")),
    )


def _hot(value: Any) -> float | None:
    return degrees(corners(value[:64] if isinstance(value, str) else value))


def _fans(page: Row) -> tuple[Fan, ...]:
    """Where the mining program is down a fan says "Socket connect failed: ..."."""
    found = section(page, "fan") or page
    speeds = ((at, _count(found.get(key))) for at, key in _FANS if key in found)
    return tuple(Fan(at, rpm) for at, rpm in speeds if rpm is not None)

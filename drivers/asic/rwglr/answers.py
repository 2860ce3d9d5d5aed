"""What the bmminer build `rwglr` answers, which Hiveon and MSKMiner share. Pure.

Its `stats` is Bitmain's with keys of its own: power and voltage of each chain, the fans' duty,
the supply's state. Sources: recordings of Hiveon (S9 of 2019 and 2021, S19 with 88 chips of 2025)
and MSKMiner (S19 with 88 chips); for the L3+ what its users' programs read.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from drivers.asic.antminer.answers import Pools, head_and_body, parse_system_info
from drivers.asic.antminer.answers import parse as parse_antminer
from drivers.asic.antminer.boards import board_faults, volts
from drivers.asic.antminer.pages import NOTHING_ASIDE, Aside
from drivers.asic.fields import Row, common, first, number, text
from drivers.asic.models import known
from drivers.model import (
    Board,
    Fan,
    Fault,
    Identity,
    MinerReading,
    PowerSource,
    Sample,
    State,
)
from drivers.wire.cgminer import Report, rows

FAULTS_LIMIT = 64
_CHAINS = range(1, 17)
_VERSION = re.compile(r"\bv\.? ?(\d+(?:\.\d+)+)", re.IGNORECASE)
_ADDED = re.compile(r"\(?\b(?:hiveon|mskminer)\b\)?", re.IGNORECASE)
_CHIPS = re.compile(r"([A-Za-z0-9+ ]*[A-Za-z0-9+])[x-](\d{2,3})")
_SERIES = re.compile(r"[A-Z]\d", re.IGNORECASE)


class Type(NamedTuple):
    """What `Type` says, taken apart."""

    model: str | None
    chips: int | None = None
    """On each board: boards of several sizes were sold under one name."""
    version: str | None = None


def type_of(word: Any) -> Type:
    """Take `Antminer S19x88 Hiveon` or `S19-88 v.2.6.0.39` apart."""
    found = text(word)
    return _type_of(found[:80]) if found else Type(None)


@lru_cache(maxsize=1024)
def _type_of(found: str) -> Type:
    version = _VERSION.search(found)
    plain = " ".join(_ADDED.sub("", _VERSION.sub("", found)).split())
    sized = _CHIPS.fullmatch(plain)
    name = sized.group(1) if sized else plain
    if _SERIES.match(name):
        name = f"Antminer {name}"
    model = known(name)
    return Type(
        common(model.name if model else name),
        int(sized.group(2)) if sized else None,
        common(version.group(1)) if version else None,
    )


# --- identity ----------------------------------------------------------------------------------


def parse_identity(
    version: dict[str, Any], info: dict[str, Any], provisional_id: str, firmware: str
) -> Identity:
    """Put together what `version` and the web page say; either may be empty."""
    row = (rows(version, "VERSION") or [{}])[0]
    identity = parse_system_info(version, info, provisional_id)
    told = type_of(first(row, ("Type",)) or info.get("minertype"))
    model = known(told.model)
    return msgspec.structs.replace(
        identity,
        model=told.model,
        firmware=firmware,
        firmware_version=told.version or identity.firmware_version,
        algorithm=model.algorithm if model else None,
    )


# --- a poll ------------------------------------------------------------------------------------


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    earlier: Pools | None = None,
    aside: Aside = NOTHING_ASIDE,
) -> Sample:
    """Read `stats` and `pools` as an Antminer's, and what this build adds."""
    head, body = head_and_body(report)
    told = type_of(head.get("Type"))
    sample = parse_antminer(_plain(report, head, body, told), device_id, taken_at, earlier, aside)
    reading = sample.reading
    if not isinstance(reading, MinerReading) or not body:
        return sample
    boards = tuple(_board(board, body, told) for board in reading.boards)
    watts = _watts(body)
    reading = msgspec.structs.replace(
        reading,
        boards=boards,
        fans=_fans(reading.fans, body),
        power_w=watts,
        # It follows voltage and clock, not what the boards do: a machine that hashed at a tenth
        # of its rate while its supply was failing still said 1345 W (recorded).
        power_source=None if watts is None else PowerSource.MODELLED,
        faults=_faults(body, boards, aside, reading),
    )
    return msgspec.structs.replace(sample, reading=reading)


def _plain(report: Report, head: Row, body: Row, told: Type) -> Report:
    """The report with the model's own name as `Type`."""
    if not head:
        return report
    reply = report.replies["stats"]
    stats = {**reply, "STATS": [{**head, "Type": told.model}, body]}
    return msgspec.structs.replace(report, replies={**report.replies, "stats": stats})


def _board(board: Board, body: Row, told: Type) -> Board:
    voltage = board.voltage_v or volts(body.get(f"voltage{board.index}"))
    return msgspec.structs.replace(
        board,
        chips_expected=told.chips or board.chips_expected,
        # Places without a board have the voltage, too; no board, no voltage.
        voltage_v=voltage if board.chips else None,
    )


def _fans(fans: tuple[Fan, ...], body: Row) -> tuple[Fan, ...]:
    """One duty for all, in percent by its size: 82 beside 5040 of some 6150 rpm."""
    duty = number(body.get("fan_pwm"))
    if duty is None or not 0 <= duty <= 100:
        return fans
    return tuple(Fan(fan.index, fan.rpm, duty) for fan in fans)


def _watts(body: Row) -> float | None:
    """`total_power`; older `chain_power` such as `"456.78 (AB)"`; else the chains' sum."""
    for key in ("total_power", "chain_power"):
        found = number(body.get(key))
        if found is not None and 0 <= found < 1e6:
            return found
    for key in ("chain_power", "chain_consumption"):
        parts = [number(body.get(f"{key}{at}")) for at in _CHAINS]
        known_parts = [watts for watts in parts if watts is not None and 0 <= watts < 1e5]
        if known_parts:
            return round(sum(known_parts), 2)
    return None


def _faults(
    body: Row, boards: tuple[Board, ...], aside: Aside, reading: MinerReading
) -> tuple[Fault, ...]:
    told = reading.faults
    if reading.state is not State.SLEEPING and any(
        board.chips_expected != before.chips_expected
        for board, before in zip(boards, reading.boards, strict=True)
    ):
        told = (*board_faults(body, boards), *aside.faults)
    return (*_supply(body), *told)[:FAULTS_LIMIT]


def _supply(body: Row) -> tuple[Fault, ...]:
    """`PSU OK` is good; `PSU power lost` was recorded."""
    words = text(body.get("psu_status"))
    if words is None or words.upper().endswith("OK"):
        return ()
    return (Fault(None, f"power supply: {words[:120]}"),)

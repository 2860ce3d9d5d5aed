"""What a Goldshell answers: its program on port 4028, and the pages of its web side. Pure.

Recordings of an SC Box, an SC Lite and an SC5 Pro II (firmware 2.2), and the web page's own
code, are where keys and units come from; the pages of other models are taken to be alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import msgspec

from drivers.asic import devices
from drivers.asic.cgminer import parse as parse_classic
from drivers.asic.cgminer import parse_identity as parse_version
from drivers.asic.fields import (
    Row,
    common,
    first,
    hashrate_now_ths,
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
from drivers.asic.goldshell.plans import (
    RESTING_LEVEL,
    clock_in,
    mode_of,
    plans_of,
    target_range,
)
from drivers.asic.page_parts import BOARDS_LIMIT, FAULTS_LIMIT, degrees, listed
from drivers.model import Board, Fault, Identity, MinerReading, Sample, State
from drivers.wire.cgminer import Report, rows

DEVS_PAGE = "/mcb/cgminer?cgminercmd=devs"
POOLS_PAGE = "/mcb/pools"
SETTING_PAGE = "/mcb/setting"
STATUS_PAGE = "/mcb/status"
ALGORITHMS_PAGE = "/mcb/algosetting"
_FAN = re.compile(r"(\d{1,6})\s*rpm")
_MILLIVOLTS = 1000.0


class Plan(NamedTuple):
    """The power plan that is set, and what stands beside it; None where that is not told."""

    mode: str | None = None
    sleeping: bool | None = None
    locating: bool | None = None
    temp_target_c: float | None = None


NO_PLAN = Plan()


def parse_identity(
    version: dict[str, Any],
    pages: Mapping[str, Any],
    provisional_id: str,
) -> Identity:
    """Put together what port 4028 and the pages say; any of them may be missing."""
    classic = parse_version(version, provisional_id)
    status, setting = _page(pages, STATUS_PAGE), _page(pages, SETTING_PAGE)
    address = mac(setting.get("name")) or classic.mac  # the miner's name is its MAC
    return Identity(
        id=miner_id(address, None, provisional_id),
        kind=classic.kind,
        make="Goldshell",
        model=_model(status.get("model")) or classic.model,
        firmware="stock",
        firmware_version=common(status.get("firmware")) or classic.firmware_version,
        mac=address,
        algorithm=_algorithm(_page(pages, ALGORITHMS_PAGE)),
    )


def _page(pages: Mapping[str, Any], path: str) -> Row:
    found = pages.get(path)
    return found if isinstance(found, dict) else {}


def _model(value: Any) -> str | None:
    """The model without the maker's name; an SC5 Pro II writes its II as one letter."""
    found = text(value)
    if found is None:
        return None
    return common(unicodedata.normalize("NFKC", found).removeprefix("Goldshell-"))


def _algorithm(setting: Row) -> str | None:
    chosen = integer(setting.get("algo_select"))
    names = [
        common(row.get("name"))
        for row in listed(setting.get("algos"), 16)
        if chosen is None or integer(row.get("id")) in (chosen, None)
    ]
    return names[0] if names else None


def parse_plan(setting: Any) -> Plan:
    """Which power plan is set, and whether it is the one that stands still (0 MHz)."""
    if not isinstance(setting, dict):
        return NO_PLAN
    manual, level = truth(setting.get("manual")), integer(setting.get("select"))
    if level is None and not manual:
        return NO_PLAN
    words = setting.get("manualPowerplan") if manual else plans_of(setting).get(level or 0)
    clock = clock_in(words)
    target = target_range(setting) and number(setting.get("temp_target"))
    return Plan(
        "manual" if manual else None if level is None else mode_of(level),
        (level == RESTING_LEVEL and not manual) if clock is None else clock == 0,
        truth(setting.get("ledcontrol")),
        target or None,
    )


def parse_chips(details: dict[str, Any]) -> dict[int, int]:
    """Chips by board from `devdetails`, whose rows stand under DEVS on this firmware."""
    found = rows(details, "DEVDETAILS") or rows(details, "DEVS")
    pairs = ((integer(row.get("DEVDETAILS")), integer(row.get("chips-nr"))) for row in found)
    return {at: chips for at, chips in list(pairs)[:BOARDS_LIMIT] if at is not None and chips}


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    plan: Plan = NO_PLAN,
    chips: Mapping[int, int] | None = None,
) -> Sample:
    """Read `summary`, `devs` and `pools`, with what is known of plan and chips."""
    sample = parse_classic(report, device_id, taken_at, board=partial(_board, chips or {}))
    reading = cast("MinerReading", sample.reading)
    found = rows(report.replies.get("devs", {}), "DEVS")[:BOARDS_LIMIT]
    mixed = len({row.get("pool") for row in found if isinstance(row.get("pool"), str)}) > 1
    reading = msgspec.structs.replace(
        reading,
        # A Byte hashes two algorithms at once: their rates do not add up to anything.
        hashrate_ths=None if mixed else reading.hashrate_ths,
        hashrate_avg_ths=None if mixed else reading.hashrate_avg_ths,
        power_output_w=_output_w(found),
        shares_accepted=_total(reading.shares_accepted, found, "Accepted"),
        shares_rejected=_total(reading.shares_rejected, found, "Rejected"),
        hw_errors=_total(reading.hw_errors, found, "Hardware Errors"),
        faults=(*reading.faults, *_faults(reading.boards, found))[:FAULTS_LIMIT],
    )
    return with_plan(Sample(reading, sample.fingerprint), plan)


def with_plan(sample: Sample, plan: Plan) -> Sample:
    """The same reading with what the power plan says of mode and state."""
    if plan == NO_PLAN:
        return sample
    reading = cast("MinerReading", sample.reading)
    reading = msgspec.structs.replace(
        reading,
        state=State.SLEEPING if plan.sleeping and not reading.hashrate_ths else reading.state,
        mode=plan.mode,
        locating=plan.locating,
        temp_target_c=plan.temp_target_c,
    )
    return Sample(reading, sample.fingerprint)


def _board(chips: Mapping[int, int], at: int, row: Row) -> Board:
    index = integer(first(row, devices.UNITS))
    index = at if index is None else index
    volts = positive(row.get("voltage"))
    return Board(
        index=index,
        hashrate_ths=hashrate_now_ths(row),
        chips=chips.get(index),
        # 2 is the sensor on the board, which the fans follow; 0 is the chips' mean and a little.
        board_temp_c=degrees(row.get("tstemp-2")),
        chip_temp_c=highest((degrees(row.get("tstemp-0")), degrees(row.get("tstemp-1")))),
        # An SC5 Pro II says 11750 and means mV, an SC Box says 0.41 and its own plans call it V.
        voltage_v=volts / _MILLIVOLTS if volts and volts >= _MILLIVOLTS else volts,
        frequency_mhz=positive(row.get("clock")),
        hw_errors=integer(row.get("Hardware Errors")),
    )


def _output_w(found: list[dict[str, Any]]) -> float | None:
    """Volts times amperes of the supply, which each board's row repeats.

    Unverified: that the figures are mV and mA of the whole supply follows from the rating of
    one SC5 Pro II alone; boxes have no `current`.
    """
    for row in found:
        millivolts, milliamperes = positive(row.get("voltage")), positive(row.get("current"))
        if millivolts and milliamperes and millivolts >= _MILLIVOLTS <= milliamperes:
            return scaled(millivolts * milliamperes, 1e-6)
    return None


def _total(known: int | None, found: list[dict[str, Any]], key: str) -> int | None:
    if known is not None:
        return known
    values = [value for row in found if (value := integer(row.get(key))) is not None]
    return sum(values) if values else None


def _faults(boards: tuple[Board, ...], found: list[dict[str, Any]]) -> tuple[Fault, ...]:
    hot = (
        Fault("overheat", f"board {board.index} is too hot")
        for board, row in zip(boards, found, strict=False)
        if integer(row.get("overheat"))
    )
    return tuple(hot)


# --- the web pages, where port 4028 is closed -------------------------------------------------


def as_report(pages: Mapping[str, Any], failed: Report) -> Report:
    """What the pages say in the words of port 4028."""
    replies: dict[str, Any] = {}
    found = _devices(pages.get(DEVS_PAGE))
    if found:
        replies["devs"] = {"DEVS": [_device(row) for row in found]}
    pools = listed(pages.get(POOLS_PAGE), 16)
    if pools:
        replies["pools"] = {"POOLS": [_pool(row) for row in pools]}
    return Report(replies, failed.errors)


def _devices(page: Any) -> list[dict[str, Any]]:
    """The boards of `devs`: a list, or one list for each algorithm of a Byte."""
    if not isinstance(page, dict):
        return []
    found = listed(page.get("data"), BOARDS_LIMIT)
    for group in listed(page.get("minfos"), 8):
        for row in listed(group.get("infos"), BOARDS_LIMIT):
            found.append({"pool": group.get("name"), **row})
    return found[:BOARDS_LIMIT]


def _device(row: Row) -> dict[str, Any]:
    minutes = number(row.get("time"))
    named: dict[str, Any] = {
        "PGA": row.get("id"),
        "Name": "INCS",
        "ID": row.get("id"),
        "MHS 20s": row.get("hashrate"),
        "MHS av": row.get("av_hashrate"),
        "Accepted": row.get("accepted"),
        "Rejected": row.get("rejected"),
        "Hardware Errors": row.get("hwerrors"),
        "tstemp-2": row.get("temp"),  # the same sensor to a tenth, as `77.7 °C`
        "Device Elapsed": None if minutes is None else minutes * 60,
        "pool": row.get("pool"),
    }
    speeds = row.get("fanspeed")
    for at, match in enumerate(_FAN.finditer(speeds[:400] if isinstance(speeds, str) else "")):
        named[f"fan{at}"] = match[1]
    return {key: value for key, value in named.items() if value is not None}


def _pool(row: Row) -> dict[str, Any]:
    """A pool of the page; `legal` says that its address could be read, not that it answers."""
    return {
        "URL": row.get("url"),
        "User": row.get("user"),
        "Stratum Active": row.get("active"),
        "Priority": row.get("pool-priority"),
    }

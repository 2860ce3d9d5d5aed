"""What an Innosilicon answers: its program on port 4028, and the pages of its web side. Pure.

Sources: the PHP and the scripts of the web side (made for Halong's DragonMint T1, kept by
Innosilicon's T2, T3, A9 and A10), the drivers that are public, test answers of an A9. No
recording of a whole machine was at hand: what is marked so is unverified.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec

from drivers.asic import devices
from drivers.asic.cgminer import parse as parse_classic
from drivers.asic.cgminer import parse_identity as parse_version
from drivers.asic.fields import (
    Row,
    common,
    first,
    highest,
    integer,
    mac,
    miner_id,
    positive,
    scaled,
    text,
    truth,
)
from drivers.asic.page_parts import BOARDS_LIMIT, FAULTS_LIMIT, degrees, listed, section, watts
from drivers.model import Board, Fan, Fault, Identity, MinerReading, PowerSource, Sample
from drivers.wire.cgminer import Report, rows

ALL_PAGE = "/api/getAll"
OVERVIEW_PAGE = "/api/overview"
TYPE_PAGE = "/api/type"
SUMMARY_PAGE = "/api/summary"
ERROR_PAGE = "/api/getErrorDetail"
_PROGRAM = re.compile(r"innominer\s+([a-z]+\d+[a-z]*)[-_ ]*v?([\w.]*)", re.IGNORECASE)
_IN_SOLUTIONS = frozenset({"A9"})
"""An A9 solves Equihash: its data sheet says 50 kSol/s and its `MHS 5s` says 51451.63."""


class Details(NamedTuple):
    """What the pages told a while ago; None where they did not."""

    mode: str | None = None
    power_w: float | None = None
    faults: tuple[Fault, ...] = ()


NO_DETAILS = Details()


def parse_identity(
    version: dict[str, Any], pages: Mapping[str, Any], report: Report, provisional_id: str
) -> Identity:
    """Put together what port 4028 and the pages say; any of them may be missing."""
    classic = parse_version(version, provisional_id, report)
    whole, overview = section(pages.get(ALL_PAGE), "all"), section(pages.get(OVERVIEW_PAGE))
    built = section(overview, "version")
    address = mac(whole.get("mac")) or mac(built.get("ethaddr")) or classic.mac
    serial = text(whole.get("dna"))
    named = [row.get("type") for row in (section(pages.get(TYPE_PAGE)), overview, whole)]
    model = next(filter(None, map(common, named)), None)
    program, release = _program(version, *report.replies.values())
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=classic.kind,
        make=classic.make if classic.make == "Halong Mining" else "Innosilicon",
        model=model or program or classic.model,
        firmware="stock",
        firmware_version=common(built.get("platform_v")) or release or classic.firmware_version,
        serial=serial,
        mac=address,
        algorithm="equihash" if program in _IN_SOLUTIONS else classic.algorithm,
    )


def _program(*replies: Any) -> tuple[str | None, str | None]:
    """Model and release in `innominer a9-1.1.0`, which stands in the STATUS of any answer."""
    for reply in replies:
        for row in rows(reply if isinstance(reply, dict) else {}, "STATUS"):
            words = row.get("Description")
            found = _PROGRAM.match(words) if isinstance(words, str) else None
            if found:
                return common(found[1].upper()), common(found[2])
    return None, None


def parse_details(pages: Mapping[str, Any]) -> Details:
    """Read the slow pages: mode, watts and the error that the miner shows."""
    whole = section(pages.get(ALL_PAGE), "all")
    running = section(whole, "running_mode")
    words = [text(running.get("mode")), text(running.get("level"))]
    return Details(
        " ".join(word for word in words if word) or None,
        watts(whole.get("power")) or None,
        _error(section(pages.get(ERROR_PAGE))),
    )


def _error(page: Row) -> tuple[Fault, ...]:
    """The code in the miner's error file; 0 is none. Its meaning differs from type to type."""
    code = text(page.get("code"))
    if code is None or integer(code) == 0:
        return ()
    words = text(first(page, ("errmsg", "message", "msg")))
    return (Fault(code, words or f"the miner shows error {code}"),)


def parse(report: Report, device_id: str, taken_at: float, details: Details = NO_DETAILS) -> Sample:
    """Read `summary`, `devs`, `stats` and `pools`, with what the pages told a while ago."""
    sample = parse_classic(report, device_id, taken_at)
    reading = cast("MinerReading", sample.reading)
    if _program(*report.replies.values())[0] in _IN_SOLUTIONS:
        reading = _in_solutions(reading)
    stats = [
        row
        for row in devices.numbered(report.replies.get("stats", {}), "STATS")[:BOARDS_LIMIT]
        if "Chain ID" in row
    ]
    power_w = next(filter(None, (positive(row.get("power")) for row in stats)), None)
    reading = msgspec.structs.replace(
        reading,
        power_w=power_w,
        # Only some types have the key; whether anything measures it is unverified.
        power_source=None if power_w is None else PowerSource.REPORTED,
        faults=(*reading.faults, *_faults(reading.boards, stats))[:FAULTS_LIMIT],
    )
    return with_details(Sample(reading, sample.fingerprint), details)


def with_details(sample: Sample, details: Details) -> Sample:
    """The same reading with mode, watts and error of the pages."""
    if details == NO_DETAILS:
        return sample
    reading = cast("MinerReading", sample.reading)
    power_w = details.power_w if reading.power_w is None else reading.power_w
    reading = msgspec.structs.replace(
        reading,
        mode=details.mode,
        power_w=power_w,
        power_source=None if power_w is None else PowerSource.REPORTED,
        faults=(*reading.faults, *details.faults)[:FAULTS_LIMIT],
    )
    return Sample(reading, sample.fingerprint)


def _in_solutions(reading: MinerReading) -> MinerReading:
    """Rates that are solutions a second under names that say millions."""
    boards = tuple(
        msgspec.structs.replace(board, hashrate_ths=scaled(board.hashrate_ths, 1e-6))
        for board in reading.boards
    )
    return msgspec.structs.replace(
        reading,
        hashrate_ths=scaled(reading.hashrate_ths, 1e-6),
        hashrate_avg_ths=scaled(reading.hashrate_avg_ths, 1e-6),
        boards=boards,
    )


def _faults(boards: tuple[Board, ...], stats: list[dict[str, Any]]) -> list[Fault]:
    found = [
        Fault(None, f"board {board.index}: {board.chips} of {board.chips_expected} chips answer")
        for board in boards
        if board.chips is not None and board.chips_expected and board.chips < board.chips_expected
    ]
    off = [integer(row.get("Chain ID")) for row in stats if truth(row.get("Disabled"))]
    return [*found, *(Fault("disabled", f"board {at} is switched off") for at in off)]


# --- the web pages, where port 4028 is closed -------------------------------------------------


def as_report(pages: Mapping[str, Any], failed: Report) -> Report:
    """What the pages say in the words of port 4028.

    `/api/summary` passes the rows of `devs` and `pools` on as they are; what is missing in them
    comes from `/api/getAll`, whose rates in H/s stand in `Hash Rate H`.
    """
    page, whole = section(pages.get(SUMMARY_PAGE)), section(pages.get(ALL_PAGE), "all")
    replies: dict[str, Any] = {}
    found = listed(page.get("DEVS"), BOARDS_LIMIT)
    found = found or [_chain(row) for row in listed(whole.get("chain"), BOARDS_LIMIT)]
    if found:
        replies["devs"] = {"DEVS": found}
    pools = listed(page.get("POOLS"), 16)
    pools = pools or [
        # The page puts the active pool first, and an empty place where there is none.
        {"URL": row.get("url"), "User": row.get("user"), "Stratum Active": at == 0}
        for at, row in enumerate(listed(whole.get("pools"), 16))
    ]
    if pools:
        replies["pools"] = {"POOLS": pools}
    return Report(replies, failed.errors)


def _chain(row: Row) -> dict[str, Any]:
    named: dict[str, Any] = {"ASC": row.get("ASC"), "THS 5s": scaled(row.get("Hash Rate H"), 1e-12)}
    temps = (degrees(row.get(key)) for key in ("Temp max", "Average Temp", "Temp min"))
    named["Temperature"] = highest(temps)
    return {key: value for key, value in named.items() if value is not None}


def with_duty(sample: Sample, pages: Mapping[str, Any]) -> Sample:
    """The reading with the fans' duty, which the pages give for all fans together."""
    reading = cast("MinerReading", sample.reading)
    duty = positive(section(pages.get(SUMMARY_PAGE), "HARDWARE").get("Fan duty"))
    duty = duty or positive(section(pages.get(ALL_PAGE), "all").get("fansSpeed"))
    if duty is None or reading.fans:
        return sample
    fans = (Fan(0, None, duty),)
    return Sample(msgspec.structs.replace(reading, fans=fans), sample.fingerprint)

"""What Auradine's machines answer on port 4028 and on the pages of port 8080. Pure.

Both speak gcminer's form: `STATUS` and one section. Sources: answers in the form of the vendor's
API document (firmwares of 2022 to 2026), and public descriptions of the AH3880's answers, which
add `Wattage` and `JTHS 1m` to `summary` and the coolant to `temperature`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from drivers.asic import parts
from drivers.asic.auradine.pages import Heat, Light, Mode, Origin, Supply, Temperatures, first_of
from drivers.asic.cgminer import missing
from drivers.asic.fields import (
    Row,
    common,
    hashrate_average_ths,
    hashrate_now_ths,
    highest,
    integer,
    mac,
    miner_id,
    number,
    positive,
    text,
)
from drivers.asic.models import Model, known
from drivers.asic.page_parts import BOARDS_LIMIT, degrees, watts
from drivers.model import (
    Board,
    Fault,
    Fingerprint,
    Identity,
    Kind,
    MinerReading,
    PowerSource,
    Sample,
    State,
)
from drivers.wire.cgminer import Report, rows

MAKE, LINE = "Auradine", "Teraflux"
_BUILD = re.compile(r"(?:FluxOS|GCMiner)-(\d{4}-\d{1,2}\.\d{1,2})")


# --- identity ----------------------------------------------------------------------------------


def parse_identity(version: Row, page: Any, provisional_id: str) -> Identity:
    """Put together `version` and the page `ipreport`; either may be empty."""
    row, program = first_of(page, "IPReport"), first_of(version, "VERSION")
    address, serial = mac(row.get("mac")), text(row.get("SerialNo"))
    build = common(row.get("version")) or _build(version) or common(program.get("GCMiner"))
    return Identity(
        id=miner_id(address, serial, provisional_id),
        kind=Kind.ASIC,
        make=MAKE,
        model=full_name(common(row.get("model"))),
        firmware="stock",
        firmware_version=build,
        serial=serial,
        mac=address,
        hostname=text(row.get("hostname")),
    )


def full_name(model: str | None) -> str | None:
    """The firmware says `AT1500` of what its maker calls a Teraflux AT1500."""
    named = model is None or model.lower().startswith(LINE.lower())
    return model if named else f"{LINE} {model}"


def _build(reply: Row) -> str | None:
    found = _BUILD.search(describes(reply))
    return found.group(1) if found else None


def describes(reply: Any) -> str:
    """The build that a status names, as in `FluxOS-2023-12.27-9bf0...`."""
    status = reply.get("STATUS") if isinstance(reply, dict) else None
    if isinstance(status, list) and status:
        status = status[0]
    return text(status.get("Description")) or "" if isinstance(status, dict) else ""


# --- what a poll brought -----------------------------------------------------------------------


def words_of(report: Report) -> tuple[str, ...]:
    """What the machine calls itself in a poll: its build, and whom it works for."""
    pool = first_of(report.replies.get("pools"), "POOLS")
    return describes(report.replies.get("summary")), text(pool.get("User")) or ""


def uptime_of(report: Report) -> float | None:
    """Seconds since gcminer was started."""
    return number(first_of(report.replies.get("summary"), "SUMMARY").get("Elapsed"))


def parse(
    report: Report,
    device_id: str,
    taken_at: float,
    pages: Mapping[str, Any] = {},
    lacking: tuple[str, ...] = (),
) -> Sample:
    """Read `summary`, `devs`, `pools` and `asccount`, and what the pages were reduced to."""
    summary = first_of(report.replies.get("summary"), "SUMMARY")
    mode, supply = pages.get("/mode", Mode()), pages.get("/psu", Supply())
    heat, light = pages.get("/temperature", Temperatures()), pages.get("/led", Light())
    pools = parts.pools(rows(report.replies.get("pools", {}), "POOLS"))
    model = known(full_name(pages.get("/ipreport", Origin()).model))
    boards = _boards(report, model, pages)
    uptime_s, hashrate_ths = uptime_of(report), hashrate_now_ths(summary)
    state = parts.mining_state(hashrate_ths, uptime_s, pools)
    if mode.sleeps is None and state is State.FAULT:
        state = State.UNKNOWN  # it may as well be asleep: the page that says so does not open
    power_w, source = _power(summary, supply)
    reading = MinerReading(
        device_id=device_id,
        kind=Kind.ASIC,
        taken_at=datetime.fromtimestamp(taken_at, UTC),
        state=State.SLEEPING if mode.sleeps else state,
        mode=mode.name,
        hashrate_ths=hashrate_ths,
        hashrate_avg_ths=hashrate_average_ths(summary),
        hashrate_nominal_ths=mode.rate_ths,
        power_w=power_w,
        power_source=source,
        power_output_w=supply.output_w,
        power_limit_w=mode.power_w,
        efficiency_j_th=positive(summary.get("JTHS 1m")),
        uptime_s=uptime_s,
        inlet_temp_c=heat.inlet_c,
        outlet_temp_c=heat.outlet_c,
        chip_temp_max_c=highest(board.chip_temp_c for board in boards),
        shares_accepted=integer(summary.get("Accepted")),
        shares_rejected=integer(summary.get("Rejected")),
        shares_stale=integer(summary.get("Stale")),
        hw_errors=integer(summary.get("Hardware Errors")),
        locating=light.locating,
        boards=boards,
        fans=pages.get("/fan", ()),
        pools=pools,
        faults=(*light.faults, *_faults(report, boards, model)),
        missing=(*missing(report), *lacking),
    )
    return Sample(reading, _fingerprint(report, reading, summary))


def _power(summary: Row, supply: Supply) -> tuple[float | None, PowerSource | None]:
    """The supply measures its input (volts, amperes and watts of it are there).

    In the one recording it says 58.94 W in, 0 W out, 245 V, 0.28 A: a machine that stands, and
    the draw of supply and fans alone. That is wall power, and not a running machine's.
    """
    if supply.input_w is not None:
        return supply.input_w, PowerSource.METERED
    own_w = watts(summary.get("Wattage"))
    return own_w, None if own_w is None else PowerSource.REPORTED


def _boards(report: Report, model: Model | None, pages: Mapping[str, Any]) -> tuple[Board, ...]:
    devices = rows(report.replies.get("devs", {}), "DEVS")[:BOARDS_LIMIT]
    by_number = {_number(row, at): row for at, row in enumerate(devices, 1)}
    heats = pages.get("/temperature", Temperatures()).boards
    numbers = sorted({*by_number, *heats})[:BOARDS_LIMIT]
    serials = pages.get("/ipreport", Origin()).board_serials
    # They come in the order of the boards: not to be assigned where one more or less is there.
    own = dict(zip(numbers, serials, strict=True)) if len(serials) == len(numbers) else {}
    frequencies, chips = pages.get("/frequency", {}), _chips(report)
    found = []
    for at in numbers:
        row, heat = by_number.get(at, {}), heats.get(at, Heat())
        alive = row.get("Status", "Alive") == "Alive" and at in by_number
        found.append(
            Board(
                index=at,
                serial=own.get(at) or None,
                hashrate_ths=hashrate_now_ths(row),
                chips=chips if alive else None,
                chips_expected=model.chips if model else None,
                board_temp_c=highest((degrees(row.get("Temperature")), heat.hottest_c)),
                chip_temp_c=heat.chip_c,
                # Three sensors at 21 degrees and two at 42 in the one recording: the coolest is
                # where the air comes, the hottest where it goes. Unverified.
                inlet_temp_c=heat.coolest_c,
                outlet_temp_c=heat.hottest_c,
                frequency_mhz=frequencies.get(at),
            )
        )
    return tuple(found)


def _number(row: Row, otherwise: int) -> int:
    found = integer(row.get("DEV", row.get("ID")))
    return otherwise if found is None else found


def _chips(report: Report) -> int | None:
    """Chips on each board, from the totals in `asccount`; None where they do not divide evenly.

    Unverified: whether it counts the chips that answer or those that were built in.
    """
    row = first_of(report.replies.get("asccount"), "ASCCount")
    chips, boards = integer(row.get("AsicCount")), integer(row.get("BoardCount"))
    if not chips or not boards or min(chips, boards) < 0 or chips % boards:
        return None
    return chips // boards


def _faults(report: Report, boards: tuple[Board, ...], model: Model | None) -> list[Fault]:
    devices = rows(report.replies.get("devs", {}), "DEVS")[:BOARDS_LIMIT]
    found = [
        Fault(None, f"board {_number(row, at)} is {status.lower()}")
        for at, row in enumerate(devices, 1)
        if (status := text(row.get("Status"))) and status != "Alive"
    ]
    whole = model.boards if model else None
    if devices and whole and len(devices) < whole:
        found.append(Fault(None, f"{len(devices)} of {whole} boards answer"))
    short = (board for board in boards if board.chips and board.chips_expected)
    found += [
        Fault(None, f"board {board.index}: {board.chips} of {board.chips_expected} chips answer")
        for board in short
        if (board.chips or 0) < (board.chips_expected or 0)
    ]
    return found


def _fingerprint(report: Report, reading: MinerReading, summary: Row) -> Fingerprint:
    devices = rows(report.replies.get("devs", {}), "DEVS")[:BOARDS_LIMIT]
    names = (f"{text(row.get('Name'))}{integer(row.get('ID'))}" for row in devices)
    counters = (number(summary.get("Accepted")), number(summary.get("Total MH")))
    return Fingerprint(
        traits=(*filter(None, words_of(report)), *names),
        uptime_s=reading.uptime_s,
        counters=tuple(value for value in counters if value is not None),
    )

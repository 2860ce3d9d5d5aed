"""The boards of a machine with ePIC's firmware. Pure."""

from __future__ import annotations

from drivers.asic.epic.build import Build
from drivers.asic.fields import Row, integer, positive, truth
from drivers.asic.page_parts import BOARDS_LIMIT, degrees, listed, rate
from drivers.model import Board

MHS = 1e-6


def boards_of(summary: Row, build: Build) -> tuple[Board, ...]:
    """Boards that hash (`HBs`) and those that `HBStatus` knows besides."""
    rows = {
        at if (index := integer(row.get("Index"))) is None else index: row
        for at, row in enumerate(listed(summary.get("HBs"), BOARDS_LIMIT))
    }
    statuses = statuses_of(summary)
    places = sorted({*rows, *statuses})[:BOARDS_LIMIT]
    serials = _serials(places, statuses, build)
    return tuple(
        _board(at, rows[at], serials.get(at), build)
        if at in rows
        else _dark_board(at, statuses[at], serials.get(at), build)
        for at in places
    )


def statuses_of(summary: Row) -> dict[int, Row]:
    """The rows of `HBStatus` by their number; versions before v3 have none."""
    found = listed(summary.get("HBStatus"), BOARDS_LIMIT)
    return {index: row for row in found if (index := integer(row.get("Index"))) is not None}


def _serials(places: list[int], statuses: dict[int, Row], build: Build) -> dict[int, str]:
    """Serials by board: the list has no numbers, so it says something where its length does."""
    working = [at for at in places if truth(statuses.get(at, {}).get("Enabled")) is not False]
    for among in (places, working):
        if len(among) == len(build.serials):
            return {at: word for at, word in zip(among, build.serials, strict=True) if word}
    return {}


def _board(index: int, row: Row, serial: str | None, build: Build) -> Board:
    rates = row.get("Hashrate")
    now, percent, *_ = (*rates, None, None) if isinstance(rates, list) else (rates, None)
    hashrate_ths, share = rate(now, MHS), positive(percent)
    temp_c = degrees(row.get("Temperature"))
    return Board(
        index=index,
        serial=serial,
        hashrate_ths=hashrate_ths,
        # The second figure is the rate in percent of the theoretical one.
        hashrate_nominal_ths=rate(hashrate_ths, 100 / share) if hashrate_ths and share else None,
        chips=build.chips.get(index),
        chips_expected=build.chips_expected,
        board_temp_c=None if build.sensors_on_chips else temp_c,
        chip_temp_c=temp_c if build.sensors_on_chips else None,
        voltage_v=positive(row.get("Input Voltage")),
        frequency_mhz=_clock(row),
    )


def _dark_board(index: int, status: Row, serial: str | None, build: Build) -> Board:
    """A board without a row in `HBs`; where it is said to be off or absent, no chip hashes."""
    off = truth(status.get("Enabled")) is False or truth(status.get("Detected")) is False
    return Board(
        index=index,
        serial=serial,
        chips=0 if off else None,
        chips_expected=build.chips_expected,
    )


def _clock(row: Row) -> float | None:
    """v1 has a number, v3 a list of clocks (empty in the recording) and their mean beside it."""
    mean = positive(row.get("Core Clock Avg"))
    clocks = row.get("Core Clock")
    if mean is not None or not isinstance(clocks, list):
        return mean or positive(clocks)
    found = [clock for each in clocks[:1024] if (clock := positive(each)) is not None]
    return positive(sum(found) / len(found)) if found else None

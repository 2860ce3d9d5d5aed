"""The pages of an Auradine's API, each reduced to what a reading takes from it. Pure.

All have gcminer's form: `STATUS` and one section. Sources: answers in the form of the vendor's
API document (firmwares of 2022 to 2026), and public descriptions of the AH3880's answers, which
have the coolant in `temperature`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from drivers.asic.fields import Row, common, highest, integer, positive, text
from drivers.asic.page_parts import BOARDS_LIMIT, FANS_LIMIT, degrees, listed, watts
from drivers.model import Fan, Fault
from drivers.wire.cgminer import rows

_CHIPS_LIMIT = 1024
_PSUS_LIMIT = 8
_LED_LOCATING = 3
_LED_BLINKS = 4
_TROUBLE = re.compile(r"fail|err|fault|alarm|lost|leak|hot|over|low|miss|down|bad|dead", re.I)


class Mode(NamedTuple):
    """`mode`: whether it sleeps, and the target in force."""

    sleeps: bool | None = None
    name: str | None = None
    power_w: float | None = None
    rate_ths: float | None = None


class Supply(NamedTuple):
    """`psu`: what goes in and out, all supplies together."""

    input_w: float | None = None
    output_w: float | None = None


class Heat(NamedTuple):
    """The sensors of one board."""

    coolest_c: float | None = None
    hottest_c: float | None = None
    chip_c: float | None = None


class Temperatures(NamedTuple):
    """`temperature`: boards by number, and the coolant of machines that have one."""

    boards: Mapping[int, Heat] = {}
    inlet_c: float | None = None
    outlet_c: float | None = None


class Light(NamedTuple):
    """`led`: whether it locates, and what trouble it shows."""

    locating: bool | None = None
    faults: tuple[Fault, ...] = ()


class Origin(NamedTuple):
    """`ipreport`: the machine's and its parts' own data."""

    model: str | None = None
    board_serials: tuple[str, ...] = ()


def first_of(page: Any, name: str) -> Row:
    """The first object of a section; empty where there is none."""
    return next(iter(rows(page, name)), {}) if isinstance(page, dict) else {}


def _listed(page: Any, name: str, limit: int) -> list[dict[str, Any]]:
    return rows(page, name)[:limit] if isinstance(page, dict) else []


def read_mode(page: Any) -> Mode:
    """`Sleep` is "on" or "off"; `Tune` says which of the two targets counts in mode custom."""
    row = first_of(page, "Mode")
    name, tune = text(row.get("Mode")), text(row.get("Tune"))
    custom = name is None or name.lower() == "custom"
    tune = tune.lower() if tune else None  # old firmware has no `Tune`, and both targets
    return Mode(
        sleeps={"on": True, "off": False}.get(str(row.get("Sleep")).strip().lower()),
        name=name.lower() if name else None,
        power_w=positive(row.get("Power")) if custom and tune != "ths" else None,
        rate_ths=positive(row.get("Ths")) if custom and tune != "power" else None,
    )


def read_psu(page: Any) -> Supply:
    """Values are words with units: "58.94W"."""
    supplies = _listed(page, "PSU", _PSUS_LIMIT)
    return Supply(_sum(supplies, "PowerIn"), _sum(supplies, "PowerOut"))


def _sum(supplies: list[dict[str, Any]], key: str) -> float | None:
    values = [watts(row.get(key)) for row in supplies]
    found = [value for value in values if value is not None]
    return round(sum(found), 3) if found and len(found) == len(values) else None


def read_fans(page: Any) -> tuple[Fan, ...]:
    """`Speed` is in rpm, as its `Target` and `Max` are."""
    fans = enumerate(_listed(page, "Fan", FANS_LIMIT), 1)
    return tuple(Fan(_at(row, at), integer(row.get("Speed"))) for at, row in fans)


def _at(row: Row, otherwise: int) -> int:
    found = integer(row.get("ID"))
    return otherwise if found is None else found


def read_temperatures(page: Any) -> Temperatures:
    """Number 0 is the control board, which has the coolant's sensors on cooled machines."""
    found = _listed(page, "Temperature", BOARDS_LIMIT)
    control = next((row for row in found if integer(row.get("ID")) == 0), {})
    boards = {_at(row, at): _heat(row) for at, row in enumerate(found) if row is not control}
    return Temperatures(
        boards, degrees(control.get("InletTemp")), degrees(control.get("OutletTemp"))
    )


def _heat(row: Row) -> Heat:
    on_board = _degrees(row.get("BoardTemp"))
    return Heat(
        coolest_c=min(on_board, default=None),
        hottest_c=highest(on_board),
        chip_c=highest(_degrees(row.get("ChipTemp"))),
    )


def _degrees(value: Any) -> list[float]:
    found = (degrees(row.get("Temperature")) for row in listed(value, _CHIPS_LIMIT))
    return [value for value in found if value is not None]


def read_frequencies(page: Any) -> Mapping[int, float]:
    """The mean over the chips of each board; chips that stand still are left out."""
    found = {}
    for at, row in enumerate(_listed(page, "Frequency", BOARDS_LIMIT), 1):
        chips = listed(row.get("ChipFrequency"), _CHIPS_LIMIT)
        values = [mhz for chip in chips if (mhz := positive(chip.get("Frequency")))]
        if values:
            found[_at(row, at)] = round(sum(values) / len(values), 3)
    return found


def read_led(page: Any) -> Light:
    """Code 2 is normal, 3 locates: then both lights blink (two public descriptions agree)."""
    row = first_of(page, "LED")
    code = integer(row.get("Code"))
    if code is None:
        return Light()
    blinks = all(integer(row.get(key)) == _LED_BLINKS for key in ("LED1", "LED2"))
    words = text(row.get("DisplayMsg")) or text(row.get("Msg"))
    # The codes are not documented: the words tell trouble from "Normal" and "Standby".
    trouble = words is not None and _TROUBLE.search(words) is not None
    faults = (Fault(str(code), words),) if trouble and words else ()
    return Light(code == _LED_LOCATING or blinks, faults)


def read_origin(page: Any) -> Origin:
    """The model's number and the boards' serials."""
    row = first_of(page, "IPReport")
    serials = row.get("HBSerialNo")
    words = map(text, serials[:BOARDS_LIMIT]) if isinstance(serials, list) else ()
    return Origin(common(row.get("model")), tuple(word or "" for word in words))

"""Devices, fans and pools in the answers of cgminer's many descendants: old breeds included.

`devs` has a row for each device, `stats` one more with the driver's own keys, which no two
drivers spell alike (source: the `api_stats` functions of cgminer's and bfgminer's drivers, and
recordings). Which key means what is found out once for each spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from drivers.asic.fields import (
    Row,
    first,
    hashrate_now_ths,
    highest,
    integer,
    number,
    positive,
    scaled,
    text,
    truth,
)
from drivers.model import Board, Fan, Fault
from drivers.wire.cgminer import rows

BOARDS_LIMIT = 64
FANS_LIMIT = 32
FAULTS_LIMIT = 64
HOTTEST_C = 200.0
"""Above this it is no temperature: broken sensors have shown 1e31 degrees."""
UNITS = ("ASC", "PGA", "GPU")
_KEY_LIMIT = 32
_KEYS_LIMIT = 600
_CHIPS = ("Num active chips", "ChipNum", "Chip Count", "Chips", "chips", "Asics", "Asic Count")
_FREQUENCIES = (
    "Frequency",
    "GPU Clock",
    "Chip Frequency",
    "Device Freq",
    "frequency",
    "Freq",
    "clock",
    "PLL",
)
_SERIALS = ("Chain SN", "PCB SN", "Serial", "SN")
_VOLTS = ("GPU Voltage", "volt")
"""Of the many keys with `volt` the two that are in volts for certain."""
_BAD_STATUS = {"dead": "is dead", "sick": "is sick", "nostart": "did not start"}

_SEPARATORS = re.compile(r"[\s_()-]+")
_TEMPERATURE = re.compile(
    r"(?P<where>chip|core|die|asic|hot|board|pcb|mos|ts)?"
    r"te[mn]p(?:erature)?(?:max|avg|min|high|low|now|hottest)?(?P<at>\d{0,3})"
    r"|(?:max|avg|min|average|hottest)te[mn]p(?:erature)?\d{0,3}"
)
_FAN = re.compile(r"fan(?:speed|rpm)?(?P<at>\d{0,2})(?:speed|rpm)?")
_DUTY = re.compile(r"fan(?:duty|percent|pwm|%)(?P<at>\d{0,2})")
_ON_CHIP = frozenset({"chip", "core", "die", "asic", "hot"})
_ON_BOARD = frozenset({"board", "pcb", "mos"})


class Role(NamedTuple):
    """What a key of a device means, and the number in it."""

    kind: str
    at: int | None = None


@lru_cache(maxsize=4096)
def role_of(key: str) -> Role | None:
    """`chip_temp`, `board_temp`, `temp`, `fan` or `duty`; None for any other key."""
    if key == "temp_max":  # Bitmain's is the highest there ever was
        return None
    word = _SEPARATORS.sub("", key).lower()
    found = _TEMPERATURE.fullmatch(word)
    if found:
        where = found["where"]
        kind = "chip_temp" if where in _ON_CHIP else "board_temp" if where in _ON_BOARD else "temp"
        return Role(kind, _number(found["at"]))
    for kind, expression in (("fan", _FAN), ("duty", _DUTY)):
        found = expression.fullmatch(word)
        if found:
            return Role(kind, _number(found["at"]))
    return None


def _number(digits: str | None) -> int | None:
    return int(digits) if digits else None


def roles(row: Row) -> list[tuple[Role, Any]]:
    """The keys of a row that mean a temperature or a fan, with their values."""
    keys = tuple(row)
    layout = _layout(keys) if len(keys) <= _KEYS_LIMIT else _find_roles(keys)
    return [(role, row[key]) for key, role in layout]


def _find_roles(keys: tuple[str, ...]) -> list[tuple[str, Role]]:
    # `00 Temp` is a single chip's.
    short = (key for key in keys if len(key) <= _KEY_LIMIT and not key[:1].isdigit())
    return [(key, role) for key in short if (role := role_of(key))]


# A driver's rows have the same hundreds of keys at every poll.
_layout = lru_cache(maxsize=128)(_find_roles)


def numbered(reply: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    """The rows of a section, also where each has a section of its own, as `STATS0`, `POOL1`."""
    found = rows(dict(reply), section)
    if found:
        return found
    stem = section.rstrip("S") if section != "STATS" else section
    names = (f"{stem}{at}" for at in range(BOARDS_LIMIT))
    return [row for name in names if name in reply for row in rows(dict(reply), name)]


def units(devices: list[dict[str, Any]], stats: list[dict[str, Any]]) -> list[Row]:
    """Each device with all that `devs` and `stats` say of it.

    Without `devs`: the rows of `stats` that show a rate or chips of their own.
    """
    if devices:
        by_id = {row["ID"]: row for row in stats if isinstance(row.get("ID"), str)}
        return [
            {**by_id.get(f"{row.get('Name')}{row.get('ID')}", {}), **row}
            for row in devices[:BOARDS_LIMIT]
        ]
    own: list[Row] = [row for row in stats if not str(row.get("ID")).startswith("POOL")]
    return [row for row in own if _is_device(row)][:BOARDS_LIMIT]


def _is_device(row: Row) -> bool:
    if "chain_acn1" in row or "GHS 5s" in row:  # one row for a whole machine: Bitmain's
        return False
    return any(key in row for key in _CHIPS) or hashrate_now_ths(row) is not None


def board(at: int, row: Row) -> Board:
    """A device as a board."""
    index = integer(first(row, (*UNITS, "Chain ID")))
    temps = temperatures(roles(row))
    expected = positive(row.get("Num chips")) if "Num active chips" in row else None
    return Board(
        index=at if index is None else index,
        serial=text(first(row, _SERIALS)),
        hashrate_ths=hashrate_now_ths(row),
        chips=integer(first(row, _CHIPS)),
        chips_expected=None if expected is None else int(expected),
        # Most drivers have one temperature for each device and do not say of what.
        board_temp_c=temps.get("board_temp"),
        chip_temp_c=highest((temps.get("chip_temp"), temps.get("temp"))),
        voltage_v=positive(first(row, _VOLTS)),
        frequency_mhz=first_positive(row, _FREQUENCIES),
        hw_errors=integer(row.get("Hardware Errors")),
    )


def first_positive(row: Row, keys: Iterable[str]) -> float | None:
    """The first of these keys that holds a number above zero."""
    return next((found for key in keys if (found := positive(row.get(key))) is not None), None)


def temperatures(found: Iterable[tuple[Role, Any]]) -> dict[str, float]:
    """The hottest of each kind; what no sensor can show is left out."""
    hottest: dict[str, float] = {}
    for role, value in found:
        if role.kind.endswith("temp"):
            degrees = positive(value)
            if degrees is not None and degrees < HOTTEST_C:
                hottest[role.kind] = max(degrees, hottest.get(role.kind, 0.0))
    return hottest


def chains(body: Row, scale: float) -> tuple[Board, ...]:
    """Boards of a machine with one row of `stats` for all: `chain_acn1`, `temp1` and so on.

    So speak Bitmain's from the S1 on; places without chips and rate are no boards.
    """
    found = []
    for at in range(1, 17):
        chips = integer(body.get(f"chain_acn{at}"))
        if chips:
            found.append(
                Board(
                    index=at,
                    hashrate_ths=scaled(body.get(f"chain_rate{at}"), scale),
                    chips=chips,
                    board_temp_c=_plausible(body.get(f"temp{at}")),
                    chip_temp_c=_plausible(body.get(f"temp2_{at}")),
                    frequency_mhz=first_positive(body, (f"freq_avg{at}", f"freq{at}", "frequency")),
                    hw_errors=integer(body.get(f"chain_hw{at}")),
                )
            )
    return tuple(found)


def _plausible(value: Any) -> float | None:
    degrees = positive(value)
    return degrees if degrees is not None and degrees < HOTTEST_C else None


def fans(devices: list[dict[str, Any]], stats: list[dict[str, Any]]) -> tuple[Fan, ...]:
    """Numbered fans of the machine, else one for each device that has its own."""
    speeds: dict[int, int] = {}
    duties: dict[int | None, float] = {}
    for row in (*stats, *devices):
        for role, value in roles(row):
            if role.kind == "fan" and role.at is not None:
                rpm = integer(value)
                if rpm and rpm > 0:  # places without a fan say 0 as well
                    speeds.setdefault(role.at, rpm)
            elif role.kind == "duty" and (duty := positive(value)):
                duties.setdefault(role.at, duty)
    if speeds:
        places = sorted(speeds)[:FANS_LIMIT]
        return tuple(Fan(at, speeds[at], duties.get(at, duties.get(None))) for at in places)
    own = tuple(
        Fan(at, rpm, number(row.get("Fan Percent")))
        for at, row in enumerate(devices[:FANS_LIMIT])
        if (rpm := integer(row.get("Fan Speed"))) is not None and rpm >= 0
    )
    return own or tuple(Fan(at or 0, None, duty) for at, duty in duties.items())[:FANS_LIMIT]


def faults(devices: list[Row]) -> tuple[Fault, ...]:
    """Devices that the program has given up, and boards with silent chips."""
    found = []
    for at, row in enumerate(devices):
        status = row.get("Status")
        words = _BAD_STATUS.get(status.strip().lower()) if isinstance(status, str) else None
        if truth(row.get("No Device")):
            words = "is gone"
        if words:
            name = text(f"{row.get('Name') or 'device'} {row.get('ID', at)}"[:64])
            found.append(Fault(text(status), f"{name} {words}"))
    return tuple(found[:FAULTS_LIMIT])


def all_disabled(devices: list[Row]) -> bool:
    """True where every device has been told not to mine."""
    return bool(devices) and all(truth(row.get("Enabled")) is False for row in devices)

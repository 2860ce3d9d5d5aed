"""The hash boards, fans and units of Bitmain's `stats`, in its two forms. Pure.

The old form (port 4028) has numbered keys such as `chain_acn1`, the new one (`stats.cgi`, and
port 4028 with `"new_api":true`) a list `chain`. Both are as seen in recordings of S7 to S23.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from drivers.asic.fields import (
    THS_PER_RATE_UNIT,
    Row,
    common,
    corners,
    first,
    highest,
    integer,
    number,
    positive,
    scaled,
    text,
)
from drivers.asic.models import Model
from drivers.model import Board, Fan, Fault

BOARDS_LIMIT = 64
FANS_LIMIT = 32
_HOTTEST_C = 200.0
"""Sensors that fail say 255 and the like."""

# --- units -------------------------------------------------------------------------------------

_UNITS = THS_PER_RATE_UNIT | {
    "H": 1e-12,
    "EH": 1e6,
    "SOL": 1e-12,
    "KSOL": 1e-9,
    "MSOL": 1e-6,
}
_THS_PER_ALGORITHM = {"scrypt": 1e-6, "ethash": 1e-6, "etchash": 1e-6, "equihash": 1e-9}
_SERIES = re.compile(r"(?:antminer\s+)?([a-z]{1,2})(\d+)", re.IGNORECASE)
_THS_PER_SERIES = {
    "L": 1e-6,  # scrypt: an L3+ of 504 MH/s says `"GHS 5s":"504.56"`
    "E": 1e-6,  # ethash; unverified
    "Z": 1e-9,  # equihash, thousands of solutions; unverified
    "D3": 1e-6,  # X11
    "D5": 1e-6,  # unverified
    "X": 1e-9,  # CryptoNight; RandomX unverified
    "B3": 1e-12,  # Tensority; unverified
    "B7": 1e-9,  # unverified
}
"""What the names that say GHS mean on machines that hash something slower than SHA-256."""


def unit_ths(body: Row, name: str | None, model: Model | None) -> float:
    """TH/s of one unit of the rates: by `rate_unit`, else by what the model hashes."""
    unit = body.get("rate_unit")
    if isinstance(unit, str):
        word = unit.strip().upper().removesuffix("/S")
        found = _UNITS.get(word) or _UNITS.get(word[:2])
        if found:
            return found
    algorithm = getattr(model, "algorithm", None)
    if algorithm in _THS_PER_ALGORITHM:
        return _THS_PER_ALGORITHM[algorithm]
    series = _SERIES.match(name) if name else None
    if series is None:
        return 1e-3
    letter, generation = series.group(1).upper(), series.group(2)
    return _THS_PER_SERIES.get(letter + generation[:1]) or _THS_PER_SERIES.get(letter, 1e-3)


def rate(value: Any, scale: float) -> float | None:
    """A hash rate; nothing below zero is one."""
    found = scaled(value, scale)
    return found if found is not None and found >= 0 else None


def temperature(*values: Any) -> float | None:
    """The hottest of numbers and of readings joined by dashes, as in `"61-67-64"`."""
    return highest(map(_hot, values))


def _hot(value: Any) -> float | None:
    if type(value) is list:
        return highest(map(_hot, value[:16]))
    dashed = isinstance(value, str) and not value.startswith("-")
    found = corners(value) if dashed else positive(value)
    return found if found is not None and found < _HOTTEST_C else None


def volts(value: Any) -> float | None:
    """Volts, told apart by size: V, hundredths (920 on an S9) or thousandths (13000 on an S21)."""
    found = positive(value)
    if found is None or found > 1e5:
        return None
    return round(found / (1000 if found >= 5000 else 100 if found >= 100 else 1), 3)


# --- the old form ------------------------------------------------------------------------------


class _Keys(NamedTuple):
    """The keys of one chain in STATS; made once, for every poll looks them up."""

    at: int
    chips: str
    marks: str
    rate: str
    ideal: str
    chip_temps: tuple[str, ...]
    board_temps: tuple[str, ...]
    frequencies: tuple[str, ...]
    voltages: tuple[str, ...]
    hw_errors: str


def _keys(at: int) -> _Keys:
    chip = ("temp_chip{}", "temp2_{}", "temp3_{}", "temp_in_chip_{}", "temp_out_chip_{}")
    board = ("temp_pcb{}", "temp{}", "temp_in_pcb_{}", "temp_out_pcb_{}")
    return _Keys(
        at=at,
        chips=f"chain_acn{at}",
        marks=f"chain_acs{at}",
        rate=f"chain_rate{at}",
        ideal=f"chain_rateideal{at}",
        chip_temps=tuple(key.format(at) for key in chip),
        board_temps=tuple(key.format(at) for key in board),
        frequencies=(f"freq_avg{at}", f"freq{at}", f"frequency{at}"),
        voltages=(f"chain_vol{at}", f"chain_voltage{at}"),
        hw_errors=f"chain_hw{at}",
    )


_CHAIN_KEYS = tuple(map(_keys, range(33)))
_S9_PLACES = (6, 7, 8)
"""The S9 family numbers its boards from 6."""


def numbered_boards(body: Row, model: Model | None, scale: float) -> tuple[Board, ...]:
    """The boards of the model, and any beyond them that shows chips."""
    places = [keys for keys in _CHAIN_KEYS if keys.chips in body or keys.rate in body]
    shown = [keys for keys in places if _is_there(body, keys)]
    expected = model.boards or 0 if model else 0
    chips = model.chips if model else None
    if expected and chips and len(shown) > expected:
        chips //= -(-len(shown) // expected)  # a T9+ has three chains of 18 on each board
    if expected > len(shown):
        numbers = [keys.at for keys in shown]
        silent = sorted((k for k in places if k not in shown), key=lambda k: _near(k.at, numbers))
        shown = sorted(shown + silent[: expected - len(shown)])
    scale *= _correction(body, shown)
    return tuple(_numbered_board(body, keys, chips, scale) for keys in shown)


def _is_there(body: Row, keys: _Keys) -> bool:
    chips = body.get(keys.chips)
    return bool(integer(chips) if chips is not None else positive(body.get(keys.rate)))


def _near(at: int, shown: list[int]) -> tuple[int, bool, int]:
    """A lost board's place is beside those of the others."""
    return min((abs(at - other) for other in shown), default=0), at not in _S9_PLACES, at


def _correction(body: Row, shown: list[_Keys]) -> float:
    """L9 and L11 say MH/s for the machine and GH/s for its boards: their sum tells."""
    total = number(first(body, ("GHS 5s", "MHS 5s")))
    boards = sum(found for keys in shown if (found := positive(body.get(keys.rate))))
    if not total or total < 0 or not boards:
        return 1.0
    ratio = total / boards
    return 1e3 if 500 < ratio < 2000 else 1e-3 if 5e-4 < ratio < 2e-3 else 1.0


def _numbered_board(body: Row, keys: _Keys, chips_expected: int | None, scale: float) -> Board:
    get = body.get
    frequencies = (*keys.frequencies, "frequency")  # old firmware has one for all boards
    chips = integer(get(keys.chips))
    return Board(
        index=keys.at,
        hashrate_ths=rate(get(keys.rate), scale),
        hashrate_nominal_ths=rate(get(keys.ideal), scale) or None,
        chips=chips,
        chips_expected=chips_expected,
        board_temp_c=temperature(*map(get, keys.board_temps)),
        chip_temp_c=temperature(*map(get, keys.chip_temps)),
        voltage_v=volts(first(body, keys.voltages)),
        frequency_mhz=positive(first(body, frequencies)) if chips else None,
        hw_errors=integer(get(keys.hw_errors)),
    )


# --- the new form ------------------------------------------------------------------------------


def listed_boards(body: Row, model: Model | None, scale: float) -> tuple[Board, ...]:
    """The boards in `chain`; they are numbered from 0 there, and from 1 in the old form."""
    chips = model.chips if model else None
    chains = body.get("chain")
    rows = [row for row in chains if isinstance(row, dict)] if isinstance(chains, list) else []
    return tuple(_listed_board(at, row, chips, scale) for at, row in enumerate(rows[:BOARDS_LIMIT]))


def _listed_board(at: int, row: Row, chips_expected: int | None, scale: float) -> Board:
    index = integer(row.get("index"))
    return Board(
        index=(at if index is None else index) + 1,
        serial=text(row.get("sn")),
        hashrate_ths=rate(row.get("rate_real"), scale),
        hashrate_nominal_ths=rate(row.get("rate_ideal"), scale) or None,
        chips=integer(row.get("asic_num")),
        chips_expected=chips_expected,
        board_temp_c=temperature(row.get("temp_pcb")),
        chip_temp_c=temperature(row.get("temp_chip")),
        frequency_mhz=positive(row.get("freq_avg")),
        hw_errors=integer(row.get("hw")),
    )


# --- fans and faults ---------------------------------------------------------------------------

_FANS = tuple((at, f"fan{at}") for at in range(1, 17))


def fans(body: Row, model: Model | None, name: str | None) -> tuple[Fan, ...]:
    """Turning fans, and standing ones up to `fan_num`: places without a fan say 0 as well."""
    speeds = _speeds(body)
    turning = [at for at, rpm in speeds.items() if rpm > 0]
    standing = [at for at, rpm in speeds.items() if rpm <= 0]
    if not turning and name and "hyd" in name.lower():
        return ()  # water-cooled machines say `fan_num` 4 and have none
    count = integer(body.get("fan_num")) or len(turning)
    whole = model.fans if model else None
    if whole is not None:
        count = min(count, whole)  # an S7 with two fans says 6
    present = turning + standing[: max(0, count - len(turning))]
    return tuple(Fan(at, speeds[at]) for at in sorted(present))


def _speeds(body: Row) -> dict[int, int]:
    listed = body.get("fan")
    if isinstance(listed, list):
        pairs = enumerate(listed[:FANS_LIMIT], 1)
        return {at: rpm for at, value in pairs if (rpm := integer(value)) is not None}
    return {at: rpm for at, key in _FANS if (rpm := integer(body.get(key))) is not None}


def board_faults(body: Row, boards: tuple[Board, ...]) -> tuple[Fault, ...]:
    """Boards with fewer chips than the model has, and chips that find nothing."""
    silent = (
        Fault(None, f"board {board.index}: {board.chips} of {board.chips_expected} chips answer")
        for board in boards
        if board.chips_expected and board.chips is not None and board.chips < board.chips_expected
    )
    idle = (
        Fault(None, f"board {board.index}: {count} of {board.chips} chips find hardly anything")
        for board in boards
        if board.chips and (count := _crosses(body, board.index))
    )
    return (*silent, *idle)


def _crosses(body: Row, at: int) -> int:
    """How many chips are marked `x`.

    bmminer's driver marks so a chip with under an eighth of the average results; it still
    counts among `chain_acn`. A dash is no mark: the S23 fills the last row up with them.
    """
    marks = body.get(f"chain_acs{at}")
    if marks is None and isinstance(chains := body.get("chain"), list) and 0 < at <= len(chains):
        marks = chains[at - 1].get("asic") if isinstance(chains[at - 1], dict) else None
    return marks.count("x") if isinstance(marks, str) else 0


def type_of(head: Row) -> str | None:
    """The model's name as the firmware states it."""
    return common(first(head, ("Type", "type")))

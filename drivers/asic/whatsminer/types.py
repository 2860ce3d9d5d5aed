"""What Whatsminers of all APIs share: how types are written, what they hold, what errors mean."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from drivers.asic.fields import text, truth
from drivers.model import Board, Fault, State

MAKE = "MicroBT"
FIRMWARE = "stock"
FAULTS_LIMIT = 64
_ENTRIES_LIMIT = 2048
"""No more entries of an error list are looked at: the same code may fill megabytes of it."""
RAMPING_S = 3 * 3600.0
"""A machine that has not finished its ramp counts as starting for this long. Slow ones need two
hours and a half (`Hash Stable Cost Seconds` of a recorded M30S+); later faults tell."""

# `M30S+VE40_`, `M30S++_VH95`, `M60 VK6A`, `WhatsMiner M50S_VH55.H616-CB6V10`: one or no separator.
_TYPE = re.compile(
    r"(?:WHATSMINER[\s_-]*)?(M\d+[A-Z]{0,3}\+{0,2})[\s_-]*(V[A-Z0-9]{1,6})?(?=[\s_.:-]|$)",
    re.IGNORECASE,
)
_CODE = re.compile(r"\d{2,6}")


# --- types ------------------------------------------------------------------------------------


class Whole(NamedTuple):
    """What a type of Whatsminer has when it is whole."""

    boards: int | None = None
    chips: int | None = None


class _Type(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    boards: int
    chips: dict[str, int]


class _Types(msgspec.Struct, forbid_unknown_fields=True):
    type: tuple[_Type, ...]


@cache
def _whole() -> dict[str, Whole]:
    raw = files("drivers.asic.whatsminer").joinpath("types.toml").read_bytes()
    types = msgspec.toml.decode(raw, type=_Types).type
    return {
        f"Whatsminer {each.name} {version}": Whole(each.boards, chips)
        for each in types
        for version, chips in each.chips.items()
    }


@lru_cache(maxsize=1024)
def model_name(word: str | None) -> str | None:
    """A type as the firmware writes it, such as `M30S+VE41_`, as `Whatsminer M30S+ VE41`.

    All digits stay as the device gave them. Other programs write the last one as 0, for their
    tables hold one revision of each version; which one the device is, is for the device to say.
    """
    if not word:
        return None
    match = _TYPE.match(word.strip())
    if match is None:
        return text(word)
    series, version = match.group(1).upper(), match.group(2)
    return f"Whatsminer {series} {version.upper()}" if version else f"Whatsminer {series}"


@lru_cache(maxsize=1024)
def whole(model: str | None) -> Whole:
    """Boards and chips of a model; unknown where the table has it not.

    The last digit of a version is a revision of the same hash board, as far as peers' tables tell
    (unverified): where it is not listed itself, that of revision 0 is taken.
    """
    if not model:
        return Whole()
    found = _whole()
    return found.get(model) or found.get(f"{model[:-1]}0") or Whole()


def with_missing(boards: tuple[Board, ...], expected: Whole) -> tuple[Board, ...]:
    """The boards in order, and an empty one for each place of the model where none answers."""
    there = {board.index for board in boards}
    count = expected.boards or 0
    if not boards or len(there) >= count or any(at >= count or at < 0 for at in there):
        return boards
    absent = (
        Board(index=at, chips_expected=expected.chips) for at in range(count) if at not in there
    )
    return tuple(sorted((*boards, *absent), key=lambda board: board.index))


def silent_boards(boards: tuple[Board, ...]) -> tuple[Fault, ...]:
    """A fault for each board that shows no chip; where none does, the machine just rests."""
    if not any(board.chips for board in boards):
        return ()
    return tuple(
        Fault(None, f"Hash board {board.index} does not answer.")
        for board in boards
        if not board.chips
    )


# --- errors -----------------------------------------------------------------------------------


class _Codes(msgspec.Struct, forbid_unknown_fields=True):
    codes: dict[str, str]


@cache
def _sentences() -> dict[str, str]:
    raw = files("drivers.asic.whatsminer").joinpath("errors.toml").read_bytes()
    return msgspec.toml.decode(raw, type=_Codes).codes


@lru_cache(maxsize=1024)
def sentence(code: str) -> str | None:
    """What an error code means, None for one that the table has not."""
    table = _sentences()
    if code in table:
        return table[code]
    if len(code) == 6 and not code.startswith("1"):  # kind, board, chip
        pattern, n, chip = f"{code[:2]}nccc", code[2], str(int(code[3:]))
    else:
        pattern, n, chip = f"{code[:-1]}n", code[-1], ""
        if pattern not in table:
            pattern, n = f"{code[:-2]}n{code[-1]}", code[-2:-1]
    found = table.get(pattern)
    return found.replace("{n}", n).replace("{c}", chip) if found else None


def faults_of(*lists: Any) -> tuple[Fault, ...]:
    """The faults in lists of errors, each code once.

    Seen in recordings and in MicroBT's manuals: codes as numbers or words; pairs of a code and a
    date, or a sentence, with a `reason` beside it or without; one object of all codes (API 2.0.4
    writes a list in that way); a sentence alone. Dates are of the device's clock, whose time zone
    it does not say: they are kept in the words.
    """
    found: dict[tuple[str | None, str], Fault] = {}
    for each in lists:
        entries = each if isinstance(each, list) else [each]
        for entry in islice(entries, _ENTRIES_LIMIT):
            for fault in _faults(entry):
                found.setdefault((fault.code, "" if fault.code else fault.message), fault)
            if len(found) >= FAULTS_LIMIT:
                return tuple(islice(found.values(), FAULTS_LIMIT))
    return tuple(found.values())


def _faults(entry: Any) -> list[Fault]:
    if isinstance(entry, dict):
        reason = text(entry.get("reason"))
        pairs = islice(entry.items(), FAULTS_LIMIT + 1)
        return [
            fault
            for key, value in pairs
            if (code := _code(key)) and (fault := _fault(code, text(value), reason))
        ]
    code = _code(entry)
    if code:
        return [_fault(code, None, None)]
    words = text(entry) if isinstance(entry, str) else None
    return [Fault(None, words)] if words and not words.lstrip("-").isdecimal() else []


def _code(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    word = str(value).strip() if isinstance(value, str) or 0 < value < 10**6 else ""
    return word if _CODE.fullmatch(word) and word.strip("0") else None


def _fault(code: str, said: str | None, reason: str | None) -> Fault:
    """What the table says; where it has the code not, the device's own words."""
    dated = bool(said) and said is not None and said[:4].isdecimal()
    own = reason or (said if not dated else None)
    words = sentence(code) or own or f"The machine reports error {code}."
    return Fault(code, f"{words} (device time {said})" if dated else words)


def hurts(faults: tuple[Fault, ...]) -> bool:
    """True where a fault is of a fan, the power supply, a sensor or a board: codes below 600."""
    return any(fault.code and len(fault.code) == 3 and fault.code < "600" for fault in faults)


def of_a_fan(faults: tuple[Fault, ...]) -> bool:
    """True where a fault is of a fan."""
    return any(
        fault.code and len(fault.code) == 3 and fault.code.startswith("1") for fault in faults
    )


# --- power and state --------------------------------------------------------------------------


def flag(value: Any) -> bool | None:
    """A Boolean as the firmwares write it: `"true"`, true, 1, and now and then `"1"`."""
    found = truth(value)
    return {"1": True, "0": False}.get(str(value).strip()) if found is None else found


METERED_WITHIN = 0.05


def follows(power_w: float | None, supply_w: float | None) -> bool:
    """Whether the figure of the summary is the one that the power supply measures at its input.

    `pin` is the input: in recordings it is the product of `vin` and `iin` (224.75 V * 14.687 A =
    3301 W against 3304), and the summary's power is within a percent of it.
    """
    if power_w is None or supply_w is None or supply_w <= 0:
        return False
    return abs(power_w - supply_w) <= METERED_WITHIN * supply_w


class Doing(NamedTuple):
    """What decides the state of a machine."""

    hashrate_ths: float | None
    off: bool | None
    """Whether the machine says that it was told to stop."""
    ramping: bool | None
    hurt: bool
    """Whether it complains of its own parts."""
    uptime_s: float | None


def state_of(doing: Doing, looks: State) -> State:
    """The machine's own words before what its figures look like."""
    if doing.off:
        return State.SLEEPING
    if doing.hashrate_ths is None:
        return State.FAULT if doing.off is False and doing.hurt else looks
    if looks is State.IDLE or (looks is State.FAULT and doing.hurt):
        return looks
    young = doing.uptime_s is None or doing.uptime_s < RAMPING_S
    return State.STARTING if doing.ramping and young else looks

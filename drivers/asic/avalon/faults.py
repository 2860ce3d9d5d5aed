"""What an Avalon says is wrong, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from drivers.asic.avalon.boards import Supply, supply
from drivers.asic.avalon.modules import numbers, whole, working
from drivers.asic.fields import integer, text
from drivers.asic.models import Model
from drivers.model import Board, Fault, State

Fields = Mapping[str, str]
FAULTS_LIMIT = 64

_IDLE = 1
_ERRORS = {
    _IDLE: "idle: no work comes",
    1 << 1: "control data was received damaged",
    1 << 2: "no fan is found",
    1 << 3: "locked: not permitted to run",
    1 << 4: "too many results for the controller's queue",
    1 << 5: "too many results for the module's queue",
    1 << 6: "too hot",
    1 << 7: "was too hot before",
    1 << 8: "chips do not pass the loop test",
    1 << 9: "cores failed their test",
    1 << 10: "the board's power unit is not valid",
    1 << 11: "the board's power is not good",
    1 << 12: "a temperature sensor failed",
    1 << 13: "wrong voltage",
    1 << 14: "wrong core voltage",
    1 << 15: "data from the board's power unit was damaged",
    1 << 16: "a wrong clock setting",
    1 << 17: "the hash board failed",
}
"""Canaan's list for the 7xx to 9xx ("MM error codes"). That newer machines keep to it is shown for
too hot and core test (bits 6, 7 and 9) only, and otherwise unverified."""
_NOTICES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 15
"""Canaan says to ignore these while the rate is good; every board of the healthy 1047 and 1066 in
its manual and in recordings shows bit 9."""
_IGNORED = {State.FAULT: 0, State.UNKNOWN: 0, State.MINING: _NOTICES}
"""By state; a machine that sleeps, starts or has no pool is idle for a good reason."""
_SUPPLY_ERRORS = {
    1 << 0: "input voltage is low",
    1 << 1: "too hot (sensor 1)",
    1 << 2: "too hot (sensor 2)",
    1 << 3: "too hot (sensor 3)",
    1 << 4: "input current is too high",
    1 << 5: "output voltage is low",
    1 << 6: "output current is too high",
    1 << 7: "current sharing error",
    1 << 8: "output A draws too much current",
    1 << 9: "output B draws too much current",
    1 << 10: "output C draws too much current",
    1 << 11: "its fan failed",
}
"""Appendix 1 of the A10 API manual; it leaves bits 7 to 10 without words."""
_FLAGS = (
    ("POWS", "the power supply reports an error"),
    ("FanErr", "a fan reports an error"),
)
"""Not 0 where something is wrong; POWS and HASHS (below) as one public driver reads them,
unverified."""
_LINKS = ("POW_I2C", "POW_I2C_CONN")
_LINK_GOOD = ("OK", "SUCCES", "SUCCESS", "")


def faults(
    fields: Fields,
    power: Supply,
    boards: Sequence[Board],
    model: Model | None,
    state: State,
) -> list[Fault]:
    """Error masks and what the boards show; notices count only where nothing else explains."""
    ignored = _IGNORED.get(state, _NOTICES | _IDLE)
    found = [*_supply_faults(power), *_masks(fields, boards, ignored), *_flags(fields)]
    if state in (State.MINING, State.FAULT):  # else boards may be without power
        found += _missing(fields, boards, model)
    return found[:FAULTS_LIMIT]


def has_error(fields: Fields) -> bool:
    """True where a machine shows an error that stops it."""
    return bool(faults(fields, supply(fields), (), None, State.IDLE))


def _supply_faults(power: Supply) -> Iterator[Fault]:
    for bit, words in _bits(power.error or 0, _SUPPLY_ERRORS):
        yield Fault(f"PS {bit}", f"power supply: {words}")


def _masks(fields: Fields, boards: Sequence[Board], ignored: int) -> Iterator[Fault]:
    # The oldest (below 7xx) number their errors otherwise, in `EC` (Canaan's list for the 6).
    if old := whole(fields, "EC"):
        yield Fault(f"EC {old}", f"the module reports errors {old}")
    if _says(fields, "ECHU"):
        masks = [integer(each) or 0 for each in numbers(fields, "ECHU")[:16]]
        for bit, words in _bits(_union(masks) & ~ignored, _ERRORS):
            places = [at for at, mask in enumerate(masks) if mask & bit]
            yield Fault(f"ECHU {bit}", f"{_named(places, boards)}: {words}")
    for bit, words in _bits((whole(fields, "ECMM") or 0) & ~ignored, _ERRORS):
        yield Fault(f"ECMM {bit}", f"control board: {words}")


def _flags(fields: Fields) -> Iterator[Fault]:
    for key, words in _FLAGS:
        if value := whole(fields, key):
            yield Fault(f"{key} {value}", words)
    marks = numbers(fields, "HASHS")[:16] if _says(fields, "HASHS") else []
    for at, mark in enumerate(marks):
        if mark:
            yield Fault(f"HASHS {integer(mark)}", f"board {at}: the hash board reports an error")
    for key in _LINKS:
        if fields.get(key, "").strip().upper() not in _LINK_GOOD:
            yield Fault(f"{key} {text(fields[key][:32])}", "no contact with the power supply")


def _says(fields: Fields, key: str) -> bool:
    """True where a list has anything but zeros; most have nothing else."""
    return bool(fields.get(key, "").strip("0 "))


def _missing(fields: Fields, boards: Sequence[Board], model: Model | None) -> Iterator[Fault]:
    _, at_work = working(fields)
    whole_count = (model.boards if model else None) or len(boards)
    if at_work is not None and 0 <= at_work < whole_count:
        yield Fault(None, f"{at_work} of {whole_count} hash boards work")
    for board in boards:
        if board.chips_expected and board.chips is not None and board.chips < board.chips_expected:
            words = f"{board.chips} of {board.chips_expected} chips answer"
            yield Fault(None, f"board {board.index}: {words}")


def _named(places: list[int], boards: Sequence[Board]) -> str:
    names = [str(boards[at].index if at < len(boards) else at) for at in places]
    return f"board {names[0]}" if len(names) == 1 else f"boards {', '.join(names)}"


def _union(masks: Sequence[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found


def _bits(mask: int, words: Mapping[int, str]) -> list[tuple[int, str]]:
    """The bits that are set, lowest first; an unknown one keeps its number."""
    if mask <= 0:
        return []
    bits = [1 << at for at in range(min(mask.bit_length(), 63)) if mask >> at & 1]
    return [(bit, words.get(bit, f"error {bit}")) for bit in bits]

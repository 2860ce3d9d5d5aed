"""The changed values of one frame, on their way into it: what is told, and in which form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from math import ceil, frexp, inf, isfinite, log10
from operator import sub
from typing import Any

import msgspec

from agent.telemetry.columns import BIG_INT_BITS, Bands, Layout, Unsound
from agent.telemetry.frame import (
    DIGITS_MAX,
    DIGITS_MIN,
    EPOCH,
    FLOAT,
    FORMS,
    INT,
    MICROSECOND,
    MOMENT,
    RAW,
    START,
    WHOLE_FLOAT,
    Start,
    microseconds,
    scaled,
    unscaled,
)

INT64 = 2**63
_NUMBERS = frozenset({int, float})
Told = tuple[int, Any, Any]
"""The form of a value, what is written in that form, and what a decoder makes of it."""


def differences(numbers: Sequence[int]) -> list[int]:
    """Each number less the one before it; the first as it is."""
    return [*numbers[:1], *map(sub, numbers[1:], numbers)]


class Cells:
    """The cells of one frame. `columns` are those of the chain and grow with what is met."""

    def __init__(self, columns: dict[str, int], tick_us: int) -> None:
        self.row = 0
        """The present row, and below its `taken_at`."""
        self.tick = 0
        self.tick_us = tick_us
        self._columns = columns
        self._known = len(columns)
        self._cells: dict[int, tuple[list[int], list[Any]]] = {}

    def tell(
        self,
        layout: Layout,
        numbers: list[int],
        state: list[Any],
        values: list[Any],
        which: Iterable[int],
        bands: Bands,
    ) -> None:
        """Put those of `which` that have left their deadband, and bring `state` up to them.

        Raises Unsound at a value that cannot be told; what came before it stays told.
        """
        # One function without further calls for what stays: this is the loop that costs.
        cells, row = self._cells, self.row
        for index in which:
            value, known, band = values[index], state[index], bands[index]
            kind = type(value)
            slack = 0.0
            if band is not None and (kind is float or kind is int):
                absolute, relative = band
                slack = relative * value if value > 0 else -relative * value
                if slack < absolute:  # noqa: PLR1730  a call of max costs more than the rest
                    slack = absolute
                # To or from 0 is always told: a fan that stands is not a slow one.
                numbers_both = value and known and type(known) in _NUMBERS
                if numbers_both and -slack <= value - known <= slack < inf:
                    continue
            form, cell, new = _TOLD.get(kind, _whole)(self, value, known, slack)
            if new == known and type(new) is type(known):
                continue
            number = numbers[index]
            if number < 0:
                number = numbers[index] = self.column(layout.names[index])
            code = number * FORMS + form
            entry = cells.get(code)
            if entry is None:
                entry = cells[code] = ([], [])
            entry[0].append(row)
            entry[1].append(cell)
            state[index] = new

    def put(self, name: str, count: int) -> None:
        """Put a count into the present row, a key row."""
        entry = self._cells.setdefault(self.column(name) * FORMS + INT, ([], []))
        entry[0].append(self.row)
        entry[1].append(count)

    def column(self, name: str) -> int:
        """The number of a column in this chain, given at its first use."""
        return self._columns.setdefault(name, len(self._columns))

    def members(self) -> dict[str, Any]:
        """The members of a frame that hold the cells."""
        codes = sorted(self._cells)
        entries = [self._cells[code] for code in codes]
        return {
            "cols": (self._known, list(self._columns)[self._known :]),
            "code": differences(codes),
            "many": [len(rows) for rows, _ in entries],
            "row": [gap for rows, _ in entries for gap in differences(rows)],
            "val": [cell for _, cells in entries for cell in cells],
        }


def _float(cells: Cells, value: float, known: Any, slack: float) -> Told:
    if not isfinite(value):
        return RAW, None, None
    digits = _DIGITS[frexp(slack)[1]] if SLACK_MIN < slack < SLACK_MAX else _digits_of(value)
    if digits is None:
        return RAW, value, value
    mantissa = scaled(value, digits)
    cell = mantissa - scaled(known, digits)
    if not mantissa or not -INT64 <= cell < INT64 or not -WHOLE_FLOAT <= mantissa <= WHOLE_FLOAT:
        return RAW, value, value  # also -0.0, and what would become 0
    return FLOAT + digits, cell, unscaled(mantissa, digits)


SLACK_MIN, SLACK_MAX = 2.0**-36, 2.0**14
# By the exponent of a slack, the fewest decimals whose step is at most half of it.
_DIGITS = {
    exponent: max(DIGITS_MIN, ceil(-log10(2.0 ** (exponent - 2)))) for exponent in range(-36, 16)
}


def _digits_of(value: float) -> int | None:
    """How many decimals it takes to write exactly this; None for many."""
    text = repr(value)
    if "e" in text:
        return None
    digits = len(text) - text.index(".") - 1
    if digits == 1 and text[-1] == "0":
        return 0
    return digits if digits <= DIGITS_MAX else None


def _int(cells: Cells, value: int, known: Any, slack: float) -> Told:
    base = known if type(known) is int else 0
    power = 0 if slack < 20 else 1 if slack < 200 else 2
    if power and -INT64 <= value < INT64 and -INT64 <= base < INT64:
        unit = 10**power
        mantissa = (value + unit // 2) // unit
        if mantissa:
            return INT + power, mantissa - base // unit, mantissa * unit
    cell: int | str = value - base
    if not -INT64 <= value - base < INT64:
        if value.bit_length() > BIG_INT_BITS:
            raise Unsound("a number of more than 128 bits")
        cell = str(cell)
    return INT, cell, value


def _start(cells: Cells, value: Start, known: Any, slack: float) -> Told:
    return START, value - known if type(known) is Start else int(value), value


def _time(cells: Cells, value: datetime, known: Any, slack: float) -> Told:
    if value.tzinfo is not UTC:
        return RAW, msgspec.to_builtins(value), value
    tick = microseconds(value) // cells.tick_us
    told = EPOCH + tick * cells.tick_us * MICROSECOND
    is_time = type(known) is datetime and known.tzinfo is UTC
    return MOMENT, tick - (microseconds(known) // cells.tick_us if is_time else cells.tick), told


def _text(cells: Cells, value: str, known: Any, slack: float) -> Told:
    check_text(value)
    return RAW, value, value


def _plain(cells: Cells, value: Any, known: Any, slack: float) -> Told:
    return RAW, value, value


def _whole(cells: Cells, value: Any, known: Any, slack: float) -> Told:
    try:  # by way of JSON, so that it is what JSON would show
        plain = msgspec.json.decode(msgspec.json.encode(value))
        msgspec.msgpack.encode(plain)
    except (UnicodeError, OverflowError, ValueError, TypeError, RecursionError) as error:
        raise Unsound(str(error)) from None
    return RAW, plain, value


def check_text(text: str) -> None:
    """Raise Unsound for text that has no UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Unsound(str(error)) from None


_TOLD: dict[type, Callable[[Cells, Any, Any, float], Told]] = {
    float: _float,
    int: _int,
    Start: _start,
    datetime: _time,
    str: _text,
    bool: _plain,
    type(None): _plain,
}

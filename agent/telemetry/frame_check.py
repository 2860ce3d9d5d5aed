"""The parts of a compact frame, each looked at before it is believed. Pure."""

from __future__ import annotations

from datetime import timedelta
from math import isfinite
from typing import Any

import msgspec
import zstandard

from agent.telemetry.columns import BIG_INT_BITS, PARTS_LIMIT
from agent.telemetry.frame import (
    DIGITS_MAX,
    DIGITS_MIN,
    EPOCH,
    FLOAT,
    INT,
    MOMENT,
    RAW,
    START,
    VERSION,
    Frame,
    Moment,
    Start,
    scaled,
    unscaled,
)

FRAME_BYTES = 16 * 1024 * 1024
"""More than any frame has when unpacked: 2,000 key rows are 3 MB."""
ROWS_LIMIT = 20_000
INT_DIGITS = 40
INT_MAX = INT + 2
SECOND_US = 1_000_000

_decoder = msgspec.msgpack.Decoder(Frame)
TIMES = frozenset({Start, Moment})
"""Values that JSON shows in another way than they are kept."""
_SCALARS = frozenset({str, int, bool, type(None)})


class BadFrame(ValueError):
    """The payload is no compact frame, or contradicts itself: what, in one line."""


def unpack(payload: bytes) -> bytes:
    """What was compressed, if it is of a frame's size; BadFrame if not."""
    try:
        told = zstandard.get_frame_parameters(payload)
        known = told.content_size != zstandard.CONTENTSIZE_UNKNOWN
        # A size that is told is believed by the library whatever limit is given to it.
        if (known and told.content_size > FRAME_BYTES) or told.window_size > FRAME_BYTES:
            raise BadFrame("more than a frame may have when unpacked")
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=FRAME_BYTES)
    except zstandard.ZstdError as error:
        raise BadFrame(f"zstd: {error}") from None


def checked(payload: bytes) -> Frame:
    """The frame of a payload, its lists in agreement; BadFrame if it is none."""
    try:
        frame = _decoder.decode(unpack(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise BadFrame(str(error)) from None
    rows = len(frame.dev)
    fits = (
        frame.v == VERSION
        and rows == len(frame.at) <= ROWS_LIMIT
        and len(frame.gaps) in (0, rows - 1)
        and len(frame.keys) == len(frame.kinds)
        and len(frame.code) == len(frame.many)
        and min(frame.many, default=1) > 0
        and sum(frame.many) == len(frame.row) == len(frame.val)
        and 1 <= frame.tick <= SECOND_US
    )
    if not fits:
        raise BadFrame("its lists do not fit together")
    return frame


def path_of(name: str) -> tuple[str, int, str]:
    """A column's name as list, index and field; index -1 for one outside a list."""
    first, dot, rest = name.partition(".")
    if not dot:
        return name, -1, ""
    index, _, field = rest.partition(".")
    if not index.isascii() or not index.isdigit() or not field or len(index) > 4:
        raise BadFrame("no column name")
    return first, int(index), field


def count_of(value: Any, limit: int) -> int:
    """A number of parts, if it is one; BadFrame if not."""
    if type(value) is not int or not 0 <= value <= min(PARTS_LIMIT, limit):
        raise BadFrame("no number of parts")
    return value


def value_of(form: int, cell: Any, known: Any, tick: int, tick_us: int) -> Any:
    """What a cell makes of the value known before it; BadFrame if nothing."""
    kind = type(cell)
    if form == RAW:
        return _plain(cell)
    if kind is str and INT <= form <= INT_MAX and len(cell) <= INT_DIGITS:
        kind, cell = int, _int_of(cell)
    if kind is not int:
        raise BadFrame("a value that does not fit its form")
    if DIGITS_MIN <= form - FLOAT <= DIGITS_MAX:
        return unscaled(scaled(known, form - FLOAT) + cell, form - FLOAT)
    if INT <= form <= INT_MAX:
        unit = 10 ** (form - INT)
        value = ((known // unit if type(known) is int else 0) + cell) * unit
        if value.bit_length() > BIG_INT_BITS + 8:
            raise BadFrame("a number beyond all counters")
        return value
    if form == START:
        return Start(cell + (known if type(known) is Start else 0))
    if form == MOMENT:
        return Moment((cell + (known // tick_us if type(known) is Moment else tick)) * tick_us)
    raise BadFrame("an unknown form")


def _int_of(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadFrame("no number") from None


def _plain(value: Any) -> Any:
    """A value that JSON has too."""
    kind = type(value)
    if kind is list:
        return [_plain(each) for each in value]
    if kind is dict and all(type(key) is str for key in value):
        return {key: _plain(each) for key, each in value.items()}
    if kind in _SCALARS or (kind is float and isfinite(value)):
        return value
    raise BadFrame("a value that JSON does not have")


def shown(value: Any, at_us: int) -> Any:
    """A value as JSON shows it in a reading of this moment."""
    if type(value) is Start:
        return round(at_us / SECOND_US - int(value), 3)
    return time_text(value) if type(value) is Moment else value


def time_text(at_us: int) -> str:
    """Microseconds since 1970 as JSON shows a time."""
    try:
        return (EPOCH + timedelta(microseconds=at_us)).isoformat()[:-6] + "Z"
    except OverflowError:
        raise BadFrame("a time out of this world") from None

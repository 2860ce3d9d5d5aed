"""What a compact frame is made of, byte for byte as docs/encodings.md tells it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agent.telemetry.messages import BootId, Count, Seq

VERSION = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

FORMS = 32
"""The code of a cell is its column's number times this, plus the form of its value."""
RAW = 0
"""The value itself."""
INT = 1
"""A difference of integers; with 1 and 2 added, in tens and in hundreds."""
START = 4
"""A moment in whole seconds since 1970; the value is the time from there to `taken_at`."""
MOMENT = 5
"""A moment in ticks of the frame."""
FLOAT = 10
"""A difference of decimals, this plus the number of their digits, which may be negative."""
DIGITS_MIN, DIGITS_MAX = -3, 12
WHOLE_FLOAT = 2.0**53
"""Up to here a double holds every integer, so that all languages divide to the same double."""


class Start(int):
    """The second since 1970 in which something began."""


class Frame(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The map of a frame. Lists named as differences begin with a difference to 0."""

    v: Annotated[int, Meta(extra_json_schema={"enum": [VERSION]})]
    node: str
    boot: BootId
    strm: Annotated[str, Meta(extra_json_schema={"enum": ["telemetry"]})]
    chain: Seq
    """The seq of the chain's first row."""
    no: Count
    """The place of the frame in its chain, from 0."""
    seq: Seq
    """The seq of the first row."""
    tick: Annotated[int, Meta(extra_json_schema={"enum": [1000, 1]})]
    """Microseconds in the unit of time."""
    thin: int = 0
    """Seconds from one kept row of a device to the next; 0 where all are there."""
    gaps: list[int] = []
    """Differences of seq from row to row, where they are not all 1."""
    dev: list[int]
    """The device number of each row, as differences."""
    at: list[int]
    """`taken_at` of each row in ticks since 1970, as differences."""
    keys: list[int] = []
    """The key rows, as differences."""
    kinds: list[int] = []
    """The shape number of each key row."""
    ids: tuple[int, list[str]] = (0, [])
    """New devices: the number of the first, and their ids."""
    shapes: tuple[int, list[list[Any]]] = (0, [])
    """New shapes: the number of the first, and they."""
    cols: tuple[int, list[str]] = (0, [])
    """New columns: the number of the first, and their names."""
    code: list[int]
    """The codes of what changed, rising, as differences."""
    many: list[int]
    """For each code, how many rows have it."""
    row: list[int]
    """For each code its rows, as differences that begin anew with each code."""
    val: list[Any]
    """The value of each of these."""


class Moment(int):
    """Microseconds since 1970, where a value is a time."""


def microseconds(at: datetime) -> int:
    """A time as microseconds since 1970; one without a zone is taken for UTC."""
    passed = (at if at.tzinfo else at.replace(tzinfo=UTC)) - EPOCH
    return passed.days * 86_400_000_000 + passed.seconds * 1_000_000 + passed.microseconds


def scaled(value: Any, digits: int) -> int:
    """A state as an integer of `digits` decimals; 0 where it is no number of use."""
    kind = type(value)
    if (kind is not float and kind is not int) or not -WHOLE_FLOAT <= value <= WHOLE_FLOAT:
        return 0
    number = float(value)
    return round(number * POWERS[digits] if digits >= 0 else number / POWERS[-digits])


def unscaled(mantissa: int, digits: int) -> float:
    """The double next to a decimal."""
    return mantissa / POWERS[digits] if digits >= 0 else float(mantissa * 10**-digits)


POWERS = [float(10**power) for power in range(DIGITS_MAX + 1)]

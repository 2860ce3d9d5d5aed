"""Readings as columns: which there are, derived from the model, and how finely each is told.

A column is named by its path: `power_w`, `boards.0.chip_temp_c`. A list of parts has besides
a column of its own name, `boards`, with how many there are. Pure.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from datetime import UTC
from functools import cache
from operator import attrgetter
from typing import Any, get_args, get_origin

import msgspec

from drivers.model import Reading

WHOLE = frozenset({"faults", "missing"})
"""Lists that are one value: they change seldom, and then at once."""
PARTS_LIMIT = 1024
"""No device has more boards, fans or pools than this; what a device claims beyond is cut."""
BIG_INT_BITS = 128
"""Counters have 64 bits. Beyond this a number is nonsense, and a line of its digits a burden."""

Shape = list[Any]
"""The fields in order: a name, `[name]` for a list that is one value, `[name, fields]` of parts."""

Bands = list[tuple[float, float] | None]
"""Absolute and relative slack of each column; None where every change is told."""


class Deadband(msgspec.Struct, frozen=True):
    """How far a value may stray from the one last told: by the larger of the two."""

    absolute: float = 0.0
    relative: float = 0.0

    def slack(self, value: float) -> float:
        """What the value told may differ from `value`."""
        return max(self.absolute, self.relative * abs(value))


# The first row that fits a name, whole or by its ending, holds. What a site engineer would call
# the same: sensors step by whole degrees, a fan wanders by a row of its tachometer's steps, and a
# rate over five seconds is noise to a few percent.
DEADBANDS: dict[str, Deadband | None] = {
    "clock_offset_s": Deadband(absolute=0.001, relative=0.05),
    "uptime_s": Deadband(absolute=2.0),  # told as the moment of the start
    "chips": None,
    "index": None,
    "memory_total_bytes": None,
    "memory_available_bytes": Deadband(absolute=16e6, relative=0.02),
    "total_bytes": None,
    "free_bytes": Deadband(absolute=16e6, relative=0.005),
    "received_bytes": None,
    "sent_bytes": None,
    "load_1m": Deadband(absolute=0.1, relative=0.05),
    "power_limit_w": None,  # what is set is exact
    "power_limit_min_w": None,
    "power_limit_max_w": None,
    "power_limit_enforced_w": None,
    "power_limit_default_w": None,
    "energy_j": None,
    "memory_used_bytes": Deadband(absolute=16e6, relative=0.005),
    "memory_free_bytes": Deadband(absolute=16e6, relative=0.005),
    "memory_bytes": Deadband(absolute=16e6, relative=0.005),
    "sm_clock_mhz": Deadband(absolute=15.0, relative=0.01),  # it goes in steps of 15
    "graphics_clock_mhz": Deadband(absolute=15.0, relative=0.01),
    "video_clock_mhz": Deadband(absolute=15.0, relative=0.01),
    "hashrate_nominal_ths": Deadband(relative=0.001),
    "temp_target_c": None,
    "throttle_percent": None,
    "_c": Deadband(absolute=1.0),
    "_w": Deadband(absolute=1.0, relative=0.01),
    "_va": Deadband(absolute=1.0, relative=0.01),
    "_ths": Deadband(relative=0.02),
    "_j_th": Deadband(relative=0.01),
    "rpm": Deadband(absolute=60.0, relative=0.03),
    "_percent": Deadband(absolute=1.0),
    "_mhz": Deadband(absolute=1.0, relative=0.01),
    "_hz": Deadband(absolute=0.02),
    "_v": Deadband(absolute=0.01, relative=0.01),
    "_a": Deadband(absolute=0.1, relative=0.01),
    "_pa": Deadband(absolute=5.0, relative=0.02),
    "_m_s": Deadband(absolute=0.2, relative=0.05),
    "_kwh": None,  # counters, and money
    "_mbps": None,
    "_bytes_s": Deadband(absolute=1e6, relative=0.05),
    "_s": Deadband(absolute=1.0, relative=0.01),
}


def deadband(name: str) -> Deadband | None:
    """What the field of this name may stray by; None where every change is told.

    Without a row, integers are counters and all else is told as it is.
    """
    ending = next((end for end in DEADBANDS if end == name), None) or next(
        (end for end in DEADBANDS if end.startswith("_") and name.endswith(end)), None
    )
    return DEADBANDS[ending] if ending else None


@cache
def parts_of(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """The fields that are lists of parts, each with its struct."""
    hints = typing.get_type_hints(kind)
    found = {name: _part(hints[name]) for name in kind.__struct_fields__ if name not in WHOLE}
    return {name: part for name, part in found.items() if part is not None}


def _part(hint: Any) -> type[msgspec.Struct] | None:
    hint = _there(hint)
    inner = get_args(hint)
    listed = get_origin(hint) is tuple and len(inner) == 2 and inner[1] is Ellipsis
    if listed and isinstance(inner[0], type) and issubclass(inner[0], msgspec.Struct):
        return inner[0]
    return None


def _there(hint: Any) -> Any:
    """The type of a value that is there, where it may also be None."""
    return get_args(hint)[0] if types.NoneType in get_args(hint) else hint


@cache
def wholes_of(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The fields whose lists are one value, empty where nothing is there."""
    hints = typing.get_type_hints(kind)
    return frozenset(
        name
        for name in kind.__struct_fields__
        if name not in parts_of(kind) and get_origin(hints[name]) in (tuple, list)
    )


@cache
def shape_of(kind: type[msgspec.Struct], unknown: tuple[str, ...] = ()) -> Shape:
    """The fields of a reading in the order of its JSON.

    `unknown` are lists of parts that are None: they are told as a field that is null.
    """
    parts, wholes = parts_of(kind), wholes_of(kind)
    shape: Shape = []
    for name in kind.__struct_fields__:
        if name in parts and name not in unknown:
            shape.append([name, list(parts[name].__struct_fields__)])
        else:
            shape.append([name] if name in wholes else name)
    return shape


class Layout:
    """The columns of all readings of one type with the same numbers of parts, -1 for no list.

    Every row has `device_id` and `taken_at`; the column `taken_at` is for times that are not UTC.
    """

    def __init__(self, kind: type[msgspec.Struct], counts: tuple[int, ...]) -> None:
        self.kind = kind
        self.counts = dict(zip(parts_of(kind), counts, strict=True))
        unknown = tuple(name for name, count in self.counts.items() if count < 0)
        self.form = (kind, unknown)
        """What its shape follows from."""
        self.shape = shape_of(*self.form)
        scalars = [
            name
            for name in kind.__struct_fields__
            if name not in self.counts and name not in ("device_id", "taken_at")
        ]
        self.names = ["taken_at", *scalars, *self._part_columns()]
        self.bands: Bands = [_band(name) for name in self.names]
        self.no_bands: Bands = [None] * len(self.names)
        wholes = wholes_of(kind)
        self.blank = [() if name in wholes else None for name in self.names]
        """What a row holds of which nothing was told."""
        self.indices = range(len(self.names))
        self.uptime = self.names.index("uptime_s") if "uptime_s" in scalars else 0
        self._scalars = _getter(scalars)
        self._lists = _getter(list(self.counts))

    def _part_columns(self) -> list[str]:
        return [
            f"{name}.{index}.{field}"
            for name, part in parts_of(self.kind).items()
            for index in range(self.counts[name])
            for field in part.__struct_fields__
        ]

    def values(self, reading: Any) -> list[Any]:
        """The values of a reading in the order of the columns."""
        at = reading.taken_at
        values = [None if at.tzinfo is UTC else msgspec.to_builtins(at), *self._scalars(reading)]
        for parts in self._lists(reading):
            for part in parts or ():
                values += _astuple(part)
        return values


def _band(name: str) -> tuple[float, float] | None:
    found = deadband(name.rpartition(".")[2])
    if found is None or name == "uptime_s":  # the encoder has its own way with the uptime
        return None
    return found.absolute, found.relative


_astuple = msgspec.structs.astuple


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    one = attrgetter(names[0]) if names else None
    return lambda reading: (one(reading),) if one else ()


class Layouts:
    """The layouts met so far."""

    def __init__(self) -> None:
        self._found: dict[tuple[type, tuple[int, ...]], Layout] = {}
        self._lists: dict[type, Callable[[Any], tuple[Any, ...]]] = {}

    def of(self, reading: Reading) -> Layout:
        """The layout of a reading. Raises Unsound where it has more parts than can be."""
        kind = type(reading)
        lists = self._lists.get(kind)
        if lists is None:
            lists = self._lists[kind] = _getter(list(parts_of(kind)))
        counts = tuple([-1 if parts is None else len(parts) for parts in lists(reading)])
        layout = self._found.get((kind, counts))
        if layout is None:
            if max(counts, default=0) > PARTS_LIMIT:
                raise Unsound(f"{max(counts)} parts")
            layout = self._found[kind, counts] = Layout(kind, counts)
        return layout


class Unsound(ValueError):
    """A reading holds a value that no message can carry."""


def sound(reading: Reading) -> Reading:
    r"""The reading with what no message can carry set right; that is named in `missing`.

    Text keeps its lone surrogates as `\udc80`; a number beyond all counters becomes None.
    """
    spoiled: list[str] = []
    fixed = _sound(reading, "", spoiled)
    missing = tuple(dict.fromkeys([*fixed.missing, *spoiled]))
    return typing.cast("Reading", msgspec.structs.replace(fixed, missing=missing))


def _sound(value: Any, path: str, spoiled: list[str]) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = {
            name: _sound(getattr(value, name), f"{path}.{name}" if path else name, spoiled)
            for name in value.__struct_fields__
        }
        return type(value)(**fields)
    if type(value) is tuple:
        if len(value) > PARTS_LIMIT:
            spoiled.append(path)
        return tuple(
            _sound(each, f"{path}.{at}", spoiled) for at, each in enumerate(value[:PARTS_LIMIT])
        )
    fine = _sound_scalar(value)
    if fine is not value:
        spoiled.append(path)
    return fine


def _sound_scalar(value: Any) -> Any:
    if type(value) is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "backslashreplace").decode()
    if type(value) is int and value.bit_length() > BIG_INT_BITS:
        return None
    return value

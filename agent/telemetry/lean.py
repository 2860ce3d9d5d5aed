"""A reading as its own JSON message: without what its device has no word for.

A machine that said everything leaves out what its firmware never says; where something is
`missing`, every value that is not there is null. Parts (boards, fans, pools) have no nulls. What
does not change of a board stands in the inventory. With everything in it a third of a message
would be nulls (docs/measurements.md).
"""

from __future__ import annotations

import types
from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec

from agent.telemetry.messages import Head
from drivers import model
from drivers.model import Reading, State
from drivers.model_gpu import GpuReading

_json = msgspec.json.Encoder()
_HEAD: list[Any] = [(field.name, field.type) for field in msgspec.structs.fields(Head)]
_ELSEWHERE = frozenset({"serial", "chips_expected"})
"""What does not change of a board; the inventory tells it."""
_SHAPES: dict[str, type[Reading]] = {
    "asic": model.MinerReading,
    "gpu": GpuReading,
    "host": model.HostReading,
}
"""By kind, those that have fields of their own."""


def lean_json(reading: Reading) -> bytes:
    """A reading as JSON."""
    whole = not reading.missing and reading.state is not State.UNREACHABLE
    shape = shape_of(type(reading), omit=whole)
    return _json.encode(msgspec.convert(reading, shape, from_attributes=True))


def lean_json_of_row(row: dict[str, Any]) -> bytes:
    """The same of a decoded row of the compact form, behind the head that it carries."""
    kind = _SHAPES.get(row["kind"], Reading)
    if not row.keys() <= _known(kind):  # written by a later version
        return _json.encode(row)
    whole = not row["missing"] and row["state"] != State.UNREACHABLE
    return _json.encode(msgspec.convert(row, shape_of(kind, omit=whole, numbered=True)))


@cache
def _known(kind: type[Reading]) -> frozenset[str]:
    return frozenset(kind.__struct_fields__) | {name for name, _ in _HEAD}


@cache
def shape_of(kind: type[Reading], *, omit: bool, numbered: bool = False) -> type[msgspec.Struct]:
    """The struct of a reading's JSON; with `omit`, it leaves out what is not there."""
    fields = (_HEAD if numbered else []) + _fields(kind, set())
    return _like(kind, fields, omit)


@cache
def _part(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    return _like(kind, _fields(kind, _ELSEWHERE), True)


def _like(kind: type[msgspec.Struct], fields: list[Any], omit: bool) -> type[msgspec.Struct]:
    """A struct that goes by the name of another: what is said of its fields stands there."""
    return msgspec.defstruct(kind.__name__, fields, module=kind.__module__, omit_defaults=omit)


def _fields(kind: type[msgspec.Struct], without: set[str] | frozenset[str]) -> list[Any]:
    types = get_type_hints(kind)
    return [
        (field.name, _leaner(types[field.name]))
        if field.required
        else (field.name, _leaner(types[field.name]), field.default)
        for field in msgspec.structs.fields(kind)
        if field.name not in without
    ]


def _leaner(kind: Any) -> Any:
    """Tuples of parts become tuples of lean parts."""
    inner = get_args(kind)
    if types.NoneType in inner:
        return _leaner(inner[0]) | None
    if inner and isinstance(inner[0], type) and issubclass(inner[0], msgspec.Struct):
        return tuple[_part(inner[0]), ...]  # type: ignore[misc]
    return kind

"""Arbitrary readings for property tests, and what of a decoded one must agree with the real one."""

from __future__ import annotations

import types
import typing
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st

from agent.telemetry.columns import deadband, shape_of
from drivers.model import HostReading, MinerReading, Reading
from drivers.model_gpu import GpuReading

KINDS: tuple[type[Reading], ...] = (MinerReading, HostReading, GpuReading)
HEAD = ("node", "boot_id", "stream", "seq")
BEGIN = datetime(2026, 11, 24, tzinfo=UTC)

# Few values close to each other: unchanged, within a deadband and beyond must all occur.
FLOATS = st.one_of(
    st.sampled_from([0.0, 0.3, 1.0, 60.0, 60.7, 61.5, 13.50232, 13.6, 99.99, 110.52341721, 3250.0]),
    st.sampled_from([3262.5, 1e300, -1e-300, 5e-324, float("nan"), float("inf"), 2.0**53 + 2]),
    st.floats(0, 200).map(lambda value: round(value, 2)),
    st.floats(),
).map(lambda value: value + 0.0)  # -0.0 and 0.0 are one value
INTS = st.one_of(
    st.sampled_from([0, 1, 4, 63, 4980, 5010, 5040, 5400, 2**63, 2**64 - 1, -(2**63) - 1]),
    st.integers(0, 300),
    st.integers(-(2**100), 2**100),
)
ZONES = st.sampled_from([UTC, UTC, UTC, None, timezone(timedelta(hours=2))])
TIMES = st.one_of(
    st.integers(0, 10**9).map(lambda us: BEGIN + timedelta(microseconds=us)),
    st.datetimes(timezones=ZONES),
)
TEXT = st.one_of(
    st.sampled_from(["", "Alive", "Dead", "stratum+tcp://a:3333"]), st.text(max_size=5)
)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(_values(each) for each in inner))
    if origin is tuple:
        return st.lists(_values(inner[0]), max_size=3).map(tuple)
    if hint is type(None):
        return st.none()
    if issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    if issubclass(hint, msgspec.Struct):
        return structs(hint)
    return {float: FLOATS, int: INTS, bool: st.booleans(), str: TEXT, datetime: TIMES}[hint]


@cache
def fields(kind: type[Any]) -> dict[str, st.SearchStrategy[Any]]:
    """Any value for each field of a type."""
    hints = typing.get_type_hints(kind)
    found = {name: _values(hints[name]) for name in kind.__struct_fields__}
    if "device_id" in found:
        found["device_id"] = st.sampled_from(["asic-a", "asic-b", "host-c", "asic-d"])
    return found


@cache
def structs(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any struct of a type, field by field."""
    return st.fixed_dictionaries(fields(kind)).map(lambda values: kind(**values))


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """Any reading: one of a few with some fields changed, as devices change."""
    kind = draw(st.sampled_from(KINDS))
    base = draw(st.sampled_from(_bases(kind)))
    taken = draw(st.sets(st.sampled_from(kind.__struct_fields__), max_size=6))
    changed = {name: draw(fields(kind)[name]) for name in sorted(taken | {"device_id", "taken_at"})}
    return msgspec.structs.replace(base, **changed)


@cache
def _bases(kind: type[Reading]) -> list[Reading]:
    plain = {"device_id": "", "kind": "asic", "taken_at": BEGIN, "state": "ok"}
    bare = msgspec.convert(plain, kind)
    full = {
        name: msgspec.convert(_sample(hint, name), hint)
        for name, hint in typing.get_type_hints(kind).items()
        if name not in (*plain, "faults", "missing")
    }
    return [bare, msgspec.structs.replace(bare, **full)]


def _sample(hint: Any, name: str) -> Any:
    """Some value of a type, as JSON would have it."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _sample(inner[0], name)
    if origin is tuple:
        return [_sample(inner[0], name)] * 2
    if issubclass(hint, Enum):
        return next(iter(hint)).value
    if issubclass(hint, msgspec.Struct):
        hints = typing.get_type_hints(hint)
        return {each: _sample(hints[each], each) for each in hint.__struct_fields__}
    return {float: 60.5, int: 5000, bool: True, str: name, datetime: BEGIN.isoformat()}[hint]


def plain(reading: Reading) -> dict[str, Any]:
    """The reading as its JSON shows it."""
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(reading))
    return decoded


def agrees(reading: Reading, row: dict[str, Any]) -> bool:
    """Whether a decoded row lies within the deadbands of the reading; AssertionError says where."""
    real, seen = plain(reading), {name: row[name] for name in row if name not in HEAD}
    assert list(seen) == list(real)
    for field in shape_of(type(reading)):
        if isinstance(field, list) and len(field) == 2:
            name, inner = field
            if real[name] is None:
                assert seen[name] is None, name
                continue
            assert len(seen[name]) == len(real[name]), name
            for ours, theirs in zip(real[name], seen[name], strict=True):
                assert list(theirs) == inner
                for each in inner:
                    _agree(each, ours[each], theirs[each])
        else:
            name = field[0] if isinstance(field, list) else field
            _agree(name, real[name], seen[name])
    return True


def _agree(name: str, real: Any, seen: Any) -> None:
    where = f"{name}: {seen!r} for {real!r}"
    if isinstance(real, str) and real.endswith("Z") and name.endswith("_at"):
        assert 0 <= (_time(real) - _time(seen)).total_seconds() < 0.001, where
        return
    band = deadband(name)
    if band is None or type(real) not in (int, float) or type(seen) not in (int, float):
        assert (type(seen), seen) == (type(real), real), where
        return
    assert abs(seen - real) <= band.slack(real) * (1 + 1e-12), where
    assert name == "uptime_s" or (seen == 0) == (real == 0), where


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))

"""The merged tables made into a `Config`; every complaint says what was expected and found."""

from __future__ import annotations

import types
from collections.abc import Callable
from datetime import date, datetime, time
from difflib import get_close_matches
from functools import cache
from ipaddress import IPv4Address
from typing import Any, TypeGuard, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from agent.config.merge import Key, Tables
from agent.config.schema import Config
from agent.config.terms import Section

_MOST_SHOWN = 60


def decode(tables: Tables) -> Config:
    """The configuration that the tables describe; raises `ConfigError` for the first fault."""
    _check(tables, Config, tables.values, ())
    try:
        return msgspec.convert(tables.values, Config, dec_hook=_decode_foreign)
    except msgspec.ValidationError as error:  # a kind of type that _check does not know
        raise tables.error((), str(error)) from None


def _check(tables: Tables, wanted: Any, value: Any, at: Key) -> None:
    wanted = _without_none(wanted)
    if _is_section(wanted):
        _check_section(tables, wanted, value, at)
    elif get_origin(wanted) is tuple:
        _check_array(tables, get_args(wanted)[0], value, at)
    elif get_origin(wanted) is dict:
        _check_mapping(tables, get_args(wanted)[1], value, at)
    else:
        _check_scalar(tables, wanted, value, at)


def _check_section(tables: Tables, wanted: type[Section], value: Any, at: Key) -> None:
    if not isinstance(value, dict):
        raise tables.error(at, f"expected a table, found {_found(value)}")
    hints = _hints(wanted)
    for name in value:
        if name not in hints:
            # the value is not shown: it may be a password that has no place here
            raise tables.error((*at, name), "unknown key" + _suggestion(name, list(hints)))
    for field in msgspec.structs.fields(wanted):
        if field.name in value:
            _check(tables, hints[field.name], value[field.name], (*at, field.name))
        elif field.required:
            raise tables.error((*at, field.name), f"missing; {_expected(hints[field.name])}")


def _check_array(tables: Tables, wanted: Any, value: Any, at: Key) -> None:
    if not isinstance(value, list):
        name = at[-1]
        what = f"tables, written [[{name}]]" if _is_section(wanted) else "strings in [ ]"
        raise tables.error(at, f"expected an array of {what}, found {_found(value)}")
    for position, item in enumerate(value):
        _check(tables, wanted, item, (*at, position))


def _check_mapping(tables: Tables, wanted: Any, value: Any, at: Key) -> None:
    if not isinstance(value, dict):
        raise tables.error(at, f"expected a table, found {_found(value)}")
    for name, item in value.items():
        _check(tables, wanted, item, (*at, name))


def _check_scalar(tables: Tables, wanted: Any, value: Any, at: Key) -> None:
    try:
        msgspec.convert(value, wanted, dec_hook=_decode_foreign)
    except msgspec.ValidationError:
        raise tables.error(at, f"{_expected(wanted)}, found {_found(value)}") from None


def _decode_foreign(wanted: type, value: Any) -> Any:
    if wanted is IPv4Address and isinstance(value, str):
        return IPv4Address(value)  # its ValueError becomes a ValidationError
    raise NotImplementedError


def _suggestion(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(sorted(known))}"


# --- what was expected -------------------------------------------------------------------


def _expected(wanted: Any) -> str:
    wanted = _without_none(wanted)
    if _is_section(wanted):
        needed = [field.name for field in msgspec.structs.fields(wanted) if field.required]
        return f"expected a table with {' and '.join(needed)}"
    info = inspect.type_info(wanted)
    if isinstance(info, inspect.Metadata):
        return f"expected {(info.extra_json_schema or {}).get('description')}"
    return f"expected {_DESCRIBE[type(info)](info)}"


def _describe_literal(info: Any) -> str:
    return "one of " + ", ".join(f'"{value}"' for value in info.values)


def _describe_whole(info: Any) -> str:
    return f"a whole number from {info.ge} to {info.le}"


def _describe_number(info: Any) -> str:
    return f"a number above {info.gt:g} and at most {info.le:g}"


def _describe_text(info: Any) -> str:
    if info.max_length is None:
        return "a string"
    return f"a string of {info.min_length} to {info.max_length} characters"


_DESCRIBE: dict[type, Callable[[Any], str]] = {
    inspect.BoolType: lambda _: "true or false",
    inspect.IntType: _describe_whole,
    inspect.FloatType: _describe_number,
    inspect.StrType: _describe_text,
    inspect.LiteralType: _describe_literal,
    inspect.EnumType: lambda info: "one of " + ", ".join(f'"{each}"' for each in info.cls),
    inspect.VarTupleType: lambda _: "an array of strings in [ ]",
    inspect.CustomType: lambda _: "an IPv4 address",
}


# --- what was found ----------------------------------------------------------------------


def _found(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "an array"
    if isinstance(value, str):
        return _found_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime | date | time):
        return f"the date or time {value.isoformat()}"
    return f"the number {_short(str(value))}"


def _found_text(value: str) -> str:
    # mqtt://user:password@host is not for the journal
    return "a string with '@' in it" if "@" in value else f"the string {_short(ascii(value))}"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."


# --- types -------------------------------------------------------------------------------


@cache
def _hints(section: type[Section]) -> dict[str, Any]:
    return get_type_hints(section, include_extras=True)


def _is_section(wanted: Any) -> TypeGuard[type[Section]]:
    return isinstance(wanted, type) and issubclass(wanted, Section)


def _without_none(wanted: Any) -> Any:
    # TOML has no null: an optional key is given or left out
    args = get_args(wanted)
    return args[0] if types.NoneType in args else wanted

"""Canaan's telemetry strings taken apart: `Ver[1246-83-..] DNA[..] PS[0 1214 ..] ...`. Pure.

`stats`, `estats` and `litestats` carry one such string for each machine ("module") that the
controller drives, under the key `MM ID<n>`. Home machines call it `MM ID0:Summary`, put it in
`'STATS':{...}`, and send the lists of the chips apart, as `HBinfo`: `'HB0':{...} 'HB1':{...}`.
Sources: Canaan's driver for the Nano 3s (`driver-avalon.c`), "Avalon A10 API manual" v0.2,
recordings of Avalon 721 to 1566 and of an Avalon Q.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from drivers.asic.fields import integer, number
from drivers.wire.cgminer import rows

MODULES_LIMIT = 64
ROWS_LIMIT = 16
STRING_LIMIT_CHARS = 128 * 1024
LIST_LIMIT = 512

KEY_LIMIT_CHARS = 24

_KEY = re.compile(r"(?<![\w%-])[\w%-]{1,24}+$")
_BOARD = re.compile(r"'?HB(\d{1,2})'?\s*:\s*\{")
_MODULE = re.compile(r"MM ID(\d{1,3})(?::\w+)?")


class Module(NamedTuple):
    """One machine under a controller: what its string says."""

    number: int
    fields: Mapping[str, str]
    elapsed_s: float | None
    """How long the program runs, as the row beside the string says."""
    is_home: bool
    """True where the string has the form of the home machines, which know `litestats`."""


def modules(reply: Any) -> list[Module]:
    """The machines in an answer to `stats`, `estats` or `litestats`; empty where there are none."""
    found: list[Module] = []
    for row in rows(reply if isinstance(reply, dict) else {}, "STATS")[:ROWS_LIMIT]:
        if "Pool Calls" not in row:
            found += _in_row(row)
    return found[:MODULES_LIMIT]


def _in_row(row: dict[str, Any]) -> list[Module]:
    found: list[Module] = []
    chips: dict[str, str] = {}
    elapsed_s = number(row.get("Elapsed"))
    for key, value in row.items():
        if "MM ID" in key and (match := _MODULE.fullmatch(key)):
            if fields := tokens(value):
                found.append(Module(int(match[1]), fields, elapsed_s, ":" in key))
        elif key.endswith("HBinfo"):
            chips |= _boards(value)
    if chips and found:
        found[-1] = found[-1]._replace(fields=chips | dict(found[-1].fields))
    return found[:MODULES_LIMIT]


def tokens(value: Any) -> dict[str, str]:
    """The values by key; of a key that comes twice the first counts."""
    if not isinstance(value, str):
        return _taken_apart(value) if isinstance(value, dict) else {}
    found: dict[str, str] = {}
    # By brackets and not by an expression: linear whatever comes, and half the time. What never
    # closes is left out, what closes without a key as well.
    *closed, _ = value[:STRING_LIMIT_CHARS].split("]")
    for part in closed:
        head, bracket, inner = part.rpartition("[")
        key = head.rpartition(" ")[2]
        if not key.isidentifier() or len(key) > KEY_LIMIT_CHARS:
            match = _KEY.search(key[-KEY_LIMIT_CHARS - 1 :])  # as in `'STATS':{Ver` or `DH5m%`
            key = match.group() if match and bracket else ""
        if key and key not in found:
            found[key] = inner
    return found


def _taken_apart(value: dict[str, Any]) -> dict[str, str]:
    """An object in the string's place, as proxies between us and a machine make of it."""
    inner = value.get("STATS")
    fields = inner if isinstance(inner, dict) else value
    return {
        str(key)[:KEY_LIMIT_CHARS]: _words(each) for key, each in list(fields.items())[:LIST_LIMIT]
    }


def _words(value: Any) -> str:
    listed = value[:LIST_LIMIT] if isinstance(value, list) else [value]
    return " ".join(str(each) for each in listed if isinstance(each, str | int | float))


def _boards(value: Any) -> dict[str, str]:
    """The lists of the chips; their keys get the number of the board that they belong to."""
    if isinstance(value, dict):
        parts = [(str(key).removeprefix("HB"), tokens(each)) for key, each in value.items()]
    elif isinstance(value, str):
        pieces = _BOARD.split(value[:STRING_LIMIT_CHARS])
        parts = [(at, tokens(each)) for at, each in zip(pieces[1::2], pieces[2::2], strict=True)]
    else:
        return {}
    return {
        f"{key.rstrip('0123456789')}{at}": each
        for at, fields in parts[:MODULES_LIMIT]
        for key, each in fields.items()
    }


# --- values --------------------------------------------------------------------------------------


def numbers(fields: Mapping[str, str], key: str) -> list[float | None]:
    """A list such as `MGHS[26907.01 26025.06]`; empty where it is absent."""
    value = fields.get(key)
    words = value.split()[:LIST_LIMIT] if value else []
    try:
        found = [*map(float, words)]
    except ValueError:
        return [number(word) for word in words]
    if all(map(math.isfinite, found)):
        return list[float | None](found)
    return [each if math.isfinite(each) else None for each in found]


def length(fields: Mapping[str, str], key: str) -> int:
    """How many values a list has."""
    value = fields.get(key)
    return len(value.split()) if value else 0


def celsius(value: Any) -> float | None:
    """A temperature; -273 and 0 are sensors that are not there or have not measured yet."""
    found = number(value)
    return found if found is not None and found != 0 and -60 < found < 200 else None


def whole(fields: Mapping[str, str], key: str) -> int | None:
    """A whole number under a key."""
    value = fields.get(key)
    return integer(value) if value else None


def working(fields: Mapping[str, str]) -> tuple[str | None, int | None]:
    """What the machine says it does and how many of its hash boards work.

    `SYSTEMSTATU[Work: In Work, Hash Board: 3 ]`: In Init, In Work, In Idle or In Fault. Where the
    words are missing, `STATE[n]` numbers them in that order (`sysstatus` in Canaan's driver).
    """
    words, _, boards = fields.get("SYSTEMSTATU", "").partition(",")
    said = words.partition(":")[2].strip().lower().removeprefix("in ")[:32]
    if not said:
        state = whole(fields, "STATE")
        said = _STATES[state] if state is not None and 0 <= state < len(_STATES) else ""
    return said or None, integer(boards.partition(":")[2])


_STATES = ("init", "work", "idle", "fault")

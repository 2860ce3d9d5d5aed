"""Reading tolerant of how firmwares write numbers, words and hash rates; pure functions.

What cannot be read is None: no invented zero, no exception.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]

_LEADING_NUMBER = re.compile(r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)")
_MAC_DIGITS = re.compile(r"[0-9a-f]{12}")
_UNWORDY = re.compile(r"[^A-Za-z0-9._-]+")
_TEXT_LIMIT = 256
_BLANKS = ("at-", "unknown", "none", "null", "default", "not-")
_WHOLE_LIMIT = 1 << 63
_SAFE_DIGITS = 18
_SMALL_THS = 1e-3

THS_PER = {"KHS": 1e-9, "MHS": 1e-6, "GHS": 1e-3, "THS": 1.0, "PHS": 1e3}
"""API-README: `MHS 5s` is in millions of hashes per second, and so on."""
THS_PER_RATE_UNIT = {"KH": 1e-9, "MH": 1e-6, "GH": 1e-3, "TH": 1.0, "PH": 1e3}
"""Bitmain's `rate_unit`; scrypt machines have MH there under names that say GHS."""


def number(value: Any) -> float | None:
    """A finite number, also from text such as `"110566.89"` or `"58.94W"`."""
    kind = type(value)  # exact types first: this is called a hundred times a poll
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is str:
        return _number_in(value)
    if kind is not int:
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _number_in(words: str) -> float | None:
    try:
        found = float(words)
    except ValueError:
        match = _LEADING_NUMBER.match(words)
        if match is None:
            return None
        found = float(match.group(1))
    return found if math.isfinite(found) else None


def positive(value: Any) -> float | None:
    """A number above zero; for sensors whose 0 means that nothing was measured."""
    found = number(value)
    return found if found is not None and found > 0 else None


def integer(value: Any) -> int | None:
    """A whole number of up to 64 bits; counters keep every digit."""
    kind = type(value)
    if kind is int:
        found = value
    elif kind is str and len(value) <= _SAFE_DIGITS and value.isdecimal():
        return int(value)
    elif isinstance(value, str) and len(value) <= 30 and value.strip().isdecimal():
        found = int(value)
    else:
        measured = number(value)
        if measured is None:
            return None
        found = round(measured)
    return found if -_WHOLE_LIMIT <= found < _WHOLE_LIMIT else None


def text(value: Any) -> str | None:
    """A word or line of bounded length; empty is None."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    # Half a surrogate pair would make the reading unencodable later.
    found = str(value).strip()[:_TEXT_LIMIT].encode("utf-8", "replace").decode()
    return found or None


def common(value: Any) -> str | None:
    """`text` that thousands of machines share, such as a model: kept once."""
    found = text(value)
    return sys.intern(found) if found else None


def truth(value: Any) -> bool | None:
    """A Boolean, also as `"Y"`, `"true"` or 1."""
    if isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    known = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}
    return known.get(value.strip().lower()) if isinstance(value, str) else None


def first(row: Row, keys: Iterable[str]) -> Any:
    """The value of the first key that is there."""
    for key in keys:
        if key in row:
            return row[key]
    return None


def _keys(windows: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    units = ("GHS", "MHS", "THS", "KHS", "PHS")
    return tuple((f"{unit} {window}", THS_PER[unit]) for window in windows for unit in units)


# cgminer names the short window after its log interval: 5 s by default, 20 s in bfgminer, 30 s in
# recordings; bfgminer says `rolling` beside it for the same.
_NOW_KEYS = _keys(("5s", "10s", "20s", "30s", "rolling", "1m", "5m", "15m"))
_AVERAGE_KEYS = _keys(("av",))


def hashrate_now_ths(row: Row) -> float | None:
    """The rate over the shortest usual window, in TH/s."""
    return _rate(row, _NOW_KEYS)


def hashrate_average_ths(row: Row) -> float | None:
    """The mean rate since start, in TH/s."""
    return _rate(row, _AVERAGE_KEYS)


def _rate(row: Row, keys: tuple[tuple[str, float], ...]) -> float | None:
    for key, scale in keys:
        if key in row:
            rate = scaled(row[key], scale)
            if rate is not None and rate >= 0:
                return rate
    return None


def scaled(value: Any, scale: float) -> float | None:
    """A number times a unit's scale, without the noise of binary fractions."""
    found = number(value)
    if found is None:
        return None
    rate = found * scale
    # The rates of what is counted in kH/s or solutions would be rounded away.
    rate = round(rate, 9 if abs(rate) >= _SMALL_THS else 15)
    return rate if math.isfinite(rate) else None


def highest(values: Iterable[float | None]) -> float | None:
    """The highest of what was measured."""
    return max((value for value in values if value is not None), default=None)


def corners(value: Any) -> float | None:
    """The highest of readings joined by dashes, as in `"78-50-69-70"`; zeros are no sensors."""
    if not isinstance(value, str):
        return positive(value)
    try:
        found = max(map(float, value.split("-")))
    except ValueError:
        return highest(positive(part) for part in value.split("-"))
    return found if 0 < found < math.inf else None


def mac(value: Any) -> str | None:
    """A MAC address as `02:b3:b9:8c:1e:c8`; None for anything that is none, and for all 0 or f."""
    if not isinstance(value, str):
        return None
    digits = re.sub(r"[\s:.-]", "", value).lower()
    if not _MAC_DIGITS.fullmatch(digits) or digits in {"0" * 12, "f" * 12}:
        return None
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def miner_id(mac_address: str | None, serial: str | None, provisional_id: str) -> str:
    """The stable id of a miner: by MAC, else by serial, else provisional."""
    if mac_address:
        return f"asic-{mac_address}"
    word = _UNWORDY.sub("-", serial).strip("-.") if serial else ""
    # "0", "N-A", "00000000" and the like are what a factory left blank: many machines share them.
    telling = len(set(word)) > 3 and not word.lower().startswith(_BLANKS)
    return f"asic-{word}" if telling else provisional_id

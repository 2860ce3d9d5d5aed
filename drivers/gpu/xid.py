"""What XIDs mean and what to do about them: a table that the operator may lay another over."""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from drivers.errors import DriverFault

VERSION = 1
BUILT_IN = "xids.toml"


class Severity(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    FATAL = "fatal"


class Who(StrEnum):
    """Where the cause lies as a rule."""

    APPLICATION = "application"
    GPU = "gpu"
    MEMORY = "memory"
    LINK = "link"
    DRIVER = "driver"
    POWER = "power"
    HOST = "host"


class Action(StrEnum):
    """What is to be done; `xids.toml` says what each means."""

    NONE = "none"
    RESTART_JOB = "restart_job"
    MAINTENANCE = "maintenance"
    CHECK_LINKS = "check_links"
    RESET = "reset"
    REBOOT = "reboot"
    CHECK_POWER = "check_power"
    UPDATE_DRIVER = "update_driver"
    CONTACT_VENDOR = "contact_vendor"
    ASK_DRIVER = "ask_driver"
    CORRELATE = "correlate"


class XidMeaning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One code."""

    title: str
    who: Who = Who.GPU
    severity: Severity = Severity.WARNING
    action: Action = Action.NONE
    quarantine: bool = False
    burst_s: float = 0.0
    note: str = ""


class XidTable(msgspec.Struct, frozen=True):
    """Meanings by code; any code has one."""

    meanings: dict[int, XidMeaning]
    default: XidMeaning

    def of(self, code: int) -> XidMeaning:
        """What this code means."""
        return self.meanings.get(code, self.default)


class BadTable(DriverFault):
    """A table that cannot be used; says which file and what in it."""


def load_table(override: Path | None = None) -> XidTable:
    """The built-in table, with the operator's laid over it; raises `BadTable`."""
    text = resources.files(__package__).joinpath(BUILT_IN).read_text()
    tables = [_parsed(text, BUILT_IN)]
    if override is not None:
        try:
            text = override.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadTable(f"{override}: {getattr(error, 'strerror', None) or error}") from error
        tables.append(_parsed(text, str(override)))
    return _laid_over(tables)


def _parsed(text: str, name: str) -> _File:
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadTable(f"{name}: {error}") from None
    if found.version != VERSION:
        raise BadTable(f"{name}: version {found.version}; this program reads {VERSION}")
    for key in found.xid:
        if not _codes(key):
            raise BadTable(f"{name}: xid.{key}: a code is a number, or a range such as 39-41")
    return found


_KEY = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)
_RANGE_MOST = 1000


def _codes(key: str) -> range:
    """The codes that an entry is for; none where the key says none."""
    found = _KEY.fullmatch(key)
    if found is None:
        return range(0)
    codes = range(int(found[1]), int(found[2] or found[1]) + 1)
    return codes if len(codes) <= _RANGE_MOST else range(0)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    default: dict[str, Any] = {}
    xid: dict[str, dict[str, Any]] = {}


def _laid_over(files: list[_File]) -> XidTable:
    default: dict[str, Any] = {}
    entries: dict[int, dict[str, Any]] = {}
    for file in files:
        default |= file.default
        for key, entry in file.xid.items():
            for code in _codes(key):
                entries[code] = entries.get(code, {}) | entry
    return XidTable(
        {code: _meaning(f"xid.{code}", entry) for code, entry in entries.items()},
        _meaning("default", default),
    )


def _meaning(place: str, entry: dict[str, Any]) -> XidMeaning:
    try:
        return msgspec.convert(entry, XidMeaning)
    except msgspec.ValidationError as error:
        raise BadTable(f"table of XIDs: {place}: {error}") from None

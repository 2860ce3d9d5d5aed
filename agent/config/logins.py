"""The passwords of devices, from a file of their own: by range, tag or device.

    [[login]]
    addresses = ["10.1.0.0/18"]      # and, or instead: tags = { hall = "B" }, devices = ["asic-.."]
    user = "root"
    password = "..."

A login without addresses, tags and devices is for all. Several may fit a device; the most
specific is tried first (device, tags, addresses, all), then in the order of the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.config.check import CREDENTIALS
from agent.config.files import read_text
from agent.config.ranges import Addresses, RangeError, parse
from agent.config.schema import Credentials
from agent.config.terms import Section
from agent.errors import ConfigError
from drivers.api import Credential


class Login(Section, frozen=True, kw_only=True):
    """A user and password, and the devices that they are for."""

    user: Annotated[str, Meta(max_length=64)]
    password: Annotated[str, Meta(max_length=128)]
    addresses: tuple[str, ...] = ()
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    devices: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, password=...)"


class _File(Section, frozen=True, kw_only=True):
    login: tuple[Login, ...] = ()


class Logins:
    """What was configured, looked up for a device."""

    def __init__(self, logins: tuple[Login, ...] = ()) -> None:
        ranked = sorted(enumerate(logins), key=lambda item: (_rank(item[1]), item[0]))
        self._logins = tuple(
            (login, tuple(map(parse, login.addresses)), Credential(login.user, login.password))
            for _, login in ranked
        )

    def __len__(self) -> int:
        return len(self._logins)

    def of(self, device_id: str, address: str, tags: dict[str, str]) -> tuple[Credential, ...]:
        """The credentials for a device, the most specific first."""
        return tuple(
            credential
            for login, ranges, credential in self._logins
            if _fits(login, ranges, device_id, address, tags)
        )


def load(settings: Credentials | None) -> Logins:
    """The logins of the configured file; raises `ConfigError` that never shows a password."""
    path = _path(settings)
    if path is None:
        return Logins()
    text = read_text(path)
    try:
        found = msgspec.toml.decode(text.encode(), type=_File)
    except msgspec.ValidationError as error:
        # msgspec names the place and the type, never the value
        raise ConfigError(str(path), "login", str(error)) from None
    except msgspec.DecodeError:
        raise ConfigError(str(path), "", "not TOML") from None  # its words may quote the line
    try:
        return Logins(found.login)
    except RangeError as error:
        raise ConfigError(str(path), "login.addresses", str(error)) from None


def _path(settings: Credentials | None) -> Path | None:
    if settings is None:
        return None
    if settings.file:
        return Path(settings.file)
    directory = os.environ.get(CREDENTIALS)
    return Path(directory) / settings.credential if directory and settings.credential else None


def _rank(login: Login) -> int:
    """0 for single devices, 3 for all."""
    return 0 if login.devices else 1 if login.tags else 2 if login.addresses else 3


def _fits(
    login: Login,
    ranges: tuple[Addresses, ...],
    device_id: str,
    address: str,
    tags: dict[str, str],
) -> bool:
    return (
        (not login.devices or device_id in login.devices)
        and (not ranges or any(address in each for each in ranges))
        and all(tags.get(key) == value for key, value in login.tags.items())
    )

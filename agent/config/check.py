"""What must hold between keys, and between the configuration and the files it names."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.config import ranges
from agent.config.check_commands import complete_commands
from agent.config.files import unreadable
from agent.config.merge import Blame, Key
from agent.config.schema import Config
from agent.config.terms import Name, Section
from drivers.errors import DriverError
from drivers.registry import BUILT_IN, DRIVERS, check_fault_table

_S = TypeVar("_S", bound=Section)

CREDENTIALS = "CREDENTIALS_DIRECTORY"


def complete(config: Config, blame: Blame, base: Path) -> Config:
    """The configuration with absolute paths, once every rule holds; raises `ConfigError`."""
    config = _with_absolute_paths(config, base)
    for rule in _RULES:
        rule(config, blame)
    commands = complete_commands(config.commands, blame)
    return msgspec.structs.replace(config, commands=commands)


def _node_name(config: Config, blame: Blame) -> None:
    try:
        msgspec.convert(config.node.name, Name)
    except msgspec.ValidationError:
        name = ascii(config.node.name)
        problem = f"this host is called {name}, which can not stand in an MQTT topic; give a name"
        raise blame.error(("node", "name"), problem) from None


def _times(config: Config, blame: Blame) -> None:
    mqtt, polling = config.mqtt, config.polling
    if mqtt.reconnect_min_s > mqtt.reconnect_max_s:
        problem = (
            f"{mqtt.reconnect_min_s:g} s is more than reconnect_max_s = {mqtt.reconnect_max_s:g}"
        )
        raise blame.error(("mqtt", "reconnect_min_s"), problem)
    if polling.deadline_s >= polling.interval_s:
        problem = f"{polling.deadline_s:g} s must be less than interval_s = {polling.interval_s:g}"
        raise blame.error(("polling", "deadline_s"), problem)


def _gpus(config: Config, blame: Blame) -> None:
    gpu = config.gpu
    paces = ("fast_interval_s", "medium_interval_s", "slow_interval_s")
    for quicker, slower in pairwise(paces):
        least_s, most_s = getattr(gpu, quicker), getattr(gpu, slower)
        if least_s > most_s:
            problem = f"{most_s:g} s is less than {quicker} = {least_s:g}"
            raise blame.error(("gpu", slower), problem)
    if gpu.expected is not None and gpu.expected < len(gpu.expected_ids):
        problem = f"{gpu.expected}, and expected_ids names {len(gpu.expected_ids)}"
        raise blame.error(("gpu", "expected"), problem)
    for at, device_id in enumerate(gpu.expected_ids):
        if device_id in gpu.expected_ids[:at]:
            raise blame.error(("gpu", "expected_ids", at), f"{device_id} stands there twice")


def _fault_table(config: Config, blame: Blame) -> None:
    if config.gpu.fault_table:
        try:
            check_fault_table(Path(config.gpu.fault_table))
        except DriverError as error:
            raise blame.error(("gpu", "fault_table"), str(error)) from None


def _password(config: Config, blame: Blame) -> None:
    mqtt = config.mqtt
    if mqtt.password_file and mqtt.password_credential:
        problem = "give either password_file or password_credential, not both"
        raise blame.error(("mqtt", "password_credential"), problem)
    given = "password_file" if mqtt.password_file else "password_credential"
    if (mqtt.password_file or mqtt.password_credential) and mqtt.username is None:
        raise blame.error(("mqtt", given), "a password needs mqtt.username")


def _credential(config: Config, blame: Blame) -> None:
    # only systemd sets the directory: check-config in a shell can not know the credential
    directory = os.environ.get(CREDENTIALS)
    devices = config.credentials
    if devices and (devices.file is None) == (devices.credential is None):
        raise blame.error(("credentials",), "give either file or credential")
    named: list[tuple[Key, str | None]] = [
        (("mqtt", "password_credential"), config.mqtt.password_credential),
        (("credentials", "credential"), devices.credential if devices else None),
    ]
    for key, name in named:
        if name and directory and (problem := unreadable(f"{directory}/{name}")):
            raise blame.error(key, f"{directory}/{name}: {problem}")


def _allowed(config: Config, blame: Blame) -> None:
    for at, allow in enumerate(config.control.allow):
        for position, text in enumerate(allow.addresses):
            try:
                ranges.parse(text)
            except ranges.RangeError as error:
                raise blame.error(
                    ("control", "allow", at, "addresses", position), str(error)
                ) from None
        for position, driver in enumerate(allow.drivers):
            if driver not in (names := {*DRIVERS, *BUILT_IN}):
                problem = f"no driver is called {driver!a}; there are {', '.join(sorted(names))}"
                raise blame.error(("control", "allow", at, "drivers", position), problem)


def _key_pair(config: Config, blame: Blame) -> None:
    tls = config.mqtt.tls
    if tls and (tls.cert_file is None) != (tls.key_file is None):
        given, lacking = ("cert_file", "key_file") if tls.cert_file else ("key_file", "cert_file")
        raise blame.error(("mqtt", "tls", given), f"{given} needs {lacking} beside it")


def _files(config: Config, blame: Blame) -> None:
    tls = config.mqtt.tls
    named: list[tuple[Key, str | None]] = [(("mqtt", "password_file"), config.mqtt.password_file)]
    if tls:
        pairs = (("ca_file", tls.ca_file), ("cert_file", tls.cert_file), ("key_file", tls.key_file))
        named += [(("mqtt", "tls", key), path) for key, path in pairs]
    if config.locations:
        named.append((("locations", "file"), config.locations.file))
    if config.credentials:
        named.append((("credentials", "file"), config.credentials.file))
    named.append((("gpu", "fault_table"), config.gpu.fault_table))
    for key, path in named:
        if path is not None and (problem := unreadable(path)):
            raise blame.error(key, f"{path}: {problem}")


def _ranges(config: Config, blame: Blame) -> None:
    parsed = [_parsed(config, blame, at) for at in range(len(config.range))]
    if overlap := ranges.first_overlap(parsed):
        one, other, shared = overlap
        texts = f"{config.range[other].addresses} overlaps {config.range[one].addresses}"
        key: Key = ("range", other, "addresses")
        raise blame.error(key, f"{texts}: both hold {shared}")


def _parsed(config: Config, blame: Blame, at: int) -> ranges.Addresses:
    each = config.range[at]
    try:
        ranges.parse(each.addresses)
    except ranges.TooLarge:
        pass  # the exclusions may make it small enough
    except ranges.RangeError as error:
        raise blame.error(("range", at, "addresses"), str(error)) from None
    try:
        return ranges.parse(each.addresses, each.exclude)
    except ranges.TooLarge as error:
        raise blame.error(("range", at, "addresses"), str(error)) from None
    except ranges.RangeError as error:
        raise blame.error(("range", at, "exclude"), str(error)) from None


_RULES: tuple[Callable[[Config, Blame], None], ...] = (
    _node_name,
    _times,
    _gpus,
    _password,
    _credential,
    _key_pair,
    _files,
    _fault_table,
    _ranges,
    _allowed,
)


# --- paths -------------------------------------------------------------------------------


def _with_absolute_paths(config: Config, base: Path) -> Config:
    mqtt = _absolute(config.mqtt, base, "password_file")
    if mqtt.tls:
        tls = _absolute(mqtt.tls, base, "ca_file", "cert_file", "key_file")
        mqtt = msgspec.structs.replace(mqtt, tls=tls)
    locations = config.locations and _absolute(config.locations, base, "file")
    credentials = config.credentials and _absolute(config.credentials, base, "file")
    node = _absolute(config.node, base, "state_dir", "control_socket")
    keys = tuple(_absolute(key, base, "public_key_file") for key in config.commands.key)
    return msgspec.structs.replace(
        config,
        node=node,
        mqtt=mqtt,
        gpu=_absolute(config.gpu, base, "socket", "fault_table"),
        locations=locations,
        credentials=credentials,
        commands=msgspec.structs.replace(config.commands, key=keys),
    )


def _absolute(section: _S, base: Path, *keys: str) -> _S:
    given = {key: path for key in keys if (path := getattr(section, key)) is not None}
    resolved = {key: os.path.normpath(base / path) for key, path in given.items()}
    return msgspec.structs.replace(section, **resolved)

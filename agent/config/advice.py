"""What is allowed in a configuration but probably not meant."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from agent.config.ranges import OwnedRanges
from agent.config.schema import Config, Range

_READABLE_BY_OTHERS = 0o004


def advice(config: Config) -> tuple[str, ...]:
    """Plain sentences, the key first; none where all looks well."""
    return (
        *_about_ranges(config),
        *_about_sweep(config),
        *_about_gpus(config),
        *_about_secrets(config),
        *_about_commands(config),
    )


def _about_ranges(config: Config) -> Iterator[str]:
    if not config.range:
        others = "this host and its GPUs" if config.gpu.enabled else "this host"
        yield f"range: none is given, so no device but {others} will be read"
    for at, each in enumerate(config.range):
        # a warning only: at boot the network may still be coming up
        if each.interface and not _interface_exists(each.interface):
            yield f"range[{at}].interface: this host has no interface {each.interface} now"
        if each.source_address and not _is_ours(each):
            yield f"range[{at}].source_address: this host has no {each.source_address} now"


def _about_sweep(config: Config) -> Iterator[str]:
    discovery = config.discovery
    addresses = len(OwnedRanges(config.range))
    sweep_s = addresses / discovery.per_second
    if discovery.enabled and sweep_s > discovery.sweep_interval_s:
        yield (
            f"discovery.per_second: a sweep of {addresses} addresses takes {sweep_s:.0f} s, "
            f"longer than sweep_interval_s = {discovery.sweep_interval_s:g}"
        )


def _about_gpus(config: Config) -> Iterator[str]:
    if not config.gpu.enabled and (config.gpu.expected or config.gpu.expected_ids):
        yield "gpu.enabled: GPUs are expected, and nobody looks for them"


def _about_secrets(config: Config) -> Iterator[str]:
    mqtt = config.mqtt
    if mqtt.username and mqtt.tls is None and not _is_loopback(mqtt.host):
        yield "mqtt.tls: missing, so the password crosses the network in the clear"
    for key, path in (
        ("mqtt.password_file", mqtt.password_file),
        ("mqtt.tls.key_file", mqtt.tls and mqtt.tls.key_file),
        ("credentials.file", config.credentials and config.credentials.file),
    ):
        if path and Path(path).stat().st_mode & _READABLE_BY_OTHERS:
            yield f"{key}: {path} can be read by every user of this host"


def _about_commands(config: Config) -> Iterator[str]:
    commands = config.commands
    if config.control.allow and not commands.key and commands.unsigned is None:
        yield "commands.key: none is given, so devices are controlled on the spot alone"
    for at, key in enumerate(commands.key):
        if "*" in key.verbs and key.max_targets is None:
            yield (
                f"commands.key[{at}].max_targets: missing, so one command of {key.id} may reach "
                "every device of the site"
            )
    if commands.two_person and not any(key.approves for key in commands.key):
        yield "commands.two_person: no key has approves, so what waits for approval never begins"
    if commands.unsigned:
        yield "commands.unsigned: whoever reaches the broker may order what it allows"
    known = {key.id for key in commands.key}
    for at, revoked in enumerate(commands.revoked):
        if revoked.id not in known:
            yield f"commands.revoked[{at}].id: no key is called {revoked.id}: a slip of the pen?"


def _interface_exists(name: str) -> bool:
    try:
        return socket.if_nametoindex(name) > 0
    except OSError:
        return False


def _is_ours(each: Range) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(each.source_address), 0))
        except OSError:
            return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

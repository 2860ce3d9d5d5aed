"""The configuration as frozen structs: every key, its default and its unit.

`docs/configuration.md` explains the keys to their users; a test holds the two together.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.commands import Commands
from agent.config.terms import (
    FilePath,
    GpuId,
    Host,
    Interface,
    Name,
    PerSecond,
    Port,
    Seconds,
    Section,
    VerbName,
)


class Tls(Section, frozen=True, kw_only=True):
    """How the broker is verified and how this node proves itself."""

    ca_file: FilePath | None = None
    """PEM of the accepted authorities; the system's own where absent."""
    cert_file: FilePath | None = None
    key_file: FilePath | None = None


class Mqtt(Section, frozen=True, kw_only=True):
    """The broker, and how hard to try."""

    host: Host = "127.0.0.1"
    port: Port = 1883
    version: Literal["5", "3.1.1"] = "5"
    client_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """Default: `stoker-<site>-<node>`."""
    username: str | None = None
    password_file: FilePath | None = None
    password_credential: Name | None = None
    """Name of a systemd credential, read from `$CREDENTIALS_DIRECTORY`."""
    tls: Tls | None = None
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 30
    connect_timeout_s: Seconds = 10.0
    reconnect_min_s: Seconds = 1.0
    reconnect_max_s: Seconds = 120.0
    inflight: Annotated[int, Meta(ge=1, le=1000)] = 200
    """Messages that the broker has not acknowledged, on each of the two connections."""


class Polling(Section, frozen=True, kw_only=True):
    """How often devices are read."""

    interval_s: Seconds = 60.0
    deadline_s: Seconds = 5.0
    concurrency: Annotated[int, Meta(ge=1, le=20_000)] = 256
    """Devices read at once, of those that answer well."""
    suspect_concurrency: Annotated[int, Meta(ge=1, le=20_000)] = 256
    """Devices read at once, of those that did not answer last time."""
    per_subnet_per_s: PerSecond = 200.0
    """Polls started per second within one /24."""
    confirm_identity_s: Seconds = 3600.0
    """The age at which an identity is confirmed again."""


class Discovery(Section, frozen=True, kw_only=True):
    """How addresses are searched for devices."""

    enabled: bool = True
    sweep_interval_s: Seconds = 600.0
    per_second: PerSecond = 200.0
    per_subnet_per_s: PerSecond = 50.0
    concurrency: Annotated[int, Meta(ge=1, le=20_000)] = 256


class Range(Section, frozen=True, kw_only=True):
    """Addresses that this node owns."""

    addresses: str
    """`10.1.0.0/16`, `10.1.2.10-10.1.3.20` or one address."""
    exclude: tuple[str, ...] = ()
    source_address: IPv4Address | None = None
    interface: Interface | None = None
    rpc_port: Port = 4028
    web_port: Port = 80
    side_port: Port = 8080
    framed_port: Port = 4433
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class Gpu(Section, frozen=True, kw_only=True):
    """The GPUs of this host, which `stoker-gpu` reads for the agent."""

    enabled: bool = True
    """Without the service, and where there never was a GPU, nothing is missed."""
    socket: FilePath = "/run/stoker-gpu/gpu.sock"
    fast_interval_s: Seconds = 5.0
    """How often each is read: load, memory, power, heat, clocks."""
    medium_interval_s: Seconds = 15.0
    """How old what costs the driver more may be: limits, errors, links, processes."""
    slow_interval_s: Seconds = 120.0
    """How old the dearest values and settings may be."""
    expected: Annotated[int, Meta(ge=0, le=64)] | None = None
    """How many there have to be; where nothing is said, each that was ever seen."""
    expected_ids: tuple[GpuId, ...] = ()
    """The same by id."""
    undone: Literal["report", "restore"] = "report"
    """What is done where a setting that was proved is found to be another one."""
    fault_table: FilePath | None = None
    """What is laid over the built-in table of fault codes."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class Locations(Section, frozen=True, kw_only=True):
    """Where devices stand."""

    file: FilePath


class Allow(Section, frozen=True, kw_only=True):
    """Devices that may be controlled, and what may be done to them; all where nothing is said."""

    addresses: tuple[str, ...] = ()
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    makes: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    """Drivers whose orders were proved in a simulator only act where they are named here."""
    verbs: tuple[VerbName, ...] = ()
    """Dangerous verbs are allowed only where they are named here."""


class Control(Section, frozen=True, kw_only=True):
    """What this node may do to its devices; without an `allow` it only observes."""

    allow: tuple[Allow, ...] = ()
    starts_per_minute: Annotated[float, Meta(gt=0, le=100_000)] = 120.0
    starts_per_group_per_minute: Annotated[float, Meta(gt=0, le=100_000)] = 12.0
    start_group: tuple[str, ...] = ("breaker", "rack")
    """Places or tags that devices of one breaker share; the first that a device has counts."""
    concurrency: Annotated[int, Meta(ge=1, le=20_000)] = 1024
    """Orders under way at once, of those that are answered within a second."""


class Credentials(Section, frozen=True, kw_only=True):
    """Where the passwords of devices stand."""

    file: FilePath | None = None
    credential: Name | None = None
    """Name of a systemd credential, instead of `file`."""


class Telemetry(Section, frozen=True, kw_only=True):
    """What is published, how often and in which form."""

    encoding: Literal["json", "json-batch", "compact"] = "json"
    acknowledged_by: Literal["broker", "consumer"] = "broker"
    """Whose word lets the spool forget: the broker's, or the consumer's mark on `ack/...`."""
    spool_limit_gb: Annotated[float, Meta(ge=0.01, le=10_000)] = 8.0
    keyframe_interval_s: Annotated[float, Meta(ge=60, le=86_400)] = 1800.0
    """How long whoever subscribes to `compact` waits at most until it knows everything."""
    history_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """The part of the uplink that history may take where live data wants it too."""
    summary_interval_s: Seconds = 10.0
    host_interval_s: Seconds = 30.0


class Away(Section, frozen=True, kw_only=True):
    """What is done when the broker stays away."""

    order: Literal["hold", "pause"] = "hold"
    """Hold what was ordered last, or put the miners to sleep."""
    after_s: Annotated[float, Meta(ge=1, le=2_592_000)] = 3600.0
    """How long it has to be away for that."""


class Log(Section, frozen=True, kw_only=True):
    """What the journal gets."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Site(Section, frozen=True, kw_only=True):
    """The site this node works for."""

    name: Name


def _host_name() -> str:
    return socket.gethostname().split(".")[0] or "node"


class Node(Section, frozen=True, kw_only=True):
    """This host."""

    name: Name = msgspec.field(default_factory=_host_name)
    state_dir: FilePath = "/var/lib/stoker"
    control_socket: FilePath = "/run/stoker/control.sock"


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration."""

    site: Site
    node: Node = msgspec.field(default_factory=Node)
    mqtt: Mqtt = Mqtt()
    polling: Polling = Polling()
    discovery: Discovery = Discovery()
    range: tuple[Range, ...] = ()
    gpu: Gpu = msgspec.field(default_factory=Gpu)
    locations: Locations | None = None
    control: Control = Control()
    commands: Commands = Commands()
    credentials: Credentials | None = None
    telemetry: Telemetry = Telemetry()
    away: Away = Away()
    log: Log = Log()

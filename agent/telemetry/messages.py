"""What a node says of itself, as types: `docs/asyncapi.yaml` is made from them.

What holds of a value beyond its type stands in `extra_json_schema`: the schema says it, and
nothing checks it here.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.fleet.discovery import SweepStats
from agent.fleet.rollup import Totals
from agent.telemetry.uplink import Uplink
from drivers.actions import Latency
from drivers.model import Identity
from drivers.model_gpu import GpuFacts

BootId = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{12}$"})]
Seq = Annotated[int, Meta(extra_json_schema={"minimum": 1})]
Count = Annotated[int, Meta(extra_json_schema={"minimum": 0})]
Sha256 = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{64}$"})]
ControlMode = Annotated[str, Meta(extra_json_schema={"enum": ["observe only", "allowed"]})]


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What every numbered message begins with."""

    node: str
    """The node that published the message."""
    boot_id: BootId
    """A random word for each start of the agent."""
    stream: str
    seq: Seq
    """Counts up by one within (`node`, `boot_id`, `stream`)."""


# --- the node ----------------------------------------------------------------------------


class Presence(StrEnum):
    """Whether a node is there."""

    ONLINE = "online"
    OFFLINE = "offline"


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a node is online, and what it serves."""

    state: Presence
    node: str
    site: str
    boot_id: BootId
    """A random word for each start of the agent."""
    epoch: Seq
    """Counts the starts of this node. A status with a lower epoch is out of date."""
    version: str
    """The agent's version."""
    started_at: datetime
    at: datetime
    """When this was written. In a Will that is when the connection was opened."""
    clock_synchronised: bool | None
    """Whether the host's clock follows a time source; null where nobody can tell."""
    clock_offset_s: float | None
    """Seconds by which the clock still has to be moved, positive where it is behind."""
    serves: tuple[str, ...]
    """The address ranges of this node, as configured."""
    control: ControlMode
    """Whether the configuration lets the agent write to any device (`[[control.allow]]`)."""


# --- the inventory -----------------------------------------------------------------------


class BoardEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What does not change of a board."""

    serial: str | None = None
    chips_expected: int | None = None
    """Chips of a whole board."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One device as the inventory shows it. What is absent is not known."""

    identity: Identity
    address: str
    """Where it was last seen; empty for the host itself."""
    driver: str
    """The driver that reads it."""
    capabilities: dict[str, Latency] = {}
    """What it can be made to do, by the name of the action, and how soon each shows."""
    boards: tuple[BoardEntry, ...] = ()
    """Its boards, in the order of its readings."""
    gpu: GpuFacts | None = None
    """Of a GPU: what it is and can."""
    asset_id: str | None = None
    """This and the next five: from the locations file."""
    building: str | None = None
    rack: str | None = None
    row: str | None = None
    slot: str | None = None
    customer: str | None = None
    tags: dict[str, str] = {}
    """Tags of the range, and over them those of the locations file."""


class InventoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Up to 500 devices."""

    page: Count
    devices: tuple[Entry, ...]


class PageEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest says of a page."""

    page: Count
    devices: Count
    sha256: Sha256
    """Hash of the page's payload, byte for byte."""


class InventoryManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The pages of the inventory."""

    boot_id: BootId
    version: Seq
    """Counts publications since the agent started; begins anew with each start."""
    devices: Count
    """Devices on all pages, the host included."""
    pages: tuple[PageEntry, ...]
    counts: dict[str, dict[str, Seq]]
    """By key and value, the number of devices that have it; without the host."""
    uncounted: tuple[str, ...]
    """Keys that devices have, with too many values to be counted here."""


# --- the summary -------------------------------------------------------------------------


class Lateness(msgspec.Struct, frozen=True, kw_only=True):
    """How late polls of healthy devices began."""

    steps: dict[str, Count]
    """Polls by the upper bound of their lateness in seconds (`inf` for more)."""
    count: Count
    p50_s: float | None
    """Seconds, within a step; null without polls."""
    p99_s: float | None
    """Seconds, within a step; null without polls."""
    max_s: float


class Polls(msgspec.Struct, frozen=True, kw_only=True):
    """Polls since the summary before."""

    outcomes: dict[str, Count]
    """Polls, and readings of GPUs, by how they ended: `ok`, `displaced`, `preempted` or `acted_on`
    (an order came first), or the name of a driver's error such as `DeviceTimeout`. Readings for the
    proof of orders are counted apart: `look`, or `look_` and an error."""
    lateness: Lateness


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One way to the broker, since the agent started."""

    connected: bool
    published: Count
    """PUBLISH packets, repetitions included."""
    acknowledged: Count
    """PUBACK packets."""
    connects: Count
    bytes_out: Count
    """Bytes of MQTT sent, without TCP and TLS."""
    failures: dict[str, Count]
    """Lost connections and failed attempts by cause; docs/operating.md lists them."""


class ControlWay(Connection, frozen=True, kw_only=True):
    """The way of status, inventory and summaries."""

    waiting: Count
    """Messages that wait in memory."""
    under_way: Count
    """Messages sent, not yet acknowledged."""
    dropped: dict[str, Count]
    """Messages that no broker takes: `statement`, `poison`. Empty where none was."""


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept and not yet acknowledged."""

    readings: Count
    """Readings and events."""
    bytes: Count
    oldest_at: dict[str, datetime]
    """By stream, about when the oldest of it was taken."""


class SpoolFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The files that keep it."""

    bytes: Count
    """What they take on the disk."""
    written_bytes: Count
    """Written since the agent started."""
    lost: dict[str, Count]
    """Readings and events lost, by reason: `over_bound`, `disk`, `damaged`, `torn`."""
    trouble: str | None
    """Why nothing can be written, in the words of the system."""


class TelemetryWay(Connection, frozen=True, kw_only=True):
    """The way of readings and events."""

    uplink: Uplink
    backlog: Backlog
    spool: SpoolFigures


class DeliveryFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The two connections, since the agent started."""

    control: ControlWay
    telemetry: TelemetryWay


class FindingCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same at many devices, with how many it concerns now."""

    factory_password: Count
    """Devices that opened with their maker's factory password when last asked."""
    gpu_missing: Count
    """GPUs of this host that were there, or are expected, and are not there."""
    gpu_unserved: Count
    """GPUs of this host that nobody reads, since the service that does so does not."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Totals over the node's fleet, and how polling and delivery fare."""

    at: datetime
    totals: Totals
    polls: Polls
    delivery: DeliveryFigures
    discovery: SweepStats
    findings: FindingCounts

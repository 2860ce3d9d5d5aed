"""What commands from afar need of the rest of the agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.command.control import Control
from agent.fleet.events import Event
from agent.fleet.inventory import Inventory
from agent.fleet.poller import Poller
from agent.mqtt.topics import Topics
from agent.store.audit import AuditLog
from agent.store.journal import Journal
from agent.telemetry.outbox import Outbox
from drivers.api import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Deeds:
    """What other parts do when they are told to; each says what it did."""

    scan: Callable[[], str]
    reload: Callable[[str], Awaitable[str]]
    keyframe: Callable[[], str]
    publish_inventory: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one node."""

    site: str
    topics: Topics
    control: Control
    inventory: Inventory
    poller: Poller
    outbox: Outbox
    journal: Journal
    audit: AuditLog
    clock: Clock
    pump: Callable[[], None]
    """Hands over what was put into the outbox."""
    expires: Callable[[], bool]
    """Whether the broker lets retained messages expire (MQTT 5)."""
    synchronised: Callable[[], bool | None]
    """Whether this host's clock follows a time source; None where that is not known."""
    tell: Callable[[Event], None]
    deeds: Deeds

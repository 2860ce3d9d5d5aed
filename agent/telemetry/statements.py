"""What the node says of itself and its fleet: status, inventory pages, summaries."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from agent import __version__
from agent.config.schema import Config
from agent.fleet.discovery import Discovery
from agent.fleet.findings import Findings
from agent.fleet.histogram import Histogram
from agent.fleet.inventory import Inventory
from agent.fleet.poller import Poller, PollStats
from agent.mqtt.events import Message
from agent.mqtt.session import Session
from agent.mqtt.settings import Statement
from agent.mqtt.topics import Topics
from agent.telemetry.delivery import Delivery
from agent.telemetry.encode import Stream
from agent.telemetry.feed import Feed
from agent.telemetry.messages import (
    ControlWay,
    DeliveryFigures,
    Entry,
    FindingCounts,
    Lateness,
    NodeStatus,
    Polls,
    Presence,
    Summary,
)
from agent.telemetry.outbox import Outbox
from agent.telemetry.uplink import connection
from drivers.api import Clock
from drivers.model import HostReading, Identity

log = logging.getLogger("stoker.statements")

PAGES_S = 2.0
"""How long changes of the inventory gather before the pages go out."""


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """This start of the agent: a late word of an earlier one has a lower epoch."""

    boot_id: str
    epoch: int
    started_at: datetime


class Statements:
    """Publishes the node's statements; `run` keeps summaries and pages going."""

    def __init__(
        self,
        *,
        config: Config,
        boot: Boot,
        clock: Clock,
        topics: Topics,
        outbox: Outbox,
        feed: Feed,
        pump: Callable[[], None],
    ) -> None:
        self._config = config
        self._boot = boot
        self._clock = clock
        self._topics = topics
        self._outbox = outbox
        self._feed = feed
        self._pump = pump
        self._summaries = Stream("summary", topics.node, boot.boot_id)
        self._host: HostReading | None = None
        self.control = "observe only"
        """How far this node may act."""
        self.failures = 0
        """Summaries and pages that could not be made."""
        self.findings: Findings  # these six are set by the app
        self.inventory: Inventory
        self.poller: Poller
        self.discovery: Discovery
        self.session: Session
        self.delivery: Delivery

    # --- the node's status -------------------------------------------------------------

    def will(self) -> Statement:
        """What the broker says when the connection breaks, and we ourselves on leaving."""
        return Statement(self._topics.node_status, self._status(Presence.OFFLINE))

    def announce(self) -> None:
        """Say that this node is online, and its whole inventory: on every connection."""
        self._outbox.state(self._topics.node_status, self._status(Presence.ONLINE))
        self.publish_inventory()

    def publish_inventory(self) -> None:
        """Publish every page and the manifest again."""
        self._feed.pages.all_again()
        self._publish_pages()
        self._pump()

    def clock_synchronised(self) -> bool | None:
        """Whether this host's clock follows a time source, as it was read last."""
        return None if self._host is None else self._host.clock_synchronised

    def on_message(self, message: Message) -> None:
        """Correct a status that a late Will of a former connection has overwritten."""
        if message.topic != self._topics.node_status or not self.session.connected:
            return
        if _says_offline(message.payload):
            self._outbox.state(self._topics.node_status, self._status(Presence.ONLINE))
            self._pump()

    def host_read(self, identity: Identity, reading: HostReading) -> None:
        """Take over what the host's reading says of the clock, and enter the host."""
        before, self._host = self._host, reading
        self._feed.pages.put(identity.id, Entry(identity=identity, address="", driver="host"))
        if before is None or before.clock_synchronised != reading.clock_synchronised:
            self._outbox.state(self._topics.node_status, self._status(Presence.ONLINE))
            self._pump()

    def _status(self, state: Presence) -> bytes:
        host = self._host
        return msgspec.json.encode(
            NodeStatus(
                state=state,
                node=self._topics.node,
                site=self._config.site.name,
                boot_id=self._boot.boot_id,
                epoch=self._boot.epoch,
                version=__version__,
                started_at=self._boot.started_at,
                at=datetime.fromtimestamp(self._clock.now(), UTC),
                clock_synchronised=host.clock_synchronised if host else None,
                clock_offset_s=host.clock_offset_s if host else None,
                serves=tuple(each.addresses for each in self._config.range),
                control=self.control,
            )
        )

    # --- summaries and pages -----------------------------------------------------------

    async def run(self) -> None:
        """Publish summaries and changed pages until cancelled."""
        interval_s = self._config.telemetry.summary_interval_s
        summary_at = self._clock.monotonic() + interval_s
        while True:
            await asyncio.sleep(min(PAGES_S, interval_s))
            self._guarded("the inventory", self._publish_pages)
            if self._clock.monotonic() >= summary_at:
                summary_at += interval_s
                self._guarded("a summary", self._publish_summary)
            self._pump()

    def _guarded(self, what: str, publish: Callable[[], None]) -> None:
        """What cannot be made costs its own publication: reading and acting go on without."""
        try:
            publish()
        except Exception:
            self.failures += 1
            log.exception("%s could not be made", what)

    def _publish_pages(self) -> None:
        changed = self._feed.pages.take_changed()
        for number, content in changed:
            self._outbox.state(self._topics.inventory_page(number), content)
        if changed:
            manifest = self._feed.pages.manifest(self._boot.boot_id)
            self._outbox.state(self._topics.inventory_manifest, msgspec.json.encode(manifest))

    def _publish_summary(self) -> None:
        summary = Summary(
            at=datetime.fromtimestamp(self._clock.now(), UTC),
            totals=self._feed.rollup.totals(),
            polls=_polls(self.poller.take_stats()),
            delivery=self._delivery(),
            discovery=self.discovery.stats,
            findings=FindingCounts(**self.findings.counts()),
        )
        self._outbox.state(self._topics.summary, self._summaries.record(summary))

    def _delivery(self) -> DeliveryFigures:
        """How both ways to the broker fare."""
        control = ControlWay(
            **connection(self.session),
            waiting=len(self._outbox),
            under_way=self._outbox.under_way,
            dropped=dict(self._outbox.dropped),
        )
        return DeliveryFigures(control=control, telemetry=self.delivery.figures())

    def overview(self) -> bytes:
        """Everything `stoker status` shows."""
        return msgspec.json.encode(
            {
                "status": msgspec.Raw(self._status(Presence.ONLINE)),
                "totals": self._feed.rollup.totals(),
                "polls": _polls(self.poller.total),
                "reading_now": self.poller.busy,
                "delivery": self._delivery(),
                "discovery": self.discovery.stats,
                "events": dict(self._feed.event_counts),
                "findings": self.findings.counts(),
                "devices": len(self.inventory),
                "failed_statements": self.failures,
            }
        )


def _says_offline(payload: bytes) -> bool:
    try:
        said = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    return not isinstance(said, dict) or said.get("state") != "online"


def _polls(stats: PollStats) -> Polls:
    return Polls(outcomes=dict(stats.outcomes), lateness=_lateness(stats.lateness))


def _lateness(lateness: Histogram) -> Lateness:
    return Lateness(
        steps={f"{step:g}": count for step, count in lateness.steps().items()},
        count=lateness.count,
        p50_s=lateness.quantile_s(0.5),
        p99_s=lateness.quantile_s(0.99),
        max_s=round(lateness.max_s, 6),
    )

"""The way of readings and events, put together: gathered, kept on disk, brought to the broker."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from agent.clock import SystemClock
from agent.config.schema import Config
from agent.fleet.events import Event
from agent.mqtt.session import Session
from agent.mqtt.settings import SessionSettings
from agent.mqtt.topics import Topics
from agent.store.ledger import Loss, SpoolEvents
from agent.store.shelf import EVENT
from agent.store.spool import Spool
from agent.telemetry.courier import Courier
from agent.telemetry.forms import FORMS
from agent.telemetry.gatherer import READINGS, Gatherer
from agent.telemetry.messages import Backlog, SpoolFigures, TelemetryWay
from agent.telemetry.pace import Pace
from agent.telemetry.receipts import Receipts
from agent.telemetry.telling import EventsTeller, ReadingsTeller
from agent.telemetry.thinner import SpoolThinner
from agent.telemetry.uplink import connection

log = logging.getLogger("stoker.delivery")

GB = 1_000_000_000
DRAIN_S = 2.0
"""How long a stop waits for the broker to take what is live."""


class Delivery:
    """Use as an async context manager around `parts`."""

    def __init__(
        self,
        config: Config,
        topics: Topics,
        *,
        boot_id: str,
        epoch: int,
        clock: SystemClock,
        rng: random.Random,
        held: Callable[[], bool],
    ) -> None:
        """While `held` says so nothing is handed over."""
        settings = config.telemetry
        self._clock = clock
        self.spool = Spool(
            Path(config.node.state_dir) / "spool",
            limit_bytes=int(settings.spool_limit_gb * GB),
            boot_id=boot_id,
            epoch=epoch,
            clock=clock,
            events=SpoolEvents(
                on_lost=self._lost, on_trouble=self._trouble, on_recovered=self._recovered
            ),
        )
        by_consumer = settings.acknowledged_by == "consumer"
        marks = {
            stream: topics.acknowledgement(stream) for stream in (EVENT, READINGS) if by_consumer
        }
        form = FORMS[settings.encoding](topics, boot_id)
        events = EventsTeller(topics.event)
        self.courier = Courier(
            self.spool,
            {EVENT: events, READINGS: ReadingsTeller(form)},
            Receipts(self.spool, boot_id, marks, clock.monotonic),
            Pace(clock.monotonic, share=settings.history_share),
            boot_id=boot_id,
            monotonic=clock.monotonic,
            on_new_chain=self._new_chain,
            on_lost=self._given_up,
        )
        self.gatherer = Gatherer(
            self.spool,
            self.courier,
            form,
            events.messages,
            node=topics.node,
            boot_id=boot_id,
            clock=clock,
            keyframe_interval_s=settings.keyframe_interval_s,
        )
        self._thinner = SpoolThinner(self.spool, self._lost)
        client_id = config.mqtt.client_id or f"stoker-{config.site.name}-{config.node.name}"
        self.session = Session(
            SessionSettings(mqtt=config.mqtt, client_id=f"{client_id}-telemetry", clean=True),
            self.courier.events(),
            clock=clock,
            rng=rng,
            log=logging.getLogger("stoker.mqtt.telemetry"),
        )
        if by_consumer:
            self.session.subscribe([topics.acknowledgements])
        self.courier.session = self.session
        self.courier.held = held

    async def __aenter__(self) -> Delivery:
        await self.spool.__aenter__()
        for ended in self.spool.recovered:
            if ended.torn_bytes:
                log.warning("%d bytes of %s were half written", ended.torn_bytes, ended.stream)
            details = msgspec.structs.asdict(ended)
            self._tell("telemetry.ended", "an earlier run ended here", details)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.gatherer.flush()
        await self.spool.__aexit__(kind, error, trace)

    def parts(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What has to run, beside the session."""
        return [("courier", self.courier.run()), ("thinner", self._thinner.run())]

    async def drain(self) -> None:
        """Bring what is live to the broker, as far as a stop has time for it; the rest is kept."""
        self.gatherer.flush()
        if not await self.courier.drain(DRAIN_S):
            log.info("stopped before the broker had everything; the spool keeps the rest")

    def figures(self) -> TelemetryWay:
        """How the way to the broker fares."""
        spool = self.spool.stats()
        return TelemetryWay(
            **connection(self.session),
            uplink=self.courier.uplink(),
            backlog=Backlog(
                readings=spool.backlog_readings,
                bytes=spool.backlog_bytes,
                oldest_at={
                    stream: datetime.fromtimestamp(at, UTC)
                    for stream, at in spool.oldest_at.items()
                },
            ),
            spool=SpoolFigures(
                bytes=spool.bytes,
                written_bytes=spool.written_bytes,
                lost=spool.lost,
                trouble=spool.trouble,
            ),
        )

    def _new_chain(self) -> None:
        self.gatherer.new_chain()

    # --- what is told ------------------------------------------------------------------

    def _given_up(self, loss: Loss) -> None:
        """Whoever missed a frame of a chain cannot decode what follows it: begin another one."""
        self._new_chain()
        self._lost(loss)

    def _lost(self, loss: Loss) -> None:
        """A gap record: which numbers nobody will get."""
        details = {
            "boot_id": loss.boot_id,
            "stream": loss.stream,
            "first_seq": loss.first_seq,
            "last_seq": loss.last_seq,
            "lost": loss.lost,
            "from": datetime.fromtimestamp(loss.first_at, UTC),
            "to": datetime.fromtimestamp(loss.last_at, UTC),
            "reason": loss.reason,
        }
        self._tell("telemetry.gap", f"{loss.lost} lost of {loss.stream}: {loss.reason}", details)

    def _trouble(self, words: str) -> None:
        self._tell("spool.trouble", words, {})

    def _recovered(self) -> None:
        self._tell("spool.recovered", "it can be written again", {})

    def _tell(self, name: str, message: str, details: dict[str, Any]) -> None:
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        self.gatherer.event(Event(name=name, at=at, message=message, details=details))

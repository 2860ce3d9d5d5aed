"""The agent: its parts built in order, started together, and stopped in peace."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from agent import process, sdnotify
from agent.app.commanding import deeds
from agent.app.fleet import Fleet
from agent.app.leaving import deliver, give_back
from agent.app.reloading import Reloading
from agent.clock import SystemClock
from agent.command.audit_head import AuditHead
from agent.command.away import Away
from agent.command.control import Control, Durable
from agent.command.desk import Desk
from agent.config.schema import Config
from agent.fleet.hostwatch import HostWatch
from agent.fleet.precedence import Precedence
from agent.local.gpus import GpuShow
from agent.local.quarantine_desk import QuarantineDesk
from agent.local.reads import Reads
from agent.local.server import ControlServer, Watchers
from agent.mqtt.events import Message
from agent.mqtt.session import Session
from agent.mqtt.settings import SessionSettings
from agent.mqtt.topics import Topics
from agent.remote.parts import Parts
from agent.remote.remote import Remote
from agent.store.audit import AuditLog
from agent.store.database import Database
from agent.store.journal import Journal
from agent.telemetry.delivery import Delivery
from agent.telemetry.feed import Feed
from agent.telemetry.outbox import Outbox
from agent.telemetry.publisher import Publisher
from agent.telemetry.statements import Boot, Statements
from drivers.model import Reading

log = logging.getLogger("stoker")

LOOKS_PER_ORDER = 8
"""Descriptors for each order under way: itself, looks at its effect, and those that hang."""


class Agent:
    """One node at work. Use as an async context manager around `run`."""

    def __init__(self, config: Config, path: Path | None = None) -> None:
        """`path`: where the configuration was read, and is read again."""
        self.config = config
        self.clock = SystemClock()
        self.reloading = Reloading(path, config, self._adopt)
        self._rng = random.Random()
        self.topics = Topics(config.site.name, config.node.name)
        self._precedence = Precedence(self.clock)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Agent:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then deliver what is here and say goodbye."""
        async with asyncio.TaskGroup() as group:
            sessions = [
                group.create_task(self.session.run(), name="control-session"),
                group.create_task(self.delivery.session.run(), name="telemetry-session"),
            ]
            tasks = [group.create_task(part, name=name) for name, part in self._parts()]
            process.tune_gc()
            sdnotify.ready("working")
            await stop.wait()
            sdnotify.stopping("delivering what is here")
            for task in tasks:
                task.cancel()
            await asyncio.gather(
                deliver(self.publisher, self.outbox, self.session),
                self.delivery.drain(),
                give_back(self.fleet.inventory),
            )
            for session in sessions:
                session.cancel()

    # --- building ----------------------------------------------------------------------

    async def _build(self) -> None:
        config, clock = self.config, self.clock
        process.raise_descriptor_limit(
            config.polling.concurrency
            + config.polling.suspect_concurrency
            + config.discovery.concurrency
            + config.control.concurrency * LOOKS_PER_ORDER
        )
        self.database = await self._stack.enter_async_context(
            Database(Path(config.node.state_dir) / "state.db")
        )
        self.audit = await self._stack.enter_async_context(
            AuditLog(Path(config.node.state_dir) / "audit", clock)
        )
        self.journal = await self._stack.enter_async_context(
            Journal(Path(config.node.state_dir) / "commands.db", clock)
        )
        boot = Boot(
            boot_id=uuid.uuid4().hex[:12],
            epoch=self.database.epoch,
            started_at=datetime.fromtimestamp(clock.now(), UTC),
        )
        self.delivery = await self._stack.enter_async_context(
            Delivery(
                config,
                self.topics,
                boot_id=boot.boot_id,
                epoch=boot.epoch,
                clock=clock,
                rng=self._rng,
                held=lambda: self._precedence.claimed,
            )
        )
        self.outbox = Outbox()
        self.feed = Feed(self.delivery.gatherer, self.database.save_device)
        self.statements = Statements(
            config=config,
            boot=boot,
            clock=clock,
            topics=self.topics,
            outbox=self.outbox,
            feed=self.feed,
            pump=self._pump,
        )
        self._build_session()
        await self._build_fleet()
        await self._build_control()
        self._build_local()

    def _build_session(self) -> None:
        config = self.config
        self.publisher = Publisher(self.outbox, self._announce)
        self.session = Session(
            SessionSettings(
                mqtt=config.mqtt,
                client_id=config.mqtt.client_id or f"stoker-{config.site.name}-{config.node.name}",
                clean=False,
                will=self.statements.will,
                farewell=self.statements.will,
            ),
            self.publisher.events(self._on_message),
            clock=self.clock,
            rng=self._rng,
        )
        self.publisher.session = self.session
        self.statements.session = self.session
        self.statements.delivery = self.delivery

    async def _build_fleet(self) -> None:
        self.fleet = Fleet(
            self.config,
            database=self.database,
            feed=self.feed,
            clock=self.clock,
            rng=self._rng,
            precedence=self._precedence,
        )
        await self.fleet.open(self._stack)
        self.statements.inventory = self.fleet.inventory
        self.statements.poller = self.fleet.poller
        self.statements.discovery = self.fleet.discovery
        self.statements.findings = self.fleet.findings

    async def _build_control(self) -> None:
        self.control = Control(
            self.config.control,
            inventory=self.fleet.inventory,
            poller=self.fleet.poller,
            registrar=self.fleet.registrar,
            clock=self.clock,
            durable=Durable(self.database, await self.database.locks(), self.audit),
            tell=self.feed.event,
            restores=self.config.gpu.undone == "restore",
        )
        self.statements.control = self.control.mode
        self.remote = Remote(self.config.commands, self._parts_of_commands())
        self.remote.book.load(await self.journal.entries())
        self.session.subscribe(self.remote.filters)
        self._away = Away(
            self.config.away, self.control, self.clock, lambda: self.session.connected
        )

    def _parts_of_commands(self) -> Parts:
        return Parts(
            site=self.config.site.name,
            topics=self.topics,
            control=self.control,
            inventory=self.fleet.inventory,
            poller=self.fleet.poller,
            outbox=self.outbox,
            journal=self.journal,
            audit=self.audit,
            clock=self.clock,
            pump=self.publisher.pump,
            expires=lambda: self.session.speaks_v5,
            synchronised=self.statements.clock_synchronised,
            tell=self.feed.event,
            deeds=deeds(
                self.config,
                fleet=self.fleet,
                delivery=self.delivery,
                statements=self.statements,
                reloading=self.reloading,
            ),
        )

    def _build_local(self) -> None:
        self.watchers = Watchers()
        self.feed.show = self._show
        desk = Desk(self.control)
        gpus = GpuShow(self.fleet.inventory, self.clock)
        news = self.fleet.gpus.news if self.fleet.gpus else None
        shunned = QuarantineDesk(self.fleet.inventory, news, self.audit)
        self.local = ControlServer(
            Path(self.config.node.control_socket),
            self.statements.overview,
            Reads(self.fleet.inventory, self.fleet.poller, self.fleet.reach).read,
            self.watchers,
            {
                "act": lambda ask, who: desk.act(ask.target, ask.verb, ask.params, who),
                "lock": lambda ask, who: desk.lock(ask.target, ask.reason, who),
                "unlock": lambda ask, who: desk.unlock(ask.target, who),
                "locks": lambda _ask, _who: desk.locks(),
                "gpus": lambda _ask, _who: gpus.show(),
                "quarantine": lambda ask, who: shunned.put(ask.target, ask.reason, who),
                "lift": lambda ask, who: shunned.lift(ask.target, who),
            },
        )
        self.host = HostWatch(
            self.config.telemetry.host_interval_s, self.clock, self.feed, self.statements.host_read
        )

    def _parts(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        return [
            *self.fleet.parts(),
            *self.control.parts(),
            *self.delivery.parts(),
            ("away", self._away.run()),
            ("store", self.database.run()),
            ("audit", self.audit.run()),
            ("audit-head", AuditHead(self.clock, self.audit, self.feed.event).run()),
            ("journal", self.journal.run()),
            ("reloading", self.reloading.run()),
            *self.remote.parts(),
            ("statements", self.statements.run()),
            ("local", self.local.run()),
            ("host", self.host.run()),
            ("watchdog", process.feed_watchdog()),
            ("garbage", process.collect(lambda: self._precedence.claimed)),
        ]

    # --- small bridges between the parts -----------------------------------------------

    def _on_message(self, message: Message) -> None:
        self.statements.on_message(message)
        self.remote.on_message(message)

    def _announce(self) -> None:
        self.statements.announce()
        self.remote.say_alarms()

    def _adopt(self, config: Config) -> None:
        """Take over what can be applied at once of another configuration."""
        self.control.adopt(config.control)
        self.statements.control = self.control.mode
        self.remote.adopt(config.commands)

    def _show(self, reading: Reading) -> None:
        if self.watchers:  # else nobody needs the JSON
            self.watchers.show(msgspec.json.encode(reading))

    def _pump(self) -> None:
        self.publisher.pump_soon()

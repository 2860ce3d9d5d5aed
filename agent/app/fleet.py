"""The devices of one node: remembered, searched for, read, and known by whoever asks."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from agent.app.gpus import gpus
from agent.clock import SystemClock
from agent.config import locations, logins
from agent.config.ranges import OwnedRanges
from agent.config.schema import Config
from agent.fleet.belongings import Belongings
from agent.fleet.discovery import Discovery
from agent.fleet.findings import Findings
from agent.fleet.gpus import Gpus
from agent.fleet.inventory import Known
from agent.fleet.poller import Poller
from agent.fleet.precedence import Precedence
from agent.fleet.reach import Reach
from agent.fleet.registrar import Registrar
from agent.store.database import Database
from agent.telemetry.feed import Feed
from drivers.api import Endpoint, Memory
from drivers.probe import Finding
from drivers.registry import DRIVERS, create


class Fleet:
    """Everything that finds and reads devices. `open` before anything else."""

    def __init__(
        self,
        config: Config,
        *,
        database: Database,
        feed: Feed,
        clock: SystemClock,
        rng: random.Random,
        precedence: Precedence,
    ) -> None:
        self._config = config
        self._database = database
        self._feed = feed
        self._clock = clock
        self._rng = rng
        self._precedence = precedence

    async def open(self, stack: AsyncExitStack) -> None:
        """Build it, and begin with what a former run left; `stack` closes it again."""
        config, clock = self._config, self._clock
        self._belongings = Belongings(
            locations.load(Path(config.locations.file)) if config.locations else None,
            logins.load(config.credentials),
            OwnedRanges(config.range).find,
            node=config.node.name,
            built_in_tags=config.gpu.tags,
        )
        self.inventory = self._belongings.inventory
        for record in await self._database.devices():
            self.inventory.remember(msgspec.msgpack.decode(record, type=Known))
        self.findings = Findings(lambda address: self.inventory.at(address) is not None)
        self.reach = await stack.enter_async_context(
            Reach(
                config.range,
                clock,
                self._memory,
                config.polling.deadline_s,
                self._belongings.credentials,
                lambda endpoint, factory: self.findings.login(endpoint.address, factory=factory),
            )
        )
        per_second = config.discovery.per_second
        self.registrar = Registrar(
            self.inventory, clock, self._feed, self.reach.context, per_second
        )
        self.poller = Poller(
            config.polling,
            self.inventory,
            clock,
            self._rng,
            self._feed,
            self.registrar.doubted,
            precedence=self._precedence,
        )
        self.registrar.poller = self.poller
        self.discovery = Discovery(
            config.discovery, self.inventory, self.registrar, clock, self.reach.endpoints
        )
        self._restore()
        self.gpus: Gpus | None = None
        if config.gpu.enabled:
            self.gpus = gpus(
                config.gpu,
                poller=self.poller,
                findings=self.findings,
                database=self._database,
                feed=self._feed,
                clock=clock,
            )

    def parts(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What has to run."""
        searching = [("discovery", self.discovery.run())] if self._config.discovery.enabled else []
        built_in = [("gpus", self.gpus.run())] if self.gpus else []
        return [
            *searching,
            *built_in,
            ("registrar", self.registrar.run()),
            ("poller", self.poller.run()),
        ]

    def _memory(self, endpoint: Endpoint) -> Memory:
        return self._database.memory(lambda: self._belongings.id_at(endpoint))

    def _restore(self) -> None:
        """Poll what a former run left, so that a machine that died meanwhile is missed."""
        for known in self.inventory.standing():
            endpoint = self.reach.endpoint(known.address)
            if endpoint is None or known.driver_name not in DRIVERS:
                continue
            driver = create(known.driver_name, endpoint, self.reach.context(endpoint))
            finding = Finding(endpoint, known.driver_name, driver, known.identity, ("known",))
            device = self.inventory.restore(finding, known.since)
            self._feed.settled(device)
            self.poller.add(device)

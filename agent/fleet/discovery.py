"""Sweeps the ranges of this node for devices, at a bounded rate, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

import msgspec

from agent.config.schema import Discovery as Settings
from agent.fleet.inventory import Inventory
from agent.fleet.lane import Lane
from agent.fleet.pacer import Pacer
from agent.fleet.registrar import Registrar
from drivers.api import Clock, Endpoint

log = logging.getLogger("stoker.discovery")


class SweepStats(msgspec.Struct):
    """How far the sweeps have come, since the agent started."""

    sweeps: int = 0
    """Whole sweeps over the ranges."""
    asked: int = 0
    """Addresses without a known device that were asked."""
    found: int = 0
    """How many of them answered usably."""


class Discovery:
    """Asks every address that no known device holds."""

    def __init__(
        self,
        settings: Settings,
        inventory: Inventory,
        registrar: Registrar,
        clock: Clock,
        endpoints: Callable[[], Iterable[Endpoint]],
    ) -> None:
        self._settings = settings
        self._inventory = inventory
        self._registrar = registrar
        self._endpoints = endpoints
        self._pacer = Pacer(settings.per_second, clock, settings.per_subnet_per_s)
        self.stats = SweepStats()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Sweep until cancelled."""
        async with asyncio.TaskGroup() as group:
            lane = Lane("discover", self._settings.concurrency, self._ask, group)
            while True:
                self._wanted.clear()
                await self._sweep(lane)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.sweep_interval_s):
                        await self._wanted.wait()

    def sweep_now(self) -> None:
        """Sweep as soon as the present sweep is over, or at once where none is under way."""
        self._wanted.set()

    async def _sweep(self, lane: Lane[Endpoint]) -> None:
        for endpoint in self._endpoints():
            if self._inventory.at(endpoint.address) is not None:
                continue
            await self._pacer.turn(endpoint.address.rpartition(".")[0])
            await lane.until(lambda: lane.busy < self._settings.concurrency)
            lane.put(endpoint)
        await lane.until(lambda: not lane.busy and not len(lane))
        self.stats.sweeps += 1
        log.debug("sweep %d done: %d devices", self.stats.sweeps, len(self._inventory))

    async def _ask(self, endpoint: Endpoint) -> None:
        self.stats.asked += 1
        try:
            device = await self._registrar.discover(endpoint)
        except Exception:
            # One hostile address may cost its own discovery, never the sweep.
            log.exception("discovery failed unexpectedly at %s", endpoint.address)
        else:
            self.stats.found += device is not None

"""Reads the host that the agent runs on, now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.fleet.sink import Sink
from drivers.api import Clock
from drivers.errors import DriverError
from drivers.model import HostReading, Identity
from drivers.registry import host

log = logging.getLogger("stoker.host")

READ_S = 20.0


class HostWatch:
    """Publishes the host's readings until cancelled."""

    def __init__(
        self,
        interval_s: float,
        clock: Clock,
        sink: Sink,
        noted: Callable[[Identity, HostReading], None],
    ) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._sink = sink
        self._noted = noted

    async def run(self) -> None:
        """Read and publish until cancelled."""
        driver = host(self._clock)
        identity: Identity | None = None
        while True:
            try:
                async with asyncio.timeout(READ_S):
                    identity = identity or await driver.identify()
                    reading = (await driver.read()).reading
            except (DriverError, TimeoutError) as error:
                log.warning("the host was not read: %s", error)
            else:
                self._sink.reading(reading)
                if isinstance(reading, HostReading):
                    self._noted(identity, reading)
            await asyncio.sleep(self._interval_s)

"""A simulated site and the way to it, for tests of drivers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from drivers.api import Context, Credential, Endpoint
from drivers.registry import Network
from drivers.sim import Pace, SimServer, Site

START = 1_790_000_000.0


class SiteClock:
    """One time of day for the site and the drivers; deadlines run on the loop's own clock."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class NoMemory:
    """These drivers keep nothing."""

    def get(self, key: str) -> bytes | None:
        raise AssertionError(key)

    async def put(self, key: str, value: bytes) -> None:
        raise AssertionError(key)

    async def forget(self, key: str) -> None:
        raise AssertionError(key)


class OnSite:
    """One machine type on the wire, and what a driver needs to speak to it."""

    def __init__(
        self, server: SimServer, network: Network, clock: SiteClock, asked: list[str], **values: Any
    ) -> None:
        self.server = server
        self.site = server.site
        self.clock = clock
        self.asked = asked
        self.known: Sequence[Credential] = ()
        self.context = Context(
            wire=network.wire,
            web=network.web,
            clock=clock,
            credentials=lambda _: self.known,
            **({"memory": NoMemory()} | values),
        )

    def endpoint(self, number: int = 1) -> Endpoint:
        """Where the machine of that number stands."""
        address = str(self.site.network[number])
        server = self.server
        return Endpoint(
            address,
            rpc_port=server.rpc_port,
            web_port=server.web_port,
            side_port=server.side_port,
            framed_port=server.framed_port,
        )

    def machine(self, number: int = 1) -> Any:
        """The simulated machine itself."""
        return self.site.at(str(self.site.network[number]))


@asynccontextmanager
async def on_site(model: str, network: str, count: int = 2, **values: Any) -> AsyncIterator[OnSite]:
    """Put machines of one type on the wire."""
    clock = SiteClock()
    asked: list[str] = []
    site = Site(7, network, count, mix={model: 1}, clock=clock.now, epoch=START - 86_400)
    async with (
        SimServer(
            site,
            rpc_port=0,
            web_port=0,
            pace=Pace(delay_scale=0, drip_s=0.05),
            observer=lambda answered: asked.append(answered.command),
        ) as server,
        Network() as way,
    ):
        yield OnSite(server, way, clock, asked, **({"deadline_s": 2.0} | values))

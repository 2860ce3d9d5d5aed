"""Doubles for tests of the fleet: a clock, a sink that keeps all, and miners behind addresses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from agent.config.locations import NOWHERE, Location
from agent.config.schema import Polling
from agent.fleet.events import Event
from agent.fleet.inventory import Device, Inventory
from agent.fleet.poller import Poller
from agent.fleet.precedence import Precedence
from agent.fleet.registrar import Registrar
from drivers.api import Context, Endpoint
from drivers.errors import Unreachable
from drivers.mock import MockReader, mock_identity
from drivers.model import Identity, Kind, Reading, Sample
from drivers.probe import Finding

START = 1_800_000_000.0


class FakeClock:
    """Stands still until told."""

    def __init__(self, monotonic: float = 1000.0) -> None:
        self._monotonic = monotonic

    def now(self) -> float:
        return START + self._monotonic

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds


class KeepingSink:
    """Keeps what it is given; `until` waits for more."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.events: list[Event] = []
        self.settled_ids: list[str] = []
        self.gone_ids: list[str] = []
        self.log: list[tuple[str, str]] = []
        self._news = asyncio.Event()

    def reading(self, reading: Reading) -> None:
        self.readings.append(reading)
        self._note("reading", reading.device_id)

    def event(self, event: Event) -> None:
        self.events.append(event)
        self._note(event.name, event.device_id or "")

    def settled(self, device: Device) -> None:
        self.settled_ids.append(device.id)
        self._note("settled", device.id)

    def gone(self, device_id: str) -> None:
        self.gone_ids.append(device_id)
        self._note("gone", device_id)

    def _note(self, what: str, device_id: str) -> None:
        self.log.append((what, device_id))
        self._news.set()

    def ids(self) -> list[str]:
        return [reading.device_id for reading in self.readings]

    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()


class Miner(MockReader):
    """A miner whose uptime goes on with the clock, and that can be crashed or doubled."""

    def __init__(self, identity: Identity, clock: FakeClock) -> None:
        super().__init__(identity, clock)
        self.booted_at = clock.monotonic() - 86_400.0
        self.crash: Exception | None = None
        self.reads = 0
        self.read_done = asyncio.Event()

    async def read(self) -> Sample:
        self.reads += 1
        self.read_done.set()
        if self.crash is not None:
            raise self.crash
        self.show(uptime_s=self._clock.monotonic() - self.booted_at)
        return await super().read()


class AtAddress:
    """A driver that speaks to whoever stands at its address, as real ones do."""

    def __init__(self, world: World, address: str) -> None:
        self._world = world
        self._address = address

    async def identify(self) -> Identity:
        return await self._world.present(self._address).identify()

    async def read(self) -> Sample:
        return await self._world.present(self._address).read()

    async def close(self) -> None:
        pass


class World:
    """Which miner answers where; `probe` asks them as `drivers.probe.probe` would."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.miners: dict[str, Miner] = {}
        self.web_down: set[str] = set()
        """Addresses whose machine shows neither MAC nor serial."""
        self.probes: list[str] = []

    def put(self, address: str, number: int) -> Miner:
        miner = self.miners[address] = Miner(mock_identity(number), self.clock)
        miner.booted_at -= number * 1000  # no two show the same uptime
        return miner

    def present(self, address: str) -> Miner:
        miner = self.miners.get(address)
        if miner is None:
            raise Unreachable(f"{address}: nobody")
        return miner

    async def probe(self, endpoint: Endpoint, _context: Context) -> Finding:
        self.probes.append(endpoint.address)
        driver = AtAddress(self, endpoint.address)
        identity = await driver.identify()
        if endpoint.address in self.web_down:
            identity = Identity(id=endpoint.provisional_id, kind=Kind.ASIC, model=identity.model)
        return Finding(endpoint, "mock", driver, identity, ())


class Fleet:
    """Inventory, poller and registrar over a world, with a clock that stands still."""

    def __init__(
        self, locate: Callable[[str, str | None], Location] = lambda *_: NOWHERE, **polling: Any
    ) -> None:
        settings = {"interval_s": 10.0, "per_subnet_per_s": 10_000.0, **polling}
        self.interval_s = settings["interval_s"]
        self.clock = FakeClock()
        self.sink = KeepingSink()
        self.world = World(self.clock)
        self.inventory = Inventory(locate)
        self.registrar = Registrar(
            self.inventory,
            self.clock,
            self.sink,
            lambda _: None,
            1e6,  # type: ignore[arg-type]
        )
        self.precedence = Precedence(self.clock)
        self.poller = Poller(
            Polling(**settings),
            self.inventory,
            self.clock,
            random.Random(1),
            self.sink,
            self.registrar.doubted,
            precedence=self.precedence,
        )
        self.registrar.poller = self.poller

    async def find(self, address: str) -> Device:
        device = await self.registrar.discover(Endpoint(address))
        assert device is not None
        return device

    async def add(self, address: str, number: int) -> tuple[Miner, Device]:
        miner = self.world.put(address, number)
        return miner, await self.find(address)

    async def round(self, condition: Callable[[], Any]) -> None:
        """Let one interval pass, and wait for what it brings."""
        self.clock.advance(self.interval_s)
        await self.sink.until(condition)

    async def reading_of_next_round(self) -> Reading:
        count = len(self.sink.readings)
        await self.round(lambda: len(self.sink.readings) > count)
        return self.sink.readings[count]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with kept(self.registrar.run()), kept(self.poller.run()):
            yield


@asynccontextmanager
async def kept(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Keep a coroutine running meanwhile; what ends it early fails the test."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def settled_loop(turns: int = 20) -> None:
    """Let everything run that can run without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)

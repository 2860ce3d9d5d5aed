"""What the tests of acting on machines with LuxOS share: names, and wires that die or hang."""

import asyncio
from typing import Any

import msgspec

from drivers.capabilities import PoolSetting
from drivers.model import pool_target
from drivers.registry import create
from drivers.sim.dialects.luxos_rows import profile_name
from tests.wire.acting import KeptMemory, Killed
from tests.wire.simsite import OnSite

S19K, S21 = "Antminer S19k Pro (LuxOS)", "Antminer S21 (LuxOS)"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "north.new"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "north.new", "s3cret"),
)


def targets(pools: Any) -> list[str]:
    return [pool_target(pool.url, pool.user) for pool in pools]


def lower(where: OnSite) -> str:
    return profile_name(where.machine(), -2)


def driver_of(where: OnSite, **values: Any) -> Any:
    context = msgspec.structs.replace(where.context, **values)
    return create("luxos", where.endpoint(), context)


def memory_of(where: OnSite) -> KeptMemory:
    memory = where.context.memory
    assert isinstance(memory, KeptMemory)
    return memory


class Ear:
    """A wire that remembers what went over it, and dies or fails where it is told to."""

    def __init__(self, where: OnSite, *, before: int = -1, after: int = -1) -> None:
        self._where = where
        self._before, self._after = before, after
        self.heard: list[bytes] = []
        self.dead = False

    async def exchange(self, address: str, port: int, request: bytes, **limits: Any) -> bytes:
        self.die(len(self.heard) == self._before)
        answer = await self._where.context.wire.exchange(address, port, request, **limits)
        assert self._where.machine().pools
        self.heard.append(request)
        self.die(len(self.heard) == self._after)
        return answer

    async def converse(self, *_: Any, **__: Any) -> list[bytes]:
        raise AssertionError

    def die(self, now: bool = True) -> None:
        self.dead = self.dead or now
        if self.dead:
            raise Killed


class Hanging(Ear):
    """A wire on which one command is never answered."""

    def __init__(self, where: OnSite, word: bytes) -> None:
        super().__init__(where)
        self._word = word
        self.reached = asyncio.Event()

    async def exchange(self, address: str, port: int, request: bytes, **limits: Any) -> bytes:
        if self._word in request:
            self.reached.set()
            await asyncio.Event().wait()
        return await super().exchange(address, port, request, **limits)

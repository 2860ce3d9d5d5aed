"""What the tests of acting on machines with Braiins OS share: names, and a web that dies."""

from typing import Any

import msgspec

from drivers.api import Credential, Driver
from drivers.capabilities import PoolSetting
from drivers.model import pool_target
from drivers.registry import create
from tests.wire.acting import KeptMemory, Killed
from tests.wire.simsite import OnSite

S9 = "Antminer S9 (Braiins OS 20.09)"
S19J = "Antminer S19j Pro (Braiins OS 24.09)"
S21 = "Antminer S21 (Braiins OS 26.01)"
API = "/api/v1/"
NEW = (
    PoolSetting("stratum+tcp://new-a.example.com:3333", "north.new"),
    PoolSetting("stratum+tcp://new-b.example.com:3333", "north.new", "s3cret"),
)


def as_any(driver: Driver) -> Any:
    return driver


def targets(pools: Any) -> list[str]:
    return [pool_target(pool.url, pool.user) for pool in pools]


def memory_of(where: OnSite) -> KeptMemory:
    memory = where.context.memory
    assert isinstance(memory, KeptMemory)
    return memory


class Web:
    """A web client that remembers what it sent, and dies where it is told to."""

    def __init__(self, where: OnSite, *, before: int = -1, after: int = -1) -> None:
        self._web = where.context.web
        self._machine = where.machine()
        self._before, self._after = before, after
        self.sent: list[tuple[str, bytes | None]] = []
        self.dead = False

    def digest(self, credential: Credential) -> Any:
        return self._web.digest(credential)

    async def request(self, method: str, url: str, *, body: bytes | None = None, **kw: Any) -> Any:
        self.die(len(self.sent) == self._before)
        reply = await self._web.request(method, url, body=body, **kw)
        assert self._machine.pools
        self.sent.append((url, body))
        self.die(len(self.sent) == self._after)
        return reply

    def die(self, now: bool = True) -> None:
        self.dead = self.dead or now
        if self.dead:
            raise Killed


def create_again(where: OnSite, **values: Any) -> Any:
    context = msgspec.structs.replace(where.context, **values)
    driver: Any = create("braiins", where.endpoint(), context)
    if values:
        driver._older.rest_seen = where.machine().model.dialect == "braiins_rest"
        driver._takes_graph_orders = not driver._older.rest_seen
    return driver

"""How the devices of each range are reached: which network, which ports, which memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack

from agent.config.ranges import OwnedRanges
from agent.config.schema import Range
from drivers.api import Clock, Context, Credential, Endpoint, Memory
from drivers.registry import Network

_Way = tuple[str | None, str | None]


class Reach:
    """The networks of this node's ranges. Use as an async context manager."""

    def __init__(
        self,
        ranges: Sequence[Range],
        clock: Clock,
        memory: Callable[[Endpoint], Memory],
        deadline_s: float,
        credentials: Callable[[Endpoint], Sequence[Credential]],
        note_login: Callable[[Endpoint, bool], None],
    ) -> None:
        self.owned = OwnedRanges(ranges)
        self._clock = clock
        self._memory = memory
        self._deadline_s = deadline_s
        self._credentials = credentials
        self._note_login = note_login
        self._networks: dict[_Way, Network] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Reach:
        for each in self.owned.ranges:
            way = _way(each)
            if way not in self._networks:
                network = Network(source_address=way[0], interface=way[1])
                self._networks[way] = await self._stack.enter_async_context(network)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def endpoints(self) -> Iterator[Endpoint]:
        """Every address of this node, in turn from each /24."""
        for each, address in self.owned:
            yield _endpoint(each, address)

    def endpoint(self, address: str) -> Endpoint | None:
        """An address of this node; None for a foreign one."""
        each = self.owned.find(address)
        return _endpoint(each, address) if each else None

    def context(self, endpoint: Endpoint) -> Context:
        """What a driver at that endpoint is given. Raises KeyError for a foreign address."""
        each = self.owned.find(endpoint.address)
        if each is None:
            raise KeyError(endpoint.address)
        network = self._networks[_way(each)]
        return Context(
            wire=network.wire,
            web=network.web,
            clock=self._clock,
            credentials=self._credentials,
            memory=self._memory(endpoint),
            note_login=self._note_login,
            deadline_s=self._deadline_s,
        )


def _endpoint(each: Range, address: str) -> Endpoint:
    return Endpoint(
        address,
        rpc_port=each.rpc_port,
        web_port=each.web_port,
        side_port=each.side_port,
        framed_port=each.framed_port,
    )


def _way(each: Range) -> _Way:
    source = str(each.source_address) if each.source_address else None
    return source, each.interface

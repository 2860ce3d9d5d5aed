"""Lock-outs: where somebody works, nothing is started or switched from afar.

A lock names a tag (`rack=B7`), a device or an address. It is on disk before anybody is told that
it holds, outlives restarts, and is lifted on the spot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime

import msgspec

from agent.command.targets import Selector, parse
from agent.fleet.inventory import Device


class Lock(msgspec.Struct, frozen=True):
    """What is locked, by whom, since when and why."""

    scope: str
    who: str
    since: datetime
    reason: str

    def __str__(self) -> str:
        reason = self.reason or "no reason given"
        return f"{self.scope} is locked by {self.who} since {self.since:%Y-%m-%d %H:%M}Z: {reason}"


Save = Callable[[str, bytes | None], Awaitable[None]]
"""Writes a lock under its scope, or with None drops it; on disk when it returns."""


class Locks:
    """The locks that hold."""

    def __init__(self, kept: Iterable[bytes], save: Save) -> None:
        self._save = save
        self._locks: dict[str, Lock] = {}
        self._selectors: dict[str, Selector] = {}
        self._saving = asyncio.Lock()
        """One change at a time: who comes while another is written is told what came of it."""
        for record in kept:
            self._enter(msgspec.msgpack.decode(record, type=Lock))

    def __iter__(self) -> Iterator[Lock]:
        return iter(self._locks.values())

    def __len__(self) -> int:
        return len(self._locks)

    async def put(self, lock: Lock) -> Lock:
        """Lock; a scope that is locked already stays as it is, and that lock is given back.

        Raises `BadTarget` for a scope that names nothing.
        """
        async with self._saving:
            held = self._locks.get(lock.scope)
            if held is not None:
                return held
            parse(lock.scope)
            await self._save(lock.scope, msgspec.msgpack.encode(lock))
            self._enter(lock)
        return lock

    async def clear(self, scope: str) -> Lock | None:
        """Lift a lock; None where that scope is not locked."""
        async with self._saving:
            held = self._locks.get(scope)
            if held is not None:
                await self._save(scope, None)
                del self._locks[scope], self._selectors[scope]
        return held

    def on(self, device: Device) -> Lock | None:
        """The lock that holds a device, if any."""
        for scope, selector in self._selectors.items():
            if selector.chooses(device):
                return self._locks[scope]
        return None

    def _enter(self, lock: Lock) -> None:
        self._locks[lock.scope] = lock
        self._selectors[lock.scope] = parse(lock.scope)

"""The small memories that drivers keep for their devices: on disk, where the disk takes them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from agent.errors import AgentError

log = logging.getLogger("stoker.store")

MEMORY_LIMIT_BYTES = 64 * 1024
PATIENCE_S = 5.0
"""An order waits so long for the disk, and then goes on without it."""

Changes = dict[tuple[str, str], bytes | None]
"""By device and key; None drops an entry."""


class StoreError(AgentError):
    """The state database cannot be used."""


class Memories:
    """What devices' drivers remember, and what of it is not on disk yet."""

    def __init__(self, commit: Callable[[Changes], Awaitable[None]]) -> None:
        """`commit` puts changes on disk, all or none; it raises `StoreError` where it cannot."""
        self._commit = commit
        self._kept: dict[str, dict[str, bytes]] = {}
        self._changes: Changes = {}
        self._writing: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        """The write that takes what comes while another is under way."""

    def load(self, entries: Iterable[tuple[str, str, bytes]]) -> None:
        """Take over what is on disk."""
        for device_id, key, value in entries:
            self._kept.setdefault(device_id, {})[key] = value

    def of(self, device_id: str) -> dict[str, bytes]:
        """What the memory of a device holds. Not to be changed."""
        return self._kept.setdefault(device_id, {})

    def having(self, key: str) -> list[str]:
        """The devices whose memory has a key."""
        return [device_id for device_id, kept in self._kept.items() if key in kept]

    async def put(self, device_id: str, key: str, value: bytes | None) -> None:
        """Write or, with None, drop an entry; on disk when this returns.

        Where the disk takes nothing the entry is remembered all the same, and written as soon as
        it can be: a full disk must not keep a machine from being stopped.
        """
        if value is None:
            self.of(device_id).pop(key, None)
        else:
            self.of(device_id)[key] = value
        self._changes[device_id, key] = value
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.write()
        except StoreError as error:
            log.debug("%r is not on disk: %s", key, error, extra={"device": device_id})
        except TimeoutError:
            log.warning("%r is not on disk yet", key, extra={"device": device_id})

    async def write(self) -> None:
        """Write what has changed; raises `StoreError` where that cannot be, and keeps it.

        What comes while a write is under way is committed together: a thousand machines that are
        told to sleep at once share a few dozen commits.
        """
        if not self._changes:
            return
        if self._following is None:
            self._following = asyncio.create_task(self._write_after(self._writing))
            self._following.add_done_callback(_heard)
        await asyncio.shield(self._following)

    async def _write_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._writing, self._following = self._following, None
        batch, self._changes = self._changes, {}
        try:
            await self._commit(batch)
        except BaseException:
            self._changes = {**batch, **self._changes}
            raise


def _heard(task: asyncio.Task[None]) -> None:
    """Whoever waited may have gone: an error nobody asks for is none to be logged."""
    if not task.cancelled():
        task.exception()


class DeviceMemory:
    """The `Memory` of `drivers.api` for the device whose id `whose` gives at each access."""

    __slots__ = ("_memories", "_whose")

    def __init__(self, memories: Memories, whose: Callable[[], str]) -> None:
        self._memories = memories
        self._whose = whose

    def get(self, key: str) -> bytes | None:
        """The value last put, or None."""
        return self._memories.of(self._whose()).get(key)

    async def put(self, key: str, value: bytes) -> None:
        """Keep a value under a key; see `Memories.put`."""
        if len(value) > MEMORY_LIMIT_BYTES:
            raise ValueError(f"memory {key!r}: {len(value)} bytes, over {MEMORY_LIMIT_BYTES}")
        await self._memories.put(self._whose(), key, value)

    async def forget(self, key: str) -> None:
        """Drop a key; unknown keys are no error."""
        await self._memories.put(self._whose(), key, None)

"""How many orders are under way at once; those that are not answered soon make room for others."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

PATIENCE_S = 1.0
"""A device that has not answered after this long no longer counts: it may never answer, and a
thousand such would hold up the ten thousand that do."""


class Admission:
    """`limit` places, in the order of coming."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place, for as long as the patience lasts."""
        await self._enter()
        leave = _once(self._leave)
        leaving = asyncio.get_running_loop().call_later(PATIENCE_S, leave)
        try:
            yield
        finally:
            leaving.cancel()
            leave()

    async def _enter(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._free += 1


def _once(act: Callable[[], None]) -> Callable[[], None]:
    """A function that acts when it is first called, and never again."""
    acts = [act]
    return lambda: acts.pop()() if acts else None

"""How many orders are under way at once; those that are not answered soon make room for others."""

from __future__ import annotations

import asyncio
from collections import deque

PATIENCE_S = 1.0
"""A device that has not answered after this long no longer counts: it may never answer, and a
thousand such would hold up the ten thousand that do."""


class Admission:
    """`limit` places, in the order of coming."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    def place(self) -> Place:
        """A place to be held with `async with`, for as long as the patience lasts."""
        return Place(self)

    async def enter(self) -> None:
        """Take a place, once there is one."""
        if self._free > 0:
            self._free -= 1
            return
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back."""
        while self._waiting:
            following = self._waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        self._free += 1


class Place:
    """One place: given back at the end, or sooner where the patience is over."""

    __slots__ = ("_admission", "_leaving")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._leaving: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._admission.enter()
        self._leaving = asyncio.get_running_loop().call_later(PATIENCE_S, self._leave)

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.cancel()
            self._admission.leave()

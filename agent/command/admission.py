"""How many orders are under way at once; those that are not answered soon make room for others."""

from __future__ import annotations

import asyncio
from collections import deque

PATIENCE_S = 1.0
"""A device that has not answered after this long no longer counts: it may never answer, and a
thousand such would hold up the ten thousand that do."""


class Admission:
    """`limit` places, given to those who wait in turn, and to each in the order of coming."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: dict[object, deque[asyncio.Future[None]]] = {}
        """By whose; the next one first."""

    def place(self, whose: object = None) -> Place:
        """A place to be held with `async with`, for as long as the patience lasts.

        Whoever wants ten thousand places does not keep one who wants a single one waiting.
        """
        return Place(self, whose)

    async def enter(self, whose: object) -> None:
        """Take a place, once there is one."""
        if self._free > 0:
            self._free -= 1
            return
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(whose, deque()).append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back: to the next one who waits, if there is one."""
        while self._waiting:
            whose, queue = next(iter(self._waiting.items()))
            del self._waiting[whose]
            following = queue.popleft()
            if queue:
                self._waiting[whose] = queue  # behind all others
            if not following.done():
                following.set_result(None)
                return
        self._free += 1


class Place:
    """One place: given back at the end, or sooner where the patience is over."""

    __slots__ = ("_admission", "_leaving", "_whose")

    def __init__(self, admission: Admission, whose: object) -> None:
        self._admission = admission
        self._whose = whose
        self._leaving: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._admission.enter(self._whose)
        self._leaving = asyncio.get_running_loop().call_later(PATIENCE_S, self._leave)

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving.cancel()
            self._admission.leave()

"""Whose turn it is to speak to a device: one at a time, the urgent first.

Reading yields: where something urgent comes, whoever reads is interrupted, and its connection
closed. An action that is under way is never interrupted, since nobody could say how far it got.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum
from types import TracebackType


class Rank(IntEnum):
    """Who goes first among those who wait."""

    URGENT = 0
    ACTION = 1
    READING = 2


class Preempted(Exception):
    """Something urgent took the turn from a reading."""


class Turn:
    """The right to speak to one device.

    `async with turn:` reads, and raises `Preempted` where the turn was taken away meanwhile;
    `async with turn.action(rank):` acts.
    """

    # A site has 30,000 of them: the queue is made when somebody has to wait.
    __slots__ = ("_entries", "_held", "_reader", "_waiting")

    def __init__(self) -> None:
        self._held = False
        self._reader: asyncio.Task[object] | None = None
        """The task that reads, while one does and has not been interrupted."""
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] | None = None
        self._entries = 0

    @property
    def acted_on(self) -> bool:
        """True while an action holds the turn, or waits for it."""
        return (self._held and self._reader is None) or bool(self._waiting)

    async def __aenter__(self) -> None:
        await self._wait(Rank.READING)
        self._reader = asyncio.current_task()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        taken, self._reader = self._reader is None, None
        self._pass_on()
        if not taken or kind is not asyncio.CancelledError:
            return
        task = asyncio.current_task()
        if task is not None and not task.uncancel():
            raise Preempted from None

    @asynccontextmanager
    async def action(self, rank: Rank) -> AsyncIterator[None]:
        """Hold the turn for an action; an urgent one takes it from a reading."""
        if rank is Rank.URGENT and self._reader is not None:
            reader, self._reader = self._reader, None
            reader.cancel()
        await self._wait(rank)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, rank: Rank) -> None:
        if not self._held:
            self._held = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = self._waiting if self._waiting is not None else []
        self._entries += 1
        heapq.heappush(self._waiting, (rank, self._entries, mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()  # it was given the turn, and does not take it
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            _, _, following = heapq.heappop(self._waiting)
            if not following.done():
                following.set_result(None)
                return
        self._waiting = None
        self._held = False

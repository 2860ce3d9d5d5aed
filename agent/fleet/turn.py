"""Whose turn it is to speak to a device: one at a time, the urgent first.

Reading yields: where something urgent comes, whoever reads is interrupted, and its connection
closed. An action that is under way is never interrupted, since nobody could say how far it got.
"""

from __future__ import annotations

import asyncio
import heapq
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
        await self.wait(Rank.READING)
        self._reader = asyncio.current_task()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        taken, self._reader = self._reader is None, None
        self.pass_on()
        if not taken or kind is not asyncio.CancelledError:
            return
        task = asyncio.current_task()
        if task is not None and not task.uncancel():
            raise Preempted from None

    def action(self, rank: Rank) -> Acting:
        """The turn for an action, held with `async with`; an urgent one takes it from a reading."""
        return Acting(self, rank)

    def interrupt(self) -> None:
        """Take the turn from whoever reads."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.cancel()

    async def wait(self, rank: Rank) -> None:
        """Wait for the turn; `pass_on` follows."""
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
                self.pass_on()  # it was given the turn, and does not take it
            raise

    def pass_on(self) -> None:
        """Give the turn to who waits for it, the urgent first."""
        while self._waiting:
            _, _, following = heapq.heappop(self._waiting)
            if not following.done():
                following.set_result(None)
                return
        self._waiting = None
        self._held = False


class Acting:
    """An action's hold on the turn."""

    __slots__ = ("_rank", "_turn")

    def __init__(self, turn: Turn, rank: Rank) -> None:
        self._turn = turn
        self._rank = rank

    async def __aenter__(self) -> None:
        if self._rank is Rank.URGENT:
            self._turn.interrupt()
        await self._turn.wait(self._rank)

    async def __aexit__(self, *_: object) -> None:
        self._turn.pass_on()

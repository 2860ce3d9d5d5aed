"""Work done by a bounded number of workers that live on; no task is made per piece of work."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Lane(Generic[Work]):
    """A queue with its workers. They are hired when needed, up to `limit`, and kept."""

    def __init__(
        self,
        name: str,
        limit: int,
        work: Callable[[Work], Awaitable[None]],
        group: asyncio.TaskGroup,
    ) -> None:
        self._name = name
        self._limit = limit
        self._work = work
        self._group = group
        self._waiting: deque[Work] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._hired = 0
        self._progress = asyncio.Event()

    def __len__(self) -> int:
        """Pieces of work that wait for a worker."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Workers at work."""
        return self._hired - len(self._idle)

    def put(self, piece: Work) -> None:
        """Queue a piece of work."""
        self._waiting.append(piece)
        while self._idle:
            worker = self._idle.pop()
            if not worker.done():
                worker.set_result(None)
                return
        if self._hired < self._limit:
            self._hired += 1
            self._group.create_task(self._serve(), name=f"{self._name}-{self._hired}")

    def dismiss(self) -> None:
        """Send the idle workers home; the lane is not used again."""
        for worker in self._idle:
            worker.cancel()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, looked at whenever a piece of work is done."""
        while not condition():
            self._progress.clear()
            await self._progress.wait()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while self._waiting:
                await self._work(self._waiting.popleft())
                self._progress.set()
            called: asyncio.Future[None] = loop.create_future()
            self._idle.append(called)
            self._progress.set()
            try:
                await called
            except asyncio.CancelledError:
                if called.cancelled() and not _being_cancelled():
                    return
                raise


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""Puts on disk together what many callers bring at once, commit by commit, and gives up in time."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Self, TypeVar

from agent.store.memories import StoreError

log = logging.getLogger("stoker.store")

PATIENCE_S = 5.0
"""So long a commit may take. A disk that hangs must not leave a sender without an answer."""


class Batch:
    """What goes to disk in one commit. Subclasses hold it; whoever waits for it waits here."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []
        self._lock = threading.Lock()
        self._committed = False
        self._given_up = False

    def hand_on(self, following: Self) -> None:
        """Give what may wait to the next batch: this one is not on disk."""

    @property
    def given_up(self) -> bool:
        """True where those who waited have been told that it failed."""
        return self._given_up

    def committed(self) -> bool:
        """It is on disk, says the thread; False where that came too late."""
        with self._lock:
            self._committed = not self._given_up
            return self._committed

    def give_up(self) -> bool:
        """Wait for it no longer; False where it is on disk already."""
        with self._lock:
            self._given_up = not self._committed
            return self._given_up

    def tell(self, error: StoreError | None) -> None:
        """Let those who waited go on."""
        for each in self.waiting:
            if each.done():
                continue
            if error is None:
                each.set_result(None)
            else:
                each.set_exception(StoreError(*error.args))


B = TypeVar("B", bound=Batch)


class Commits(Generic[B]):
    """One commit after the other; what comes while one is under way shares the next."""

    def __init__(
        self, thread: ThreadPoolExecutor, empty: Callable[[], B], write: Callable[[B], None]
    ) -> None:
        """`write` is called in the thread; it asks a batch whether it was `given_up` before it
        writes, and says when it is `committed`.
        """  # noqa: D205
        self._thread = thread
        self._empty = empty
        self._write = write
        self._writer: asyncio.Task[None] | None = None
        self._stuck: asyncio.Future[None] | None = None
        """A commit that was given up and hangs in the thread."""
        self.gathering = empty()
        self.count = 0
        """Commits so far."""

    @property
    def under_way(self) -> bool:
        """True while a commit is."""
        return self._writer is not None and not self._writer.done()

    async def share(self) -> None:
        """Wait until what has gathered is on disk; raises `StoreError` where it is not."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gathering.waiting.append(mine)
        if not self.under_way:
            self._writer = asyncio.create_task(self._write_all(), name="commits")
        await mine

    async def _write_all(self) -> None:
        while self.gathering.waiting:
            batch, self.gathering = self.gathering, self._empty()
            error = await self._commit(batch)
            if error is not None:
                batch.hand_on(self.gathering)
            batch.tell(error)

    async def _commit(self, batch: B) -> StoreError | None:
        if self._stuck is not None and not self._stuck.done():
            return StoreError("the disk hangs")
        try:
            work = asyncio.get_running_loop().run_in_executor(self._thread, self._write, batch)
        except RuntimeError:  # the thread was told to end
            return StoreError("closed")
        await asyncio.wait([work], timeout=PATIENCE_S)
        if not work.done() and batch.give_up():
            self._stuck = work
            work.add_done_callback(_heard)
            return StoreError(f"not on disk within {PATIENCE_S:g} s")
        try:
            await work
        except (sqlite3.Error, OSError) as error:
            return StoreError(str(error))
        except Exception:  # whoever waits must hear of it
            log.exception("a commit failed unexpectedly")
            return StoreError("internal error, see the log")
        self.count += 1
        return None


def _heard(work: asyncio.Future[None]) -> None:
    """Nobody waits for it any longer: it was told as an error when it was given up."""
    if not work.cancelled():
        work.exception()

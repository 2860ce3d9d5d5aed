"""The journal of commands: what was accepted, to whom it was about to be sent, what came of it.

An SQLite file of its own, spoken to from one thread of its own, in WAL mode with synchronous=FULL:
what a call has returned from is there after a power cut. A command that could not be written down
is not run, so that nothing is run of which nobody would know.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from agent.store import journal_tables as tables
from agent.store.commits import Batch, Commits
from agent.store.journal_tables import Entry
from agent.store.memories import StoreError
from agent.store.sqlite_file import connect, connect_without_writing
from agent.store.trouble import Trouble
from drivers.api import Clock

__all__ = ["Entry", "Journal", "StoreError"]

log = logging.getLogger("stoker.journal")

T = TypeVar("T")

FLUSH_S = 0.5
PRUNE_S = 600.0
SLICE = 20
"""Commands that are dropped at once, of up to half a megabyte each: marks wait meanwhile."""
PATIENCE_S = 10.0
"""So long a question may take."""


class _Notes(Batch):
    """What goes to disk together."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        self.targets: dict[str, tuple[str, ...]] = {}
        self.marks: dict[str, dict[str, float]] = {}
        self.results: dict[str, dict[str, bytes]] = {}

    def hand_on(self, following: _Notes) -> None:
        """Results wait for a better time; of the rest it was told that it failed."""
        for command_id, results in self.results.items():
            newer = following.results.get(command_id, {})
            following.results[command_id] = {**results, **newer}


class Journal:
    """The open journal. Use as `async with Journal(path, clock) as journal`."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._connection: sqlite3.Connection
        self._commits = Commits(self._thread, _Notes, self._write)
        self._unwanted: set[str] = set()
        """Commands that came to disk after their sender had been told that they had not."""
        self._trouble = Trouble(
            log,
            "the journal of commands cannot be written",
            "the journal of commands is written again",
        )
        self.born_at = 0.0
        """When this journal began, in seconds since the epoch: of what was issued before that
        nobody knows whether it was run."""

    async def __aenter__(self) -> Journal:
        try:
            await self._ask(self._open)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.flush()
        finally:
            await self._end()

    async def _end(self) -> None:
        try:
            await self._ask(self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def run(self) -> None:
        """Write the results that gather, and drop what is old, until cancelled."""
        prune_at = self._clock.monotonic()
        while True:
            try:
                await self.flush()
                if self._clock.monotonic() >= prune_at:
                    await self.prune(self._clock.now())
                    prune_at = self._clock.monotonic() + PRUNE_S
            except StoreError as error:
                self._trouble.met(error)
            else:
                self._trouble.over()
            await asyncio.sleep(FLUSH_S)

    @property
    def commits(self) -> int:
        """How often it was written so far."""
        return self._commits.count

    # --- commands ---------------------------------------------------------------------------

    async def put(
        self, entries: Sequence[Entry], targets: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Write entries, with the devices that new ones are for; all on disk when this returns.

        Results that were noted before are on disk as well. Raises `StoreError` within seconds
        where the disk takes nothing: a new entry is then not in the journal, and will not be.
        """
        gathering = self._commits.gathering
        gathering.entries += entries
        for command_id, devices in (targets or {}).items():
            gathering.targets[command_id] = tuple(devices)
        await self._share()

    async def entries(self) -> list[Entry]:
        """Every entry, in the order of acceptance; token and record only of those that are not
        final, or not told.
        """  # noqa: D205
        return await self._ask(lambda: tables.entries(self._connection))

    async def find(self, command_id: str) -> Entry | None:
        """One entry, whole."""
        return await self._ask(lambda: tables.find(self._connection, command_id))

    async def targets(self, command_id: str) -> tuple[str, ...]:
        """The devices that a command is for, as they were fixed when it was accepted."""
        return await self._ask(lambda: tables.targets(self._connection, command_id))

    async def prune(self, now: float) -> None:
        """Drop the final entries whose time to be kept is over, a few at a time."""
        while await self._ask(lambda: tables.prune(self._connection, now, SLICE)):
            pass

    # --- devices ----------------------------------------------------------------------------

    async def mark(self, command_id: str, device_id: str) -> None:
        """Note that a command is about to be sent to a device; on disk when this returns.

        Any number of callers share a commit. Raises `StoreError` as `put` does: then it must not
        be sent. Marks go when the command is final.
        """
        marks = self._commits.gathering.marks.setdefault(command_id, {})
        marks[device_id] = self._clock.now()
        await self._share()

    async def marks(self, command_id: str) -> dict[str, float]:
        """The devices that an unfinished command may have been sent to, and since when."""
        return await self._ask(lambda: tables.marks(self._connection, command_id))

    def note_result(self, command_id: str, device_id: str, record: bytes) -> None:
        """Note how a command ended on a device; written with the next commit, or flush."""
        self._commits.gathering.results.setdefault(command_id, {})[device_id] = record

    async def flush(self) -> None:
        """Write what was noted; raises `StoreError` where that cannot be, and keeps it."""
        if self._commits.gathering.results or self._commits.under_way:
            await self._share()

    async def results(self, command_id: str) -> list[bytes]:
        """How a command ended on each device so far; of one device the last that was noted."""
        found = await self._ask(lambda: tables.results(self._connection, command_id))
        found.update(self._commits.gathering.results.get(command_id, {}))
        return list(found.values())

    # --- the thread -------------------------------------------------------------------------

    async def _share(self) -> None:
        try:
            await self._commits.share()
        except StoreError as error:
            raise StoreError(f"{self._path}: {error}") from None

    async def _ask(self, work: Callable[[], T]) -> T:
        asked = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asked
        except TimeoutError:
            raise StoreError(f"{self._path}: no answer within {PATIENCE_S:g} s") from None
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _write(self, notes: _Notes) -> None:
        if notes.given_up:
            return
        with self._connection:
            tables.drop(self._connection, self._unwanted)
            new = tables.put(self._connection, notes.entries, notes.targets)
            tables.add(self._connection, "mark", notes.marks)
            tables.add(self._connection, "result", notes.results)
            tables.forget_marks(self._connection, notes.entries)
        self._unwanted.clear()
        if not notes.committed():
            self._unwanted.update(new)
            self._drop_unwanted()

    def _drop_unwanted(self) -> None:
        with self._connection:
            tables.drop(self._connection, self._unwanted)
        self._unwanted.clear()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not self._path.exists():
            self._path.touch(0o600)  # commands hold the passwords of pools
        try:
            self._connection = connect(self._path)
            tables.begin(self._connection, self._clock.now())
        except sqlite3.OperationalError as error:
            self._close()
            self._connection = connect_without_writing(self._path, error, tables.check)
            log.error("%s cannot be written: %s", self._path, error)
        self.born_at = tables.born_at(self._connection)

    def _close(self) -> None:
        if hasattr(self, "_connection"):
            self._connection.close()

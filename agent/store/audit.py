"""The audit of this node: what was decided and done, in files that are only ever added to.

Each record is chained to all before it by a hash (`audit_chain`), so that what is changed later is
found (`audit_verify`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.store.audit_chain import Entry, Head
from agent.store.audit_files import FILE_BYTES, AuditFiles, InUse
from agent.store.memories import StoreError
from agent.store.trouble import Trouble
from drivers.api import Clock

log = logging.getLogger("stoker.store")

T = TypeVar("T")

WRITE_S = 1.0
WAITING_RECORDS = 100_000
WAITING_BYTES = 64 * 1024 * 1024
"""What is kept in memory while the disk takes nothing."""
CONTENT_BYTES = 4 * 1024 * 1024
"""Of what is larger only the size and the hash are written."""
PATIENCE_S = 5.0
"""So long a write may take: whoever waits for it must not hang with the disk."""
US = "stoker"


class Lost(msgspec.Struct, frozen=True):
    """Records that found no room in memory while the disk took nothing."""

    records: int
    first_at: str
    last_at: str


class AuditLog:
    """The audit, open for adding to. Use as `async with AuditLog(directory, clock) as audit`."""

    def __init__(self, directory: Path, clock: Clock, *, file_bytes: int = FILE_BYTES) -> None:
        self._directory = directory
        self._clock = clock
        self._files = AuditFiles(directory, file_bytes)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._own: list[Entry] = []
        """What the audit says of itself, before all that waits."""
        self._waiting: deque[Entry] = deque()
        self._waiting_bytes = 0
        self._lost: Lost | None = None
        self._writing: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        """The write that takes what comes while another is under way."""
        self._trouble = Trouble(
            log,
            "the audit is not written, will be tried again",
            "the audit is written again",
        )

    async def __aenter__(self) -> AuditLog:
        try:
            await self._open()
        except InUse:
            await self._end()
            raise
        except StoreError as error:
            self._trouble.met(error)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.write()
        except StoreError as error:
            log.error("the end of the audit is lost: %s", error)
        await self._end()

    async def _end(self) -> None:
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._run(self._files.close)
        self._thread.shutdown(wait=False)

    @property
    def head(self) -> Head:
        """The last record that is on disk."""
        return self._files.head

    def note(self, who: str, what: str, content: Mapping[str, Any] | msgspec.Struct) -> None:
        """Add a record with the next write: who did it (`local:ana`, `key:ops-1`), what, and how.

        The order of calls is the order of records. No password may be in the content.
        """
        self._waiting.append(entry := self._entry(who, what, content))
        self._waiting_bytes += len(entry.content)
        self._make_room()

    def _entry(self, who: str, what: str, content: Mapping[str, Any] | msgspec.Struct) -> Entry:
        data = msgspec.json.encode(content)
        if len(data) > CONTENT_BYTES:
            omitted = {"omitted_bytes": len(data), "sha256": sha256(data).hexdigest()}
            data = msgspec.json.encode(omitted)
        at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds")
        return Entry(at.replace("+00:00", "Z"), who, what, data)

    async def run(self) -> None:
        """Write what gathers, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_S)
            with suppress(StoreError):  # it was said, and is tried again
                await self.write()

    async def write(self) -> None:
        """Put all that was noted so far on disk; raises `StoreError` where it cannot be, keeps it.

        What is noted while a write is under way is written together by the next one.
        """
        if self._own or self._lost or self._waiting:
            if self._following is None:
                self._following = asyncio.create_task(self._write_after(self._writing))
                self._following.add_done_callback(_heard)
            await self._patiently(self._following)
        elif self._writing is not None:
            await self._patiently(self._writing)

    async def _patiently(self, writing: asyncio.Task[None]) -> None:
        """Wait for a write, which goes on also where nobody waits any longer."""
        done, _ = await asyncio.wait([writing], timeout=PATIENCE_S)
        if not done:
            error = StoreError(f"{self._directory}: not on disk within {PATIENCE_S:g} s")
            self._trouble.met(error)
            raise error
        await writing

    # --- what waits ------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Lose what has waited longest, and count it."""
        while len(self._waiting) > WAITING_RECORDS or self._waiting_bytes > WAITING_BYTES:
            oldest = self._waiting.popleft()
            self._waiting_bytes -= len(oldest.content)
            self._lost = _sum(self._lost, Lost(1, oldest.at, oldest.at))

    async def _write_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._writing, self._following = self._following, None
        try:
            await self._open()
            await self._append(self._own)
            await self._write_lost()
            await self._write_waiting()
        except StoreError as error:
            self._trouble.met(error)
            raise
        self._trouble.over()

    async def _open(self) -> None:
        if self._files.is_open:
            return
        if (remnant := await self._run(self._files.open)) is not None:
            log.warning("the end of %s was torn, %d bytes", remnant.file, remnant.bytes)
            self._own.append(self._entry(US, "audit.torn", remnant))

    async def _write_lost(self) -> None:
        lost, self._lost = self._lost, None
        if lost is None:
            return
        try:
            await self._append([self._entry(US, "audit.lost", lost)])
        except BaseException:
            self._lost = _sum(lost, self._lost)
            raise

    async def _write_waiting(self) -> None:
        batch = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        try:
            await self._append(batch)
        except BaseException:
            self._waiting.extendleft(reversed(batch))
            self._waiting_bytes += sum(len(entry.content) for entry in batch)
            self._make_room()
            raise

    async def _append(self, entries: list[Entry]) -> None:
        """Write entries, and take out of the list what is on disk."""
        while entries:
            del entries[: await self._run(lambda: self._files.append(entries))]

    # --- the disk --------------------------------------------------------------------------

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise StoreError(f"{self._directory}: {error}") from error


def _sum(earlier: Lost | None, later: Lost | None) -> Lost | None:
    if earlier is None or later is None:
        return earlier or later
    return Lost(earlier.records + later.records, earlier.first_at, later.last_at)


def _heard(task: asyncio.Task[None]) -> None:
    """Whoever waited may have gone: an error nobody asks for is none to be logged."""
    if not task.cancelled():
        task.exception()

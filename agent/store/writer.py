"""Gets what waits onto the disk, in one thread, within the bound; goes on when the disk fails.

What has gathered while a batch was being written makes the next one, so that however many frames
come, there is one sync after the other and each frame waits for two at most.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from agent.store.disk import Disk, Job, Remove, Write
from agent.store.ledger import Reason, SpoolEvents
from agent.store.notes import Notes
from agent.store.segment import Record, pack_head
from agent.store.shelf import EVENT, Segment, Shelf
from drivers.api import Clock

log = logging.getLogger("stoker.store")

BATCH_BYTES = 4 * 1024 * 1024


class Writer:
    """The one that writes. All its state belongs to the event loop."""

    def __init__(
        self,
        disk: Disk,
        shelf: Shelf,
        clock: Clock,
        events: SpoolEvents,
        *,
        limit_bytes: int,
        memory_bytes: int,
        retry_s: float,
    ) -> None:
        self._disk = disk
        self._shelf = shelf
        self._events = events
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._memory_bytes = memory_bytes
        self._retry_s = retry_s
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self.trouble: str | None = None
        self._trouble_since = 0.0
        self._reserved_bytes = 0
        self._writing_bytes = 0
        """What the batch that is under way adds to the files."""
        self.written_bytes = 0
        self.waiting_bytes = 0
        self._unfinished: dict[str, Segment] = {}
        """Segments with frames that wait, or that are closed and not sealed."""
        self._notes = Notes(self.wake)
        self._removals: list[Remove] = []
        self._busy = False
        self._woken = False
        self._retry_timer: asyncio.TimerHandle | None = None
        self._rest = asyncio.Event()
        """Set while there is nothing to do, or nothing can be done."""

    @property
    def used_bytes(self) -> int:
        """Bytes of all files, when what is queued has been done."""
        return sum(segment.disk_bytes for segment in self._shelf) + self._reserved_bytes

    def has_room(self, size: int) -> bool:
        """True where so much more stays within the bound, also before what is to go has gone."""
        going_bytes = sum(removal.size for removal in self._removals)
        coming_bytes = self._writing_bytes + size
        return self.used_bytes + going_bytes + coming_bytes <= self._limit_bytes

    def reserve(self, size: int) -> None:
        """Keep room for a segment that is made to replace another."""
        self._reserved_bytes += size

    def release(self, size: int) -> None:
        """The segment that room was kept for is there, or will not be."""
        self._reserved_bytes -= size
        self.wake()

    # --- what there is to do -----------------------------------------------------------

    def put(self, segment: Segment, record: Record) -> None:
        """Have a frame written."""
        segment.add(record)
        self.waiting_bytes += record.size
        self._unfinished[segment.id] = segment
        if self.waiting_bytes > self._memory_bytes:
            self._relieve()
        self.wake()

    def close(self, segment: Segment) -> None:
        """Have a segment take no more frames; one that is settled goes at once."""
        segment.closed = True
        if segment.done:
            self.drop(segment)
        elif not segment.sealed:
            self._unfinished[segment.id] = segment
            self.wake()

    def settled(self, segment: Segment) -> None:
        """A frame of a segment was settled."""
        if segment.done and segment.closed and not segment.held:
            self.drop(segment)
            return
        self._notes.add(segment)

    def drop(self, segment: Segment) -> None:
        """Have a segment deleted, with all that is in it."""
        self._shelf.take(segment)
        segment.closed = True
        self._unfinished.pop(segment.id, None)
        self._notes.discard(segment)
        self.waiting_bytes -= segment.waiting_bytes
        self._removals.append(Remove(segment.id, segment.disk_bytes))
        self.wake()

    def give_up(self, segment: Segment, reason: Reason) -> None:
        """Delete a segment and count what had not been settled."""
        if (loss := segment.loss(reason)) is not None:
            self._events.on_lost(loss)
        self.drop(segment)

    def _relieve(self) -> None:
        """Lose what has waited longest: a chain to its end, since the rest would be unreadable."""
        while self.waiting_bytes > self._memory_bytes:
            waiting = (each for each in self._shelf if each.waiting)
            self._forget(min(waiting, key=lambda each: (each.head.stream == EVENT, each.order)))

    def _forget(self, segment: Segment) -> None:
        if (loss := segment.loss(Reason.DISK, segment.written)) is not None:
            self._events.on_lost(loss)
        self.waiting_bytes -= segment.waiting_bytes
        segment.forget_waiting()
        self.close(segment)

    # --- batches -----------------------------------------------------------------------

    def wake(self) -> None:
        """See to it that a batch is begun soon, unless one is under way."""
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._woken = False
        if self._busy or self._retry_timer is not None:
            return
        jobs = self._jobs()
        if not jobs:
            if not self._reserved_bytes:  # else there may be something to do in a moment
                self._rest.set()
            return
        self._busy = True
        self._writing_bytes = _size([job for job in jobs if isinstance(job, Write)])
        self._rest.clear()
        work = asyncio.get_running_loop().run_in_executor(self.thread, self._disk.perform, jobs)
        work.add_done_callback(lambda ended: self._ended(jobs, ended))

    def _jobs(self) -> list[Job]:
        """A batch: deletions first, so that there is room for what comes after."""
        writes = self._fitting()
        removals, self._removals = self._removals, []
        room_bytes = self._limit_bytes - self.used_bytes - _size(writes)
        return [*removals, *writes, *self._notes.take(room_bytes)]

    def _fitting(self) -> list[Write]:
        """What can be written within the bound, when what has to go for it is gone."""
        writes, used_bytes = self._writes(), self.used_bytes
        if used_bytes + _size(writes) <= self._limit_bytes:
            return writes
        for victim in self._shelf.by_worth():
            used_bytes -= victim.disk_bytes
            self.give_up(victim, Reason.OVER_BOUND)
            writes = self._writes()
            if used_bytes + _size(writes) <= self._limit_bytes:
                return writes
        return []

    def _writes(self) -> list[Write]:
        room_bytes = BATCH_BYTES
        writes = []
        for segment in self._unfinished.values():
            if segment.held:
                continue
            if room_bytes <= 0:
                break
            write = _write(segment, room_bytes)
            room_bytes -= write.size
            writes.append(write)
        return writes

    def _ended(self, jobs: list[Job], ended: asyncio.Future[tuple[int, Exception | None]]) -> None:
        self._busy = False
        self._writing_bytes = 0
        done, error = ended.result()
        for job in jobs[:done]:
            if isinstance(job, Write):
                self._wrote(job)
        if error is None and any(isinstance(job, Write) for job in jobs):
            self._well()
        if error is not None:
            self._removals[:0] = [job for job in jobs[done:] if isinstance(job, Remove)]
            self.failed(error)
        self.wake()

    def _wrote(self, job: Write) -> None:
        self.written_bytes += job.size
        segment = self._shelf.get(job.segment_id)
        if segment is None:
            return
        before = segment.waiting_bytes
        if job.tail:
            segment.sealed = True
            segment.file_bytes += len(job.tail)
        else:
            segment.wrote(job.records, job.offset + len(job.head))
        self.waiting_bytes -= before - segment.waiting_bytes
        if not segment.waiting and (segment.sealed or not segment.closed):
            self._unfinished.pop(segment.id, None)

    # --- a disk that fails -------------------------------------------------------------

    def failed(self, error: Exception) -> None:
        """Nothing can be written now: it is tried again, and chains begin anew meanwhile."""
        self._retry_timer = asyncio.get_running_loop().call_later(self._retry_s, self._retry)
        self._rest.set()
        if self.trouble is not None:
            return
        self.trouble = str(error) or type(error).__name__
        self._trouble_since = self._clock.monotonic()
        for segment in list(self._shelf):
            if not segment.closed:
                self.close(segment)
        log.error("nothing can be written to the spool, what comes waits in memory: %s", error)
        self._events.on_trouble(self.trouble)

    def _retry(self) -> None:
        self._retry_timer = None
        self.wake()

    def _well(self) -> None:
        if self.trouble is None:
            return
        self.trouble = None
        lasted_s = self._clock.monotonic() - self._trouble_since
        log.warning("the spool is written again, after %.0f s", lasted_s)
        self._events.on_recovered()

    async def flush(self) -> None:
        """Wait until all there is to do is done, or cannot be."""
        if self._retry_timer is None:
            self._rest.clear()
            self.wake()
        await self._rest.wait()

    # --- the end -----------------------------------------------------------------------

    async def finish(self, within_s: float) -> None:
        """Write all that waits and close every segment; what cannot be written in time is lost."""
        for segment in list(self._shelf):
            if not segment.closed:
                self.close(segment)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._write_all()
        for segment in list(self._shelf):
            if segment.waiting and (loss := segment.loss(Reason.DISK, segment.written)) is not None:
                self._events.on_lost(loss)
        self._notes.stop()
        if self._retry_timer is not None:
            self._retry_timer.cancel()

    async def _write_all(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry()
        await self.flush()
        self._notes.hurry()
        await self.flush()


def _size(writes: list[Write]) -> int:
    return sum(write.size for write in writes)


def _write(segment: Segment, room_bytes: int) -> Write:
    """What a segment needs next: its frames; its contents where it has them all."""
    records: list[Record] = segment.in_memory(segment.written, room_bytes)
    head = b"" if segment.file_bytes else pack_head(segment.head)
    tail = b"" if records else segment.contents.pack()
    return Write(segment.id, segment.file_bytes, head, records, tail)

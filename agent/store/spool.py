"""Frames on disk until they are settled: appended to segments, read back, deleted within a bound.

What a frame holds is nobody's business here. A segment is a chain: it is read from its first frame
on, and lost from its end. Whatever is lost is told, with numbers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from agent.errors import AgentError
from agent.store.contents import Contents
from agent.store.disk import Disk
from agent.store.ledger import NOBODY, Ended, Loss, Losses, Reason, Settled, SpoolEvents
from agent.store.recovery import Recovered, recover
from agent.store.segment import (
    MAX_FRAME_BYTES,
    Head,
    Place,
    Record,
    SegmentHead,
    Tier,
    record_of,
)
from agent.store.shelf import THIN_FROM, Segment, SegmentInfo, Shelf
from agent.store.stats import SpoolStats, stats_of
from agent.store.swap import Swap
from agent.store.writer import Writer
from drivers.api import Clock

__all__ = [
    "Ended",
    "Head",
    "Loss",
    "Place",
    "Reason",
    "Record",
    "SegmentInfo",
    "Spool",
    "SpoolError",
    "SpoolEvents",
    "SpoolStats",
    "Tier",
]

log = logging.getLogger("stoker.store")

SEGMENT_BYTES = 16 * 1024 * 1024
MEMORY_BYTES = 32 * 1024 * 1024
RETRY_S = 5.0
STOP_S = 2.0
PARTS_OF_BOUND = 16
"""A segment has at most this part of the bound: what is given up is not a whole day."""
PARTS_OF_MEMORY = 8
"""The same of the memory while nothing can be written, since a chain is lost whole."""


class SpoolError(AgentError):
    """The spool cannot be read at the moment."""


class Spool:
    """The spool. Use as `async with Spool(directory, ...) as spool`."""

    def __init__(
        self,
        directory: Path,
        *,
        limit_bytes: int,
        boot_id: str,
        epoch: int,
        clock: Clock,
        events: SpoolEvents = NOBODY,
        memory_bytes: int = MEMORY_BYTES,
        retry_s: float = RETRY_S,
    ) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._boot_id = boot_id
        self._segment_bytes = min(SEGMENT_BYTES, limit_bytes // PARTS_OF_BOUND)
        self._memory_bytes = memory_bytes
        self._on_lost = events.on_lost
        self._shelf = Shelf()
        self._losses = Losses()
        self._telling = False
        self._open: dict[str, Segment] = {}
        self._disk = Disk(directory)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="spool-read")
        self._writer = Writer(
            self._disk,
            self._shelf,
            clock,
            msgspec.structs.replace(events, on_lost=self._lose),
            limit_bytes=limit_bytes,
            memory_bytes=memory_bytes,
            retry_s=retry_s,
        )
        self._swap = Swap(self._disk, self._shelf, self._writer)
        self.epoch = epoch
        """That of this run; higher than was asked for where the disk knows a later one."""
        self.recovered: list[Ended] = []
        """How far the runs before this one had got, by what was found of them."""

    async def __aenter__(self) -> Spool:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._writer.thread, recover, self._directory)
        except OSError as error:
            # The agent measures and sends without a disk; what lies there waits for the next start.
            self._writer.failed(error)
            return self
        self._take_up(found)
        return self

    def _take_up(self, found: Recovered) -> None:
        self.recovered = found.ended
        self.epoch = max(self.epoch, found.epoch + 1)
        for loss in found.losses:
            self._lose(loss)
        for segment in found.segments:
            self._shelf.put(segment)
            self._writer.close(segment)
        self._writer.wake()

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._writer.finish(STOP_S)
        finally:
            self._tell()
            self._writer.thread.submit(self._disk.close)
            self._writer.thread.shutdown(wait=False)
            self._reader.shutdown(wait=False, cancel_futures=True)

    # --- appending ---------------------------------------------------------------------

    def append(self, stream: str, head: Head, payload: bytes) -> Place:
        """Keep a frame; it is on disk within a second. Numbers rise within a stream.

        Never waits, and no disk makes it fail: what cannot be kept is told as lost.

        Raises:
            ValueError: numbers that no frame can have.
        """
        if not (0 < head.seq <= head.last_seq < 1 << 63 and 0 <= head.count < 1 << 32):
            raise ValueError(f"{stream}: {head}")
        if len(payload) > MAX_FRAME_BYTES:
            span = (head.seq, head.last_seq, head.count, head.first_at, head.last_at)
            self._lose(Loss(stream, self._boot_id, *span, Reason.OVER_BOUND))
            return Place("", 0)
        segment = None if self.wants_roll(stream) else self._open[stream]
        if segment is None:
            self.roll(stream)
            segment = self._begin(stream, head.seq)
        place = Place(segment.id, segment.frames)
        self._writer.put(segment, record_of(place.index, head, payload))
        return place

    def _begin(self, stream: str, seq: int) -> Segment:
        head = SegmentHead(stream, Tier.RAW, self._boot_id, self.epoch, seq)
        segment = self._open[stream] = Segment(head, Contents(), Settled())
        self._shelf.put(segment)
        return segment

    def roll(self, stream: str) -> None:
        """Close the segment of a stream: the next frame begins a chain."""
        segment = self._open.pop(stream, None)
        if segment is not None and not segment.closed:
            self._writer.close(segment)

    def wants_roll(self, stream: str) -> bool:
        """True where the next frame will begin a segment, and so has to begin a chain."""
        segment = self._open.get(stream)
        if segment is None or segment.closed:
            return True
        most_bytes = self._segment_bytes
        if self._writer.trouble is not None:
            most_bytes = min(most_bytes, self._memory_bytes // PARTS_OF_MEMORY)
        return segment.file_bytes + segment.waiting_bytes >= most_bytes

    async def flush(self) -> None:
        """Wait until all that was appended is on disk, or cannot be written now."""
        await self._writer.flush()

    # --- reading back ------------------------------------------------------------------

    def segments(self, stream: str) -> list[SegmentInfo]:
        """The segments of a stream, oldest first, over all tiers."""
        return [segment.info() for segment in self._shelf.of(stream)]

    def unsettled(self, segment_id: str, start: int = 0) -> list[int]:
        """The frames of a segment, from one on, that are not settled."""
        segment = self._shelf.get(segment_id)
        return [] if segment is None else list(segment.settled.open(start, segment.frames))

    async def read(self, segment_id: str, index: int, limit_bytes: int) -> list[Record]:
        """Frames of a segment in order, from an index on; one at least, where one is left.

        Damaged frames are left out, counted and told, so the next index to read is that behind the
        last record. Also frames that wait for the disk can be read.

        Raises:
            SpoolError: the disk cannot be read now.
        """
        records: list[Record] = []
        while not records and (segment := self._shelf.get(segment_id)) is not None:
            spans = segment.spans(index, limit_bytes)
            if not spans:
                return segment.in_memory(index, limit_bytes)
            index = spans[-1][0] + 1
            room_bytes = limit_bytes - sum(size for _, _, size in spans)
            goes_on = index == segment.written and room_bytes > 0
            more = segment.in_memory(index, room_bytes) if goes_on else []
            records = await self._from_disk(segment, spans) + more
        return records

    async def _from_disk(self, segment: Segment, spans: list[tuple[int, int, int]]) -> list[Record]:
        loop = asyncio.get_running_loop()
        try:
            read = await loop.run_in_executor(self._reader, self._disk.read, segment.id, spans)
        except FileNotFoundError as error:
            if segment.held:
                raise SpoolError(f"{segment.id} is just being replaced") from error
            if self._shelf.get(segment.id) is segment:  # somebody else deleted it
                self._writer.give_up(segment, Reason.DAMAGED)
            return []
        except OSError as error:
            raise SpoolError(f"{self._disk.path(segment.id)}: {error}") from error
        for (index, _, _), record in zip(spans, read, strict=True):
            if record is None and (loss := segment.loss(Reason.DAMAGED, index, index + 1)):
                self._lose(loss)
                self.settle(segment.id, index)
        return [record for record in read if record is not None]

    def settle(self, segment_id: str, index: int) -> None:
        """A frame need not be kept any longer. A closed segment goes with its last one."""
        segment = self._shelf.get(segment_id)
        if segment is not None and segment.settle(index):
            self._writer.settled(segment)

    # --- thinning ----------------------------------------------------------------------

    def next_to_thin(self) -> SegmentInfo | None:
        """The segment that is to be thinned next; None while there is room enough."""
        if self._writer.used_bytes < THIN_FROM * self._limit_bytes:
            return None
        segment = self._shelf.to_thin(self._limit_bytes)
        return None if segment is None else segment.info()

    async def replace(
        self, segment_id: str, tier: Tier, frames: Sequence[tuple[Head, bytes]]
    ) -> bool:
        """Put what is left of a thinned segment in its place, under a later tier.

        After a crash at any moment either the old or the new one is there. False where it cannot be
        done: the segment has gone meanwhile, or there is neither room nor a disk for the new one.
        """
        return await self._swap.replace(segment_id, tier, frames)

    # --- what is told ------------------------------------------------------------------

    def stats(self) -> SpoolStats:
        """What is in the spool now."""
        return stats_of(self._shelf, self._writer, self._losses)

    def _lose(self, loss: Loss) -> None:
        self._losses.add(loss)
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        for loss in self._losses.take():
            self._on_lost(loss)

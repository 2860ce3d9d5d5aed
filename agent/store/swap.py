"""Puts what is left of a thinned segment in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from agent.store.contents import Contents
from agent.store.disk import Disk, whole_bytes
from agent.store.ledger import Settled
from agent.store.segment import Head, Record, SegmentHead, Tier, record_of
from agent.store.shelf import GIVEN_UP, Segment, Shelf
from agent.store.writer import Writer

log = logging.getLogger("stoker.store")


class Swap:
    """Replaces segments, one at a time or several."""

    def __init__(self, disk: Disk, shelf: Shelf, writer: Writer) -> None:
        self._disk = disk
        self._shelf = shelf
        self._writer = writer

    async def replace(
        self, segment_id: str, tier: Tier, frames: Sequence[tuple[Head, bytes]]
    ) -> bool:
        """See `Spool.replace`."""
        old = self._shelf.get(segment_id)
        if old is None or not old.sealed or old.held:
            return False
        if GIVEN_UP.index(tier) >= GIVEN_UP.index(old.head.tier):
            raise ValueError(f"{segment_id} cannot become {tier}")
        if not frames:
            self._writer.drop(old)
            return True
        records = [record_of(index, *frame) for index, frame in enumerate(frames)]
        new = msgspec.structs.replace(old.head, tier=tier)
        return await self._replace(old, new, records)

    async def _replace(self, old: Segment, head: SegmentHead, records: list[Record]) -> bool:
        room_bytes = whole_bytes(head, records)
        if not self._writer.has_room(room_bytes):
            return False
        old.held = True
        self._writer.reserve(room_bytes)
        loop = asyncio.get_running_loop()
        replaced: asyncio.Future[bool] = loop.create_future()

        def ended(work: asyncio.Future[Contents]) -> None:  # also where nobody waits any more
            done = self._ended(old, head, room_bytes, work)
            if not replaced.done():
                replaced.set_result(done)

        work = loop.run_in_executor(self._writer.thread, self._disk.replace, old.id, head, records)
        work.add_done_callback(ended)
        return await replaced

    def _ended(
        self, old: Segment, head: SegmentHead, size: int, work: asyncio.Future[Contents]
    ) -> bool:
        old.held = False
        self._writer.release(size)
        if (error := work.exception()) is not None:
            log.warning("%s not thinned: %s", old.id, error)
            self._writer.close(old)  # it may have been settled meanwhile
            return False
        new = Segment(head, work.result(), Settled())
        new.closed = new.sealed = True
        new.file_bytes = size
        self._writer.written_bytes += size
        self._writer.drop(old)
        self._shelf.put(new)
        return True

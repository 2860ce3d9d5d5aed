"""Keeps the spool within its bound: where room grows short, older readings grow fewer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.store.ledger import Loss
from agent.store.segment import Head, Record, Tier
from agent.store.shelf import SegmentInfo
from agent.store.spool import Spool, SpoolError
from agent.telemetry.frame_check import BadFrame
from agent.telemetry.thinning import ThinFrame, Thinner

log = logging.getLogger("stoker.thinner")

LOOK_S = 1.0
PIECE_BYTES = 1 << 20
THINNED = "thinned"
NEXT = {Tier.RAW: (Tier.FIVE_MINUTES, 300), Tier.FIVE_MINUTES: (Tier.HOURLY, 3600)}
"""What becomes of each tier, and how many seconds apart readings of a device then are."""


class SpoolThinner:
    """Thins one segment after the other, while the spool asks for it."""

    def __init__(self, spool: Spool, on_lost: Callable[[Loss], None]) -> None:
        self._spool = spool
        self._on_lost = on_lost

    async def run(self) -> None:
        """Thin until cancelled."""
        while True:
            segment = self._spool.next_to_thin()
            if segment is None or not await self._thin_safely(segment):
                await asyncio.sleep(LOOK_S)

    async def _thin_safely(self, segment: SegmentInfo) -> bool:
        try:
            return await self.thin(segment)
        except SpoolError as error:
            log.warning("not thinned: %s", error)
        except Exception:  # what lies on a disk must not end the thinning
            log.exception("%s cannot be thinned", segment.id)
        return False

    async def thin(self, segment: SegmentInfo) -> bool:
        """Put fewer readings in a segment's place, and tell the gap; false where it stays."""
        tier, period_s = NEXT[segment.tier]
        open_frames = set(self._spool.unsettled(segment.id))
        thinner = Thinner(period_s)
        frames: list[ThinFrame] = []
        index = 0
        while records := await self._spool.read(segment.id, index, PIECE_BYTES):
            index = records[-1].index + 1
            frames += await asyncio.to_thread(_fed, thinner, records, open_frames)
        frames += await asyncio.to_thread(thinner.finish)
        kept = [(_head(frame), frame.payload) for frame in frames]
        if not await self._spool.replace(segment.id, tier, kept):
            return False
        if thinner.lost:
            self._on_lost(_gap(segment, thinner))
        return True


def _fed(thinner: Thinner, records: list[Record], open_frames: set[int]) -> list[ThinFrame]:
    frames = []
    for record in records:
        try:
            frames += thinner.feed(record.payload, settled=record.index not in open_frames)
        except BadFrame as error:
            log.warning("a frame of %d readings cannot be read: %s", record.count, error)
            thinner.lose(record.seq, record.last_seq, record.count)
    return frames


def _head(frame: ThinFrame) -> Head:
    return Head(frame.seq, frame.last_seq, frame.count, frame.first_at, frame.last_at)


def _gap(segment: SegmentInfo, thinner: Thinner) -> Loss:
    return Loss(
        stream=segment.stream,
        boot_id=segment.boot_id,
        first_seq=thinner.lost_first_seq or segment.first_seq,
        last_seq=thinner.lost_last_seq or segment.last_seq,
        lost=thinner.lost,
        first_at=segment.first_at,
        last_at=segment.last_at,
        reason=THINNED,
    )

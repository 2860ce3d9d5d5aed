"""Where history stands in the spool: the oldest segment of a stream with something to send."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from agent.store.segment import Record
from agent.store.shelf import SegmentInfo
from agent.telemetry.marks import PlaceKey


class Spool(Protocol):
    """What delivery needs of the spool."""

    def segments(self, stream: str) -> Sequence[SegmentInfo]:
        """The segments of a stream, oldest first."""
        ...

    def unsettled(self, segment_id: str, start: int = 0) -> Sequence[int]:
        """Which frames of a segment, from one on, are still to be kept, in order."""
        ...

    def settle(self, segment_id: str, index: int) -> None:
        """A frame needs to be kept no longer; harmless where it is gone."""
        ...

    async def read(self, segment_id: str, index: int, limit_bytes: int) -> Sequence[Record]:
        """Frames from `index` on, at least one where there is one."""
        ...


class Cursor:
    """Walks along one stream, oldest first, and passes by what is held elsewhere."""

    def __init__(
        self,
        spool: Spool,
        stream: str,
        held: Collection[PlaceKey],
        stored: Callable[[str, str, int], bool],
    ) -> None:
        self.rewinds = 0
        self._spool = spool
        self._stream = stream
        self._held = held
        self._stored = stored
        self._segment: tuple[int, int] = (-1, -1)  # epoch, first number
        self._segment_id = ""
        self._index = 0

    def rewind(self) -> None:
        """Back to the oldest."""
        self.rewinds += 1
        self._segment, self._segment_id, self._index = (-1, -1), "", 0

    def find(self) -> tuple[SegmentInfo, list[int]] | None:
        """The next segment with frames to send, and which; None where there is none."""
        for segment in self._spool.segments(self._stream):
            key = (segment.epoch, segment.first_seq)
            if key < self._segment:
                continue
            wanted = self._wanted(segment)
            if wanted:
                if segment.id != self._segment_id:
                    self._segment, self._segment_id, self._index = key, segment.id, 0
                return segment, wanted
        return None

    def _wanted(self, segment: SegmentInfo) -> list[int]:
        if not segment.unsettled:
            return []
        start = self._index if segment.id == self._segment_id else 0
        unsettled = self._spool.unsettled(segment.id, start)
        if self._stored(self._stream, segment.boot_id, segment.last_seq):
            for index in unsettled:
                self._spool.settle(segment.id, index)
            return []
        held = self._held
        return [index for index in unsettled if (segment.id, index) not in held]

    def advance(self, segment_id: str, index: int) -> None:
        """Everything before `index` was seen; a rewind in between stands."""
        if segment_id == self._segment_id:
            self._index = index

    def skip(self, segment: SegmentInfo) -> None:
        """Nothing can be had of this segment now: the next one."""
        if segment.id == self._segment_id:
            self._segment = (segment.epoch, segment.first_seq + 1)

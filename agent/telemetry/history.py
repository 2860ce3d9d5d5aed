"""What could not go live, read back from the spool a piece at a time, oldest first."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.store.segment import Record
from agent.store.shelf import SegmentInfo
from agent.telemetry.cursor import Cursor, Spool
from agent.telemetry.forms import Message
from agent.telemetry.marks import PlaceKey
from agent.telemetry.parcel import Parcel

log = logging.getLogger("stoker.history")

PIECE_BYTES = 1 << 20
LOW_BYTES = 512 << 10
"""Below this much ready to go, the next piece is read."""
READ_TIMEOUT_S = 30.0
RETRY_S = 1.0
RETRIES = 3
"""Failed reads of one segment before the next one has its turn."""
RESCAN_S = 10.0
"""How long after the end the spool is looked through again."""

Tell = Callable[[Record], Sequence[Message]]
"""Makes the messages of the frames of one chain, in order from its first."""


class Teller(Protocol):
    """How stored frames of a stream become messages of history."""

    @property
    def frame_by_frame(self) -> bool:
        """Whether a frame is told without those before it."""
        ...

    def begin(self) -> Tell:
        """Begin a chain."""
        ...


@dataclass(slots=True)
class _Visit:
    """Where in a segment the telling stands."""

    segment_id: str
    tell: Tell
    index: int = 0
    whole: bool = False
    """Whether everything of it goes, settled or not: who lost part of a chain needs all."""


class History:
    """Reads ahead of the courier while it is switched on; never holds much more than a piece."""

    def __init__(
        self,
        spool: Spool,
        tellers: Mapping[str, Teller],
        held: set[PlaceKey],
        stored: Callable[[str, str, int], bool],
        on_ready: Callable[[], None],
    ) -> None:
        """Streams are read in the order of `tellers`.

        `held` are the frames that are on their way already; those made ready here are added.
        `stored` says whether a consumer has everything of a boot up to a number.
        """
        self.damaged: Callable[[Parcel, int], None] = lambda _parcel, _lost: None
        """Called with a frame of which so many readings cannot be told any more."""
        self._spool = spool
        self._tellers = tellers
        self._held = held
        self._stored = stored
        self._on_ready = on_ready
        self._cursors = {stream: Cursor(spool, stream, held, stored) for stream in tellers}
        self._visits: dict[str, _Visit] = {}
        self._ready: deque[Parcel] = deque()
        self._ready_bytes = 0
        self._on = False
        self._resting: set[str] = set()
        self._passed_by: set[str] = set()
        self._whole = False
        self._at_end = False
        self._failures = 0
        self._restarts = 0
        self._wake = asyncio.Event()

    # What the courier calls.

    @property
    def head(self) -> Parcel | None:
        """The frame whose turn it is, if it is read already."""
        return self._ready[0] if self._ready else None

    def pop(self) -> None:
        """The head is handed over."""
        self._ready_bytes -= self._ready.popleft().size
        if self._ready_bytes < LOW_BYTES:
            self._wake.set()

    def start(self, *, whole: bool = False) -> None:
        """Begin with the oldest frame that is not settled, or with the whole of its chain."""
        self._drop()
        self._resting.clear()
        self._passed_by.clear()
        self._on, self._whole = True, whole
        self.rewind()

    def stop(self) -> None:
        """Read no further, and forget what was read."""
        self._drop()
        self._on = False

    def rewind(self, *, whole: bool = False) -> None:
        """Look again from the oldest frame on: some are not on their way any more."""
        self._whole = self._whole or whole
        if whole:
            self._visits.clear()
        for cursor in self._cursors.values():
            cursor.rewind()
        self._at_end = False
        self._wake.set()

    def start_over(self) -> None:
        """Look again from the oldest frame on, and forget what was read ahead."""
        self._drop()
        self.rewind()

    def rest(self, stream: str) -> None:
        """Send nothing of a stream until it is resumed, or history begins anew."""
        self._resting.add(stream)
        self.start_over()

    def pass_by(self, parcel: Parcel) -> None:
        """Send nothing of a frame's chain until its stream is resumed, or history begins anew."""
        self._passed_by.add(parcel.place[0])
        self.start_over()

    def resume(self, stream: str) -> None:
        """Send all of a stream, from the oldest frame on."""
        self._resting.discard(stream)
        self._passed_by.clear()
        self.rewind()

    def _drop(self) -> None:
        self._restarts += 1
        self._held.difference_update(parcel.place for parcel in self._ready)
        self._ready.clear()
        self._ready_bytes = 0
        self._visits.clear()

    # The task that reads.

    async def run(self) -> None:
        """Keep the courier supplied until cancelled."""
        while True:
            self._wake.clear()
            if not self._on or self._at_end or self._ready_bytes >= LOW_BYTES:
                await self._rest(RESCAN_S)
                if self._at_end:
                    self.rewind()
                continue
            try:
                self._at_end = not await self._read_piece()
                self._failures = 0
            except Exception as error:  # the disk's fault, or ours: neither ends delivery
                level = logging.WARNING if self._failures == 0 else logging.DEBUG
                log.log(level, "history cannot be read: %r", error)
                self._failures += 1
                await asyncio.sleep(RETRY_S)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _read_piece(self) -> bool:
        """Make the next piece ready; false when nothing is left to read."""
        for stream, cursor in self._cursors.items():
            found = None if stream in self._resting else self._find(cursor)
            if found is None:
                continue
            segment, wanted = found
            if self._failures >= RETRIES:
                self._failures = 0
                cursor.skip(segment)
                return True
            await self._read(stream, cursor, segment, wanted)
            return True
        self._whole = False
        return False

    def _find(self, cursor: Cursor) -> tuple[SegmentInfo, Sequence[int]] | None:
        while (found := cursor.find()) is not None and found[0].id in self._passed_by:
            cursor.skip(found[0])
        return found

    async def _read(
        self, stream: str, cursor: Cursor, segment: SegmentInfo, wanted: Sequence[int]
    ) -> None:
        visit = self._visit(stream, segment, wanted[0])
        restarts, rewinds = self._restarts, cursor.rewinds
        async with asyncio.timeout(READ_TIMEOUT_S):
            records = await self._spool.read(segment.id, visit.index, PIECE_BYTES)
        if not records:  # gone in between, or nothing in it can be read
            cursor.skip(segment)
            return
        chosen = set(wanted)
        for record in records:
            if restarts != self._restarts or record.index > wanted[-1]:
                break
            await self._take(stream, segment, visit, record, chosen)
            visit.index = record.index + 1
        if restarts == self._restarts and rewinds == cursor.rewinds:
            cursor.advance(segment.id, max(visit.index, wanted[0]))

    def _visit(self, stream: str, segment: SegmentInfo, first: int) -> _Visit:
        """The visit that reaches the first frame wanted, from the beginning where need be."""
        teller, visit = self._tellers[stream], self._visits.get(stream)
        if visit is None or visit.segment_id != segment.id or visit.index > first:
            visit = _Visit(segment.id, teller.begin(), whole=self._whole)
            self._visits[stream] = visit
        if teller.frame_by_frame and not visit.whole:
            visit.index = first
        return visit

    async def _take(
        self, stream: str, segment: SegmentInfo, visit: _Visit, record: Record, chosen: set[int]
    ) -> None:
        """Make one frame ready, or only learn from it."""
        place = (segment.id, record.index)
        tell = visit.tell
        parcel = Parcel(
            stream=stream,
            boot_id=segment.boot_id,
            place=place,
            head=record,
            size=len(record.payload),
            write=lambda: tell(record),
            history=True,
        )
        restarts = self._restarts
        goes = (visit.whole or record.index in chosen) and place not in self._held
        if not self._tellers[stream].frame_by_frame:
            await self._tell_now(parcel, goes=goes)
        if not goes or restarts != self._restarts:
            return
        if not visit.whole and self._stored(stream, segment.boot_id, record.last_seq):
            self._spool.settle(*place)
            return
        self._held.add(place)
        self._ready.append(parcel)
        self._ready_bytes += parcel.size
        self._on_ready()

    async def _tell_now(self, parcel: Parcel, *, goes: bool) -> None:
        """Write the messages where the chain stands there, in a thread: they are many."""
        restarts = self._restarts
        while self._ready_bytes >= LOW_BYTES and restarts == self._restarts:
            self._wake.clear()
            await self._rest(RESCAN_S)
        try:
            notes = await asyncio.to_thread(parcel.write)
        except Exception as error:  # whatever a damaged frame makes the decoder raise
            log.debug("%s %d: %r", *parcel.place, error)
            notes = ()
        told = sum(note.count for note in notes)
        if goes and told < parcel.head.count:
            self.damaged(parcel, parcel.head.count - told)
        parcel.size = sum(len(note.payload) for note in notes)
        parcel.write = lambda: notes

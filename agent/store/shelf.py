"""Which segments there are, and which of them has to go when the room runs out. No files here."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

import msgspec

from agent.store.contents import Contents
from agent.store.ledger import Loss, Reason, Settled
from agent.store.segment import Record, SegmentHead, Tier

EVENT = "event"

SHARES: dict[Tier, float] = {Tier.RAW: 0.6, Tier.FIVE_MINUTES: 0.3, Tier.HOURLY: 0.1}
"""What each tier may have of the bound before it is thinned."""
THINNED_TO: dict[Tier, Tier] = {
    Tier.RAW: Tier.FIVE_MINUTES,
    Tier.FIVE_MINUTES: Tier.HOURLY,
}
GIVEN_UP: tuple[Tier, ...] = (Tier.HOURLY, Tier.FIVE_MINUTES, Tier.RAW)
"""The order in which telemetry is given up where thinning does not keep up; events come after."""
THIN_FROM = 0.9
"""The part of the bound from which on something is to be thinned."""


class SegmentInfo(msgspec.Struct, frozen=True):
    """A segment as others see it."""

    id: str
    stream: str
    tier: Tier
    boot_id: str
    epoch: int
    first_seq: int
    last_seq: int
    frames: int
    readings: int
    unsettled: int
    """Frames that are not settled."""
    bytes: int
    first_at: float
    last_at: float
    closed: bool


class Segment:
    """A segment: what is in it, what of that is on disk, what is settled."""

    def __init__(self, head: SegmentHead, contents: Contents, settled: Settled) -> None:
        self.head = head
        self.id = head.name
        self.contents = contents
        self.settled = settled
        self.waiting: dict[int, Record] = {}
        """Frames that are not on disk yet, by index."""
        self.file_bytes = 0
        self.note_bytes = 0
        self.closed = False
        """Takes no more frames."""
        self.sealed = False
        """Closed, and its contents are on disk."""
        self.held = False
        """Is being replaced, and must stay until that is done."""
        self._count()

    def _count(self) -> None:
        contents = self.contents
        self.readings = sum(contents.counts)
        unsettled = list(self.settled.open(0, len(contents)))
        self.unsettled_readings = sum(contents.counts[at] for at in unsettled)
        self.unsettled_bytes = sum(contents.sizes[at] for at in unsettled)
        self.waiting_bytes = sum(record.size for record in self.waiting.values())

    @property
    def order(self) -> tuple[int, int]:
        """Its place among the segments of its stream."""
        return self.head.epoch, self.head.seq

    @property
    def frames(self) -> int:
        """Frames in it, also those that wait for the disk."""
        return len(self.contents)

    @property
    def written(self) -> int:
        """Frames that are on disk."""
        return len(self.contents) - len(self.waiting)

    @property
    def done(self) -> bool:
        """True where every frame is settled."""
        return len(self.settled) == len(self.contents)

    @property
    def disk_bytes(self) -> int:
        """What it takes of the bound."""
        return self.file_bytes + self.note_bytes

    @property
    def oldest_at(self) -> float:
        """When about the first reading was taken that is not settled.

        Times of single frames are not kept: the numbers say how far it lies within the segment.
        """
        contents = self.contents
        index = next(self.settled.open(0, self.frames), 0)
        passed = contents.number_before(index) + 1 - contents.first_seq
        share = passed / max(contents.last_seq + 1 - contents.first_seq, 1)
        return contents.first_at + share * (contents.last_at - contents.first_at)

    def add(self, record: Record) -> None:
        """Take up a frame that waits for the disk; its index has to be the next one."""
        self.contents.add(record, 0, record.size)
        self.waiting[record.index] = record
        self.readings += record.count
        self.unsettled_readings += record.count
        self.unsettled_bytes += record.size
        self.waiting_bytes += record.size

    def wrote(self, records: list[Record], offset: int) -> None:
        """Note where frames that waited are on disk now."""
        if any(self.waiting.get(record.index) is not record for record in records):
            return  # given up meanwhile
        for record in records:
            self.contents.offsets[record.index] = offset
            offset += record.size
            self.waiting_bytes -= record.size
            del self.waiting[record.index]
        self.file_bytes = offset

    def spans(self, index: int, limit_bytes: int) -> list[tuple[int, int, int]]:
        """The frames on disk that a reader gets from an index on: index, offset and size of each.

        They lie behind one another; it is one at least where there is one.
        """
        offsets, sizes, end = self.contents.offsets, self.contents.sizes, self.written
        while index < end and not offsets[index]:
            index += 1
        spans: list[tuple[int, int, int]] = []
        taken = 0
        for at in range(index, end):
            taken += sizes[at]
            together = not spans or offsets[at] == spans[-1][1] + spans[-1][2]
            if spans and (taken > limit_bytes or not together):
                break
            spans.append((at, offsets[at], sizes[at]))
        return spans

    def in_memory(self, index: int, limit_bytes: int) -> list[Record]:
        """The same of the frames that wait for the disk."""
        records: list[Record] = []
        for at in range(max(index, self.written), self.frames):
            record = self.waiting[at]
            limit_bytes -= record.size
            if records and limit_bytes < 0:
                break
            records.append(record)
        return records

    def settle(self, index: int) -> bool:
        """Settle a frame; False where it is not here, or was settled before."""
        if not 0 <= index < self.frames or index in self.settled:
            return False
        self.settled.add(index)
        self.unsettled_readings -= self.contents.counts[index]
        self.unsettled_bytes -= self.contents.sizes[index]
        return True

    def forget_waiting(self) -> None:
        """Give up the frames that are not on disk."""
        self.contents.cut(self.written)
        self.settled.cut(self.frames)
        self.waiting.clear()
        self._count()

    def loss(self, reason: Reason, start: int = 0, stop: int | None = None) -> Loss | None:
        """What is lost with the frames from `start` to before `stop`, if anything."""
        contents = self.contents
        lost = list(self.settled.open(start, self.frames if stop is None else stop))
        if not lost:
            return None
        return Loss(
            self.head.stream,
            self.head.boot_id,
            contents.number_before(lost[0]) + 1,
            contents.last_seqs[lost[-1]],
            sum(contents.counts[at] for at in lost),
            contents.first_at,
            contents.last_at,
            reason,
        )

    def info(self) -> SegmentInfo:
        """The segment as others see it."""
        head, contents = self.head, self.contents
        return SegmentInfo(
            id=self.id,
            stream=head.stream,
            tier=head.tier,
            boot_id=head.boot_id,
            epoch=head.epoch,
            first_seq=contents.first_seq,
            last_seq=contents.last_seq,
            frames=len(contents),
            readings=self.readings,
            unsettled=len(contents) - len(self.settled),
            bytes=self.disk_bytes + self.waiting_bytes,
            first_at=contents.first_at,
            last_at=contents.last_at,
            closed=self.closed,
        )


class Shelf:
    """All segments, by id and in the order of their streams."""

    def __init__(self) -> None:
        self._by_id: dict[str, Segment] = {}
        self._order: dict[str, list[Segment]] = {}

    def __iter__(self) -> Iterator[Segment]:
        """All of them, stream by stream, oldest first."""
        for segments in self._order.values():
            yield from segments

    def get(self, segment_id: str) -> Segment | None:
        """The segment of an id, if it is still there."""
        return self._by_id.get(segment_id)

    def of(self, stream: str) -> list[Segment]:
        """The segments of a stream, oldest first. Not to be changed."""
        return self._order.get(stream, [])

    def put(self, segment: Segment) -> None:
        """Put a segment where it belongs."""
        self._by_id[segment.id] = segment
        segments = self._order.setdefault(segment.head.stream, [])
        insort(segments, segment, key=lambda each: each.order)

    def take(self, segment: Segment) -> None:
        """Take a segment away."""
        del self._by_id[segment.id]
        self._order[segment.head.stream].remove(segment)

    def to_thin(self, limit_bytes: int) -> Segment | None:
        """The oldest closed segment of the tier that is most over its share of the bound."""
        used = dict.fromkeys(SHARES, 0)
        oldest: dict[Tier, Segment] = {}
        for segment in self._telemetry():
            tier = segment.head.tier
            used[tier] += segment.disk_bytes
            if segment.sealed and not segment.held and _older(segment, oldest.get(tier)):
                oldest[tier] = segment
        thinnable = [tier for tier in THINNED_TO if tier in oldest]
        if not thinnable:
            return None
        return oldest[max(thinnable, key=lambda tier: used[tier] / limit_bytes - SHARES[tier])]

    def by_worth(self) -> list[Segment]:
        """All that can go when the bound is reached, what costs least first."""
        return sorted((each for each in self if not each.held), key=_worth)

    def _telemetry(self) -> Iterator[Segment]:
        return (each for each in self if each.head.stream != EVENT)


def _older(segment: Segment, other: Segment | None) -> bool:
    return other is None or segment.order < other.order


def _worth(segment: Segment) -> tuple[bool, bool, bool, int, tuple[int, int]]:
    """Settled before unsettled, telemetry before events, closed before open; by table, by age."""
    event = segment.head.stream == EVENT
    rank = GIVEN_UP.index(segment.head.tier)
    return not segment.done, event, not segment.closed, rank, segment.order

"""When a frame may be forgotten: the broker has acknowledged it, or a consumer has stored it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from agent.mqtt.events import Message
from agent.telemetry.cursor import Spool
from agent.telemetry.marks import FIRST_TIMEOUT_S, TORN_READINGS, BadMark, Marks, PlaceKey
from agent.telemetry.parcel import Parcel

log = logging.getLogger("stoker.courier")

WAITING_LIMIT = 50_000
"""Frames that wait for marks; above it history goes on only as marks come in."""


class Receipts:
    """Settles frames in the spool, and knows which are on their way or wait for a mark.

    `mark_topics` names the topic of the consumer's mark for each stream that has one; the
    frames of the others are settled by the broker's acknowledgement.
    """

    def __init__(
        self,
        spool: Spool,
        boot_id: str,
        mark_topics: Mapping[str, str],
        monotonic: Callable[[], float],
        timeout_s: float = FIRST_TIMEOUT_S,
    ) -> None:
        self.held: set[PlaceKey] = set()
        """Frames that history must not send: they are on their way, or wait for a mark."""
        self._streams = {topic: stream for stream, topic in mark_topics.items()}
        self._spool = spool
        self._boot_id = boot_id
        self._sent: dict[str, int] = {}  # of this boot, by stream
        self._marks = {
            stream: Marks(self._limit_of(stream), monotonic, timeout_s) for stream in mark_topics
        }

    @property
    def by_marks(self) -> bool:
        """Whether a consumer's marks count for any stream."""
        return bool(self._marks)

    @property
    def refused_marks(self) -> int:
        """Marks that were not obeyed."""
        return sum(marks.refused for marks in self._marks.values())

    @property
    def waiting(self) -> int:
        """Frames that the broker has acknowledged and no consumer has marked."""
        return sum(marks.waiting for marks in self._marks.values())

    @property
    def too_many_wait(self) -> bool:
        """Whether the consumer is too far behind to be sent history."""
        return self.by_marks and self.waiting >= WAITING_LIMIT

    def sent(self, parcel: Parcel) -> None:
        """A frame is being handed over: marks may reach up to it."""
        stream, last_seq = parcel.stream, parcel.head.last_seq
        if parcel.boot_id == self._boot_id and last_seq > self._sent.get(stream, 0):
            self._sent[stream] = last_seq

    def arrived(self, parcel: Parcel) -> None:
        """The broker has acknowledged all of a frame."""
        marks, last_seq = self._marks.get(parcel.stream), parcel.head.last_seq
        if marks is None or marks.passed(parcel.boot_id, last_seq):
            self.settle(parcel.place)
        else:
            marks.wait(parcel.boot_id, last_seq, parcel.place)

    def settle(self, place: PlaceKey) -> None:
        """A frame needs to be kept no longer."""
        self.held.discard(place)
        self._spool.settle(*place)

    def stored(self, stream: str, boot_id: str, last_seq: int) -> bool:
        """Whether a consumer has everything of a boot up to this number."""
        marks = self._marks.get(stream)
        return marks is not None and marks.passed(boot_id, last_seq)

    def hear(self, message: Message) -> None:
        """Obey a consumer's mark, if it can be true."""
        stream = self._streams.get(message.topic)
        if stream is None or not message.payload:  # empty: the mark was taken back
            return
        try:
            places = self._marks[stream].hear(message.payload)
        except BadMark as error:
            level = logging.WARNING if self.refused_marks == 1 else logging.DEBUG
            log.log(level, "%s: not obeyed: %s", message.topic, error)
            return
        for place in places:
            self.settle(place)

    def reconnected(self) -> int:
        """A new connection: nothing is on its way, and marks are what counts. Frames released."""
        released = sum(len(marks.reconnected()) for marks in self._marks.values())
        self.held.clear()
        return released

    def overdue(self) -> int:
        """Release the frames whose mark does not come; how many they are."""
        places = [place for marks in self._marks.values() for place in marks.overdue()]
        self.held.difference_update(places)
        return len(places)

    def _limit_of(self, stream: str) -> Callable[[str], int | None]:
        return lambda boot_id: self._sent_up_to(stream, boot_id)

    def _sent_up_to(self, stream: str, boot_id: str) -> int | None:
        """How far a boot can have been sent; None where nothing of it is known."""
        if boot_id == self._boot_id:
            return self._sent.get(stream, 0)
        ends = [
            segment.last_seq
            for segment in self._spool.segments(stream)
            if segment.boot_id == boot_id
        ]
        # What an earlier run sent live just before the power went is not on our disk.
        return max(ends) + TORN_READINGS if ends else None

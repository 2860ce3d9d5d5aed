"""Gathers readings and events for a moment and makes frames of them: for the spool, and to go live.

Everything that is taken gets its number here, in the order in which it was taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from agent.fleet.events import Event
from agent.store.segment import Head, Place
from agent.store.shelf import EVENT
from agent.telemetry.compact import ChainEncoder
from agent.telemetry.encode import Stream
from agent.telemetry.forms import Form, Message
from agent.telemetry.parcel import Write
from agent.telemetry.telling import event_frame
from drivers.api import Clock
from drivers.model import Reading

READINGS = "telemetry"
GATHER_S = 0.4
"""At most a second is at risk where the power fails: this, and the time that the disk takes."""
FRAME_LIMIT = 500
"""Readings of a frame; with every value of every device in it, it has 70 kB, and there are brokers
that take no more than 128."""


class Keeper(Protocol):
    """The spool, as far as it is filled here."""

    def append(self, stream: str, head: Head, payload: bytes) -> Place:
        """Keep a frame."""

    def roll(self, stream: str) -> None:
        """End the segment: the next frame begins a chain."""

    def wants_roll(self, stream: str) -> bool:
        """True where the next frame has to begin a chain."""


class Deliverer(Protocol):
    """The courier, as far as it is fed here."""

    def offer(self, stream: str, place: Place, head: Head, write: Write, size: int) -> None:
        """Bring a frame to the broker."""


class Gatherer:
    """Numbers, encodes and hands on what the fleet saw. Nothing here waits, nothing raises."""

    def __init__(
        self,
        keeper: Keeper,
        deliverer: Deliverer,
        form: Form,
        write_events: Callable[[bytes], Sequence[Message]],
        *,
        node: str,
        boot_id: str,
        clock: Clock,
        keyframe_interval_s: float,
    ) -> None:
        self._keeper = keeper
        self._deliverer = deliverer
        self._form = form
        self._write_events = write_events
        self._clock = clock
        self._keyframe_interval_s = keyframe_interval_s
        self._encoder = ChainEncoder(node, boot_id, READINGS, exact=form.exact)
        self._event_stream = Stream(EVENT, node, boot_id)
        self._readings: list[Reading] = []
        self._events: list[tuple[float, bytes]] = []
        self._seq = 1
        """The number of the next reading."""
        self._chain_until = 0.0
        self._planned: asyncio.TimerHandle | None = None

    def reading(self, reading: Reading) -> None:
        """Take a reading."""
        self._readings.append(reading)
        if len(self._readings) >= FRAME_LIMIT:
            self._close_readings()
        else:
            self._plan()

    def event(self, event: Event) -> None:
        """Take an event."""
        self._events.append((event.at.timestamp(), self._event_stream.record(event)))
        self._plan()

    def new_chain(self) -> None:
        """Begin a chain with the next frame: a decoder may have missed something."""
        self._chain_until = 0.0

    def flush(self) -> None:
        """Make frames of what has gathered."""
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        if self._events:
            self._close_events()
        if self._readings:
            self._close_readings()

    def _plan(self) -> None:
        if self._planned is None:
            self._planned = asyncio.get_running_loop().call_later(GATHER_S, self.flush)

    def _close_readings(self) -> None:
        readings, self._readings = self._readings, []
        first, count = self._seq, len(readings)
        self._seq += count
        self._begin_chain(first)
        frame = self._encoder.encode(readings, first)
        taken = [reading.taken_at.timestamp() for reading in readings]
        head = Head(first, first + count - 1, count, min(taken), max(taken))
        self._hand_on(READINGS, head, frame, lambda: self._form.live(readings, first, frame))

    def _begin_chain(self, seq: int) -> None:
        """A chain is one segment of the spool, and not longer than a keyframe interval."""
        now = self._clock.monotonic()
        if now < self._chain_until and not self._keeper.wants_roll(READINGS):
            return
        self._chain_until = now + self._keyframe_interval_s
        self._keeper.roll(READINGS)
        self._encoder.begin(seq)

    def _close_events(self) -> None:
        events, self._events = self._events, []
        frame = event_frame([line for _, line in events])
        last, count = self._event_stream.seq, len(events)
        times = [at for at, _ in events]
        head = Head(last - count + 1, last, count, min(times), max(times))
        self._hand_on(EVENT, head, frame, lambda: self._write_events(frame))

    def _hand_on(self, stream: str, head: Head, frame: bytes, write: Write) -> None:
        place = self._keeper.append(stream, head, frame)
        self._deliverer.offer(stream, place, head, write, len(frame))

"""Frames that wait to go live: in order of importance, and not for long. Pure.

A chain of frames is decoded from its beginning on. So what comes after a frame that was left
behind is left behind as well, up to the next chain; the spool keeps it, and it goes as history.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from agent.store.shelf import EVENT
from agent.telemetry.parcel import Parcel

LIVE_S = 5.0
"""A frame that could not be handed over for so long is live no longer."""
WAITING_LIMIT_BYTES = 64 << 20


class Lanes:
    """One queue for each stream, the most important first."""

    def __init__(self, streams: Sequence[str]) -> None:
        self._lanes: dict[str, deque[Parcel]] = {stream: deque() for stream in streams}
        self._newest: dict[str, str] = {}
        """The last chain of each stream; events stand by themselves."""
        self._barred: dict[str, str] = {}
        """The chain of which something was left behind, which is the newest or one before."""
        self.broken_chains = 0
        """How often a chain had to be left behind while it went on."""
        self._bytes = 0

    def __len__(self) -> int:
        """Frames that wait or are being handed over."""
        return sum(map(len, self._lanes.values()))

    def put(self, parcel: Parcel) -> bool:
        """Let a frame wait for its turn; false if it may not go live any more."""
        stream, chain = parcel.stream, parcel.place[0]
        if stream != EVENT:
            self._newest[stream] = chain
        full = self._bytes + parcel.size > WAITING_LIMIT_BYTES
        if full:
            self.bar(parcel)
        if full or self._barred.get(stream) == chain:
            return False
        self._lanes[stream].append(parcel)
        self._bytes += parcel.size
        return True

    def bar(self, parcel: Parcel) -> None:
        """A frame goes as history: so does what comes after it in its chain."""
        stream, chain = parcel.stream, parcel.place[0]
        if stream == EVENT:
            return
        if self._barred.get(stream) != chain:
            self.broken_chains += 1
        self._newest[stream] = self._barred[stream] = chain

    @property
    def head(self) -> Parcel | None:
        """The frame whose turn it is."""
        for lane in self._lanes.values():
            if lane:
                return lane[0]
        return None

    def pop(self, parcel: Parcel) -> None:
        """The frame at the head of its stream is handed over."""
        self._lanes[parcel.stream].popleft()
        self._bytes -= parcel.size

    def stale(self, now: float) -> list[Parcel]:
        """Take out what waited too long, and what stands behind it; they go as history.

        A frame of which a part is handed over already stays, and is finished.
        """
        left: list[Parcel] = []
        for lane in self._lanes.values():
            waiting = [parcel for parcel in lane if not parcel.begun]
            if not waiting or now - waiting[0].since <= LIVE_S:
                continue
            for _ in waiting:
                lane.pop()  # what is begun stands in front
            self._bytes -= sum(parcel.size for parcel in waiting)
            self.bar(waiting[-1])
            left += waiting
        return left

    def bar_refused(self, parcel: Parcel) -> list[Parcel]:
        """Take out what waits of the chain of a refused frame; nothing more of it goes live.

        This does not count as broken: the next chain is a matter of time.
        """
        stream, chain = parcel.stream, parcel.place[0]
        if self._newest.get(stream) == chain:
            self._barred[stream] = chain
        lane = self._lanes[stream]
        left = [waiting for waiting in lane if waiting.place[0] == chain]
        self._lanes[stream] = deque(waiting for waiting in lane if waiting.place[0] != chain)
        self._bytes -= sum(waiting.size for waiting in left)
        return left

    def clear(self) -> None:
        """The connection is lost: all that waits goes as history, and the rest of each chain."""
        for lane in self._lanes.values():
            lane.clear()
        self._bytes = 0
        self._barred.update(self._newest)

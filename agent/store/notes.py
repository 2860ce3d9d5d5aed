"""Which segments have frames that were settled since that was last written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.store.disk import Note
from agent.store.shelf import Segment

NOTE_S = 1.0


class Notes:
    """Gathers notes for a second. `due` is called in the event loop when they can be taken."""

    def __init__(self, due: Callable[[], None]) -> None:
        self._due = due
        self._segments: set[Segment] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ripe = False

    def add(self, segment: Segment) -> None:
        """A frame of this segment was settled."""
        self._segments.add(segment)
        self._wait()

    def discard(self, segment: Segment) -> None:
        """The segment is gone."""
        self._segments.discard(segment)

    def hurry(self) -> None:
        """Let them be taken now."""
        self.stop()
        self._ripe = True
        self._due()

    def take(self, room_bytes: int) -> list[Note]:
        """The notes that are due and find room; what is not noted is sent again after a restart."""
        if not self._ripe:
            return []
        self._ripe = False
        notes = []
        for segment in [each for each in self._segments if each.file_bytes and not each.held]:
            self._segments.remove(segment)
            body = segment.settled.pack()
            more_bytes = max(len(body) - segment.note_bytes, 0)
            if more_bytes <= room_bytes:
                room_bytes -= more_bytes
                segment.note_bytes += more_bytes
                notes.append(Note(segment.id, body))
        self._wait()
        return notes

    def _wait(self) -> None:
        if self._segments and self._timer is None and not self._ripe:
            self._timer = asyncio.get_running_loop().call_later(NOTE_S, self.hurry)

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

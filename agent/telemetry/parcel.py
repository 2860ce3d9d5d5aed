"""A frame on its way to the broker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.store.segment import Head, Record
from agent.telemetry.forms import Message
from agent.telemetry.marks import PlaceKey

Write = Callable[[], Sequence[Message]]
"""Makes the messages of a frame when its turn has come."""


@dataclass(slots=True, eq=False, kw_only=True)
class Parcel:
    """One frame on its way, live or as history."""

    stream: str
    boot_id: str
    place: PlaceKey
    head: Head | Record
    """What is known of it unopened; of history, as it was stored."""
    size: int
    """Bytes of the frame as stored, which is what waiting for its turn costs."""
    write: Write
    history: bool
    since: float = 0.0
    """When it was offered."""
    opened: bool = False
    notes: Sequence[Message] = ()
    """Its messages, once it is opened."""
    handed_over: int = 0
    unacknowledged: int = 0
    lost: int = 0
    """Messages of it that were given up."""
    refused: bool = False
    """Whether it has to go once more, whatever else becomes of it."""

    @property
    def next_note(self) -> Message:
        """The message whose turn it is."""
        return self.notes[self.handed_over]

    @property
    def begun(self) -> bool:
        """Whether any of it was handed over."""
        return self.handed_over > 0

    @property
    def all_handed_over(self) -> bool:
        """Whether nothing of it waits any more."""
        return self.opened and self.handed_over == len(self.notes)

    @property
    def arrived(self) -> bool:
        """Whether the broker has acknowledged all of it."""
        return self.all_handed_over and not self.unacknowledged

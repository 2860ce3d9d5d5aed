"""A frame on its way to the broker, and what the courier needs of those around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from agent.telemetry.marks import PlaceKey


class Head(Protocol):
    """What a frame says of itself without being opened."""

    @property
    def seq(self) -> int:
        """The number of its first reading."""
        ...

    @property
    def last_seq(self) -> int:
        """The number of its last reading."""
        ...

    @property
    def count(self) -> int:
        """How many readings it holds."""
        ...

    @property
    def first_at(self) -> float:
        """When its first reading was taken, in Unix seconds."""
        ...

    @property
    def last_at(self) -> float:
        """When its last reading was taken."""
        ...


class Note(Protocol):
    """One MQTT message that carries a frame or a part of it."""

    @property
    def topic(self) -> str:
        """Where it goes."""
        ...

    @property
    def payload(self) -> bytes:
        """What it says."""
        ...

    @property
    def first_seq(self) -> int:
        """The number of the first reading in it."""
        ...

    @property
    def count(self) -> int:
        """How many readings it carries."""
        ...


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """Readings that nobody will get."""

    stream: str
    boot_id: str
    first_seq: int
    last_seq: int
    lost: int
    first_at: float
    last_at: float
    reason: str


class Place(Protocol):
    """Where the spool keeps a frame."""

    @property
    def segment_id(self) -> str:
        """The segment, which is the frame's chain."""
        ...

    @property
    def index(self) -> int:
        """The frame's number in it."""
        ...


Write = Callable[[], Sequence[Note]]
"""Makes the messages of a frame when its turn has come."""


@dataclass(slots=True, eq=False, kw_only=True)
class Parcel:
    """One frame on its way, live or as history."""

    stream: str
    boot_id: str
    place: PlaceKey
    head: Head
    size: int
    """Bytes of the frame as stored, which is what waiting for its turn costs."""
    write: Write
    history: bool
    since: float = 0.0
    """When it was offered."""
    opened: bool = False
    notes: Sequence[Note] = ()
    """Its messages, once it is opened."""
    handed_over: int = 0
    unacknowledged: int = 0
    lost: int = 0
    """Messages of it that were given up."""
    refused: bool = False
    """Whether it has to go once more, whatever else becomes of it."""

    @property
    def next_note(self) -> Note:
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

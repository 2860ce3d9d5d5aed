"""What the courier needs of a session, and what it says of its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agent.mqtt.events import Outcome


class Link(Protocol):
    """A session, as the courier uses it."""

    @property
    def connected(self) -> bool:
        """Whether a publish may succeed now."""
        ...

    @property
    def window(self) -> int:
        """How many messages may be handed over now."""
        ...

    def publish(self, topic: str, payload: bytes, *, token: int) -> Outcome:
        """Hand one message over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """How delivery fares."""

    connected: bool
    bytes_s: float
    """Acknowledged of late."""
    full_bytes_s: float | None
    """What the uplink carried when it was last full, if ever."""
    history_bytes_s: float
    """What history may take of it."""
    under_way: int
    """Messages handed over and not acknowledged."""
    waiting_live: int
    waiting_for_marks: int
    refused_marks: int
    repeats: int
    """Frames that had to be sent again."""
    left_behind: int
    """Frames that could not go live in time."""
    refused: int
    """Messages that the broker refused for a reason of its own; they are tried again."""
    dropped: Mapping[str, int]
    """Readings given up, by reason."""

"""What the courier needs of a session, and what it says of its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.mqtt.events import Outcome
from agent.mqtt.session import Session


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
    """How fast readings and events go out."""

    connected: bool
    bytes_s: float
    """Bytes per second that the broker acknowledged of late."""
    full_bytes_s: float | None
    """The same when the uplink was last full; null if never."""
    history_bytes_s: float
    """Bytes per second that history may take."""
    under_way: int
    """Messages sent, not yet acknowledged."""
    waiting_live: int
    """Frames that wait to go live."""
    waiting_for_marks: int
    """Frames that the broker has and no mark has reached."""
    refused_marks: int
    """Marks that were not obeyed."""
    repeats: int
    """Frames that have to be sent again."""
    left_behind: int
    """Frames that could not go live in time, and go as history."""
    refused: int
    """Messages that the broker refused for a reason of its own; they are kept and tried again."""
    dropped: Mapping[str, int]
    """Readings and events given up, by reason: `too_large`, `refused`, `poison`, `damaged`."""


def connection(session: Session) -> dict[str, Any]:
    """The members of `messages.Connection`."""
    stats = session.stats
    return {
        "connected": session.connected,
        "published": stats.published,
        "acknowledged": stats.acknowledged,
        "connects": stats.connects,
        "bytes_out": stats.bytes_out,
        "failures": {str(cause): count for cause, count in stats.failures.items()},
    }

"""What is in the spool, in figures."""

from __future__ import annotations

import msgspec

from agent.store.ledger import Losses
from agent.store.shelf import Shelf
from agent.store.writer import Writer


class SpoolStats(msgspec.Struct, frozen=True):
    """What is in the spool. The backlog is what has not been settled."""

    bytes: int
    frames: int
    written_bytes: int
    waiting_bytes: int
    """In memory, on its way to the disk."""
    backlog_readings: int
    backlog_bytes: int
    oldest_at: dict[str, float]
    """By stream: since when about something has not been settled."""
    lost: dict[str, int]
    """Readings, since the start."""
    trouble: str | None


def stats_of(shelf: Shelf, writer: Writer, losses: Losses) -> SpoolStats:
    """The figures of now."""
    segments = list(shelf)
    oldest_at: dict[str, float] = {}
    for segment in segments:
        if not segment.done:
            oldest_at.setdefault(segment.head.stream, segment.oldest_at)
    return SpoolStats(
        bytes=writer.used_bytes,
        frames=sum(segment.frames for segment in segments),
        written_bytes=writer.written_bytes,
        waiting_bytes=writer.waiting_bytes,
        backlog_readings=sum(segment.unsettled_readings for segment in segments),
        backlog_bytes=sum(segment.unsettled_bytes for segment in segments),
        oldest_at=oldest_at,
        lost=dict(losses.by_reason),
        trouble=writer.trouble,
    )

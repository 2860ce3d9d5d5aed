"""Publishes where the audit ends, so that others hold it against what is later shown to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from agent.fleet.events import Event
from drivers.api import Clock

LOOK_S = 1.0
INTERVAL_S = 60.0


class Head(Protocol):
    """A record of the audit, and by its hash all before it."""

    @property
    def seq(self) -> int:
        """Its number; 0 where there is none."""

    @property
    def hash(self) -> str:
        """SHA-256, in hex."""


class Log(Protocol):
    """What has a head."""

    @property
    def head(self) -> Head:
        """The last record that is on disk."""


class AuditHead:
    """Tells `audit.head` when it has changed, at most once a minute."""

    def __init__(self, clock: Clock, log: Log, tell: Callable[[Event], None]) -> None:
        self._clock = clock
        self._log = log
        self._tell = tell
        self._told_seq = 0
        self._told_at: float | None = None

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Tell the head, where it is new and the last one was told a while ago."""
        head, now = self._log.head, self._clock.monotonic()
        if head.seq == self._told_seq:
            return
        if self._told_at is not None and now - self._told_at < INTERVAL_S:
            return
        self._told_seq, self._told_at = head.seq, now
        self._tell(
            Event(
                name="audit.head",
                at=datetime.fromtimestamp(self._clock.now(), UTC),
                message=f"the audit has {head.seq} records",
                details={"seq": head.seq, "hash": head.hash},
            )
        )

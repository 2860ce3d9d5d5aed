"""The last events, numbered, for those who follow them and for those who come back. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from drivers.gpu.answers import Event

KEPT = 2000


class Ring:
    """Events of one epoch, that is, of one life of the supervisor."""

    def __init__(self, epoch: str, kept: int = KEPT) -> None:
        self.epoch = epoch
        self.last = 0
        self._events: deque[Event] = deque(maxlen=kept)
        self._followers: list[Callable[[Event], None]] = []

    def add(self, event: Event) -> None:
        """Number an event, keep it, tell it."""
        self.last += 1
        numbered = msgspec.structs.replace(event, seq=self.last)
        self._events.append(numbered)
        for tell in list(self._followers):
            tell(numbered)

    def after(self, epoch: str, seq: int) -> list[Event]:
        """Those that are kept and later than a number; of another epoch all that are kept."""
        seen = seq if epoch == self.epoch else 0
        return [event for event in self._events if event.seq > seen]

    def follow(self, tell: Callable[[Event], None]) -> None:
        """Be told every event from now on."""
        self._followers.append(tell)

    def leave(self, tell: Callable[[Event], None]) -> None:
        """Be told no more; harmless where it never was."""
        if tell in self._followers:
            self._followers.remove(tell)

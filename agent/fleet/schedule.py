"""When each device is due: a deadline schedule that spreads devices over the interval. Pure.

A device keeps its phase: its next deadline is the last one plus the interval, however late
the poll was. Deadlines that passed unseen are skipped, not made up for in a burst.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Due(NamedTuple, Generic[Key]):
    """A device whose deadline has come."""

    key: Key
    at: float


class Schedule(Generic[Key]):
    """Deadlines by key, in the time base of the caller's monotonic clock (seconds).

    Within one group (a subnet) no two deadlines are closer than `1 / group_per_s`.
    """

    def __init__(self, interval_s: float, group_per_s: float, rng: random.Random) -> None:
        self._interval_s = interval_s
        self._gap_s = 1.0 / group_per_s
        self._rng = rng
        self._heap: list[tuple[float, int, Key]] = []
        self._turn: dict[Key, int] = {}  # which heap entry of a key counts
        self._group: dict[Key, str] = {}
        self._group_free_at: dict[str, float] = {}
        self._entries = 0
        self.skipped = 0
        """Deadlines that passed without a poll because the device was still busy."""

    def __len__(self) -> int:
        return len(self._turn)

    def __contains__(self, key: Key) -> bool:
        return key in self._turn

    def add(self, key: Key, group: str, now: float) -> None:
        """Take a device in, at a random phase of the interval that begins now."""
        self._group[key] = group
        self._push(key, now + self._rng.random() * self._interval_s)

    def remove(self, key: Key) -> None:
        """Forget a device; unknown keys are no error."""
        self._turn.pop(key, None)
        self._group.pop(key, None)

    def again(self, due: Due[Key], now: float, *, wait_s: float | None = None) -> None:
        """Plan the next poll after one: in phase, or `wait_s` from now for one that fails."""
        if due.key not in self._group:
            return
        if wait_s is not None:
            self._push(due.key, now + wait_s)
            return
        at = due.at + self._interval_s
        if at <= now:
            missed = int((now - at) / self._interval_s) + 1
            self.skipped += missed
            at += missed * self._interval_s
        self._push(due.key, at)

    def pop_due(self, now: float) -> list[Due[Key]]:
        """Every device whose deadline has come; each comes once, until `again` plans it."""
        found: list[Due[Key]] = []
        while self._heap and self._heap[0][0] <= now:
            at, turn, key = heapq.heappop(self._heap)
            if self._turn.get(key) == turn:
                found.append(Due(key, at))
        return found

    def next_at(self) -> float | None:
        """When the next deadline is, None where there is none."""
        return self._heap[0][0] if self._heap else None

    def _push(self, key: Key, at: float) -> None:
        group = self._group[key]
        at = max(at, self._group_free_at.get(group, at))
        self._group_free_at[group] = at + self._gap_s
        self._entries += 1
        self._turn[key] = self._entries
        heapq.heappush(self._heap, (at, self._entries, key))

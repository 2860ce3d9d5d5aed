"""When each device is due: a deadline schedule that spreads devices over the interval. Pure.

A device keeps its phase: its next deadline is the last one plus the interval, however late
the poll was. Deadlines that passed unseen are skipped, not made up for in a burst.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_left, bisect_right
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
        self._at: dict[Key, float] = {}  # deadlines that stand
        self._slots: dict[str, list[float]] = {}  # the same by group, in order
        self._popped: dict[str, float] = {}  # the latest that came, by group
        self._entries = 0
        self.skipped = 0
        """Deadlines that passed without a poll because the device was still busy."""

    def __len__(self) -> int:
        return len(self._turn)

    def __contains__(self, key: Key) -> bool:
        return key in self._turn

    def add(self, key: Key, group: str, now: float) -> None:
        """Take a device in, at a random phase of the interval that begins now."""
        self.remove(key)
        self._group[key] = group
        self._push(key, now + self._rng.random() * self._interval_s)

    def remove(self, key: Key) -> None:
        """Forget a device; unknown keys are no error."""
        self._free(key)
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
                self._free(key)
                self._popped[self._group[key]] = at
                found.append(Due(key, at))
        return found

    def _push(self, key: Key, at: float) -> None:
        group = self._group[key]
        self._free(key)
        at = self._at[key] = self._take_slot(group, at)
        self._entries += 1
        self._turn[key] = self._entries
        heapq.heappush(self._heap, (at, self._entries, key))

    def _take_slot(self, group: str, at: float) -> float:
        """The first moment from `at` on that keeps the gap to all others of the group."""
        slots = self._slots.setdefault(group, [])
        at = max(at, self._popped.get(group, -math.inf) + self._gap_s)
        place = bisect_right(slots, at - self._gap_s)
        while place < len(slots) and slots[place] < at + self._gap_s:
            at = slots[place] + self._gap_s
            place += 1
        slots.insert(place, at)
        return at

    def _free(self, key: Key) -> None:
        at = self._at.pop(key, None)
        if at is not None:
            slots = self._slots[self._group[key]]
            del slots[bisect_left(slots, at)]

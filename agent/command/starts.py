"""How fast load may come back: no more starts than so many a minute, in all and in each group.

Starts of one group (a breaker, a rack) keep their order; a group that has to wait does not hold
up the others. Pure: time comes in with every call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Start = TypeVar("Start", bound=Hashable)


class Spacing:
    """Moments that keep their distance, in all and within a group, each given out once."""

    def __init__(self, per_minute: float, per_group_per_minute: float) -> None:
        self._gap_s = 60.0 / per_minute
        self._group_gap_s = 60.0 / per_group_per_minute
        self._free_at = 0.0
        self._group_free_at: dict[str, float] = {}

    def reserve(self, group: str, now: float) -> float:
        """The next moment from now on."""
        at = max(now, self._free_at, self._group_free_at.get(group, 0.0))
        self._free_at = at + self._gap_s
        self._group_free_at[group] = at + self._group_gap_s
        return at


class Starts(Generic[Start]):
    """Starts that wait for their turn.

    Two starts are never closer than a minute divided by the rate, in all and within a group, so
    that no window of any length holds more than its share.
    """

    def __init__(self, per_minute: float, per_group_per_minute: float) -> None:
        self._gap_s = 60.0 / per_minute
        self._group_gap_s = 60.0 / per_group_per_minute
        self._free_at = 0.0
        self._group_free_at: dict[str, float] = {}
        self._waiting: dict[str, OrderedDict[Start, None]] = {}
        """By group, the first first: any of ten thousand may be taken out."""
        self.spacing = Spacing(per_minute, per_group_per_minute)
        """For those that were let go, where they are sent: they may have met on the way."""
        self._group_of: dict[Start, str] = {}

    def __len__(self) -> int:
        return len(self._group_of)

    def put(self, start: Start, group: str) -> None:
        """Queue a start; one that waits already keeps its place."""
        if start not in self._group_of:
            self._group_of[start] = group
            self._waiting.setdefault(group, OrderedDict())[start] = None

    def drop(self, start: Start) -> bool:
        """Take a start out again; False where it does not wait any more."""
        group = self._group_of.pop(start, None)
        if group is None:
            return False
        queue = self._waiting[group]
        del queue[start]
        if not queue:
            del self._waiting[group]
        return True

    def next_at(self) -> float | None:
        """When the next start is allowed; None where nothing waits."""
        if not self._waiting:
            return None
        earliest = min(self._group_free_at.get(group, 0.0) for group in self._waiting)
        return max(self._free_at, earliest)

    def pop(self, now: float) -> Start | None:
        """The start whose turn it is, of the group that has waited longest; None before that."""
        if now < self._free_at:
            return None
        free = [group for group in self._waiting if self._group_free_at.get(group, 0.0) <= now]
        if not free:
            return None
        group = min(free, key=lambda name: self._group_free_at.get(name, 0.0))
        start, _ = self._waiting[group].popitem(last=False)
        if not self._waiting[group]:
            del self._waiting[group]
        del self._group_of[start]
        self._free_at = now + self._gap_s
        self._group_free_at[group] = now + self._group_gap_s
        self._forget_idle_groups(now)
        return start

    def _forget_idle_groups(self, now: float) -> None:
        if len(self._group_free_at) > 2 * len(self._waiting) + 100:
            free = self._group_free_at
            self._group_free_at = {
                group: at for group, at in free.items() if at > now or group in self._waiting
            }

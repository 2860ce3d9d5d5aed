"""Holds a stream of actions to a rate, overall and within each group."""

from __future__ import annotations

import asyncio

from drivers.api import Clock

_SHORTEST_SLEEP_S = 0.005


class Pacer:
    """At most `per_second` turns a second; unused time is not saved up beyond one sleep."""

    def __init__(self, per_second: float, clock: Clock, per_group_s: float | None = None) -> None:
        self._gap_s = 1.0 / per_second
        self._group_gap_s = 1.0 / per_group_s if per_group_s else 0.0
        self._clock = clock
        self._free_at = 0.0
        self._group_free_at: dict[str, float] = {}

    async def turn(self, group: str = "") -> None:
        """Wait for the next turn."""
        now = self._clock.monotonic()
        at = max(self._free_at, self._group_free_at.get(group, 0.0), now - _SHORTEST_SLEEP_S)
        self._free_at = at + self._gap_s
        if self._group_gap_s:
            self._group_free_at[group] = at + self._group_gap_s
        if at - now > _SHORTEST_SLEEP_S:
            await asyncio.sleep(at - now)

"""One bound for everything that a read or an identification asks."""

from __future__ import annotations

from drivers.api import Clock
from drivers.errors import DeviceTimeout


class Deadline:
    """A moment that several questions share."""

    __slots__ = ("_clock", "_until")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._until = clock.monotonic() + seconds

    def left_s(self, share: float = 1.0) -> float:
        """What is left, or a share of it; raises `DeviceTimeout` where nothing is."""
        left_s = self._until - self._clock.monotonic()
        if left_s <= 0:
            raise DeviceTimeout("no time left to ask")
        return left_s * share

"""How long to wait before what failed is tried again. Pure."""

from __future__ import annotations


class Pause:
    """Shortly at first, twice as long each time, shortly again once it went well for a while."""

    def __init__(self, first_s: float, most_s: float, calm_s: float | None = None) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._calm_s = most_s if calm_s is None else calm_s
        self._wait_s = 0.0
        self.until_s = 0.0
        """The time before which it is not tried again."""

    def failed(self, now_s: float) -> None:
        """It failed now."""
        calm = self._wait_s == 0.0 or now_s > self.until_s + self._calm_s
        self._wait_s = self._first_s if calm else min(2 * self._wait_s, self._most_s)
        self.until_s = now_s + self._wait_s

    def over(self, now_s: float) -> bool:
        """Whether it may be tried."""
        return now_s >= self.until_s

    def forget(self) -> None:
        """Try at once: somebody changed what was wrong."""
        self._wait_s = self.until_s = 0.0

"""How often something may happen: a bucket that fills again. Pure: time is handed in."""

from __future__ import annotations


class Bucket:
    """So many a minute on average, and as many at once; full at the beginning."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._room = max(1.0, per_minute)
        """One at least, or what is allowed every second minute could never happen."""
        self._left = self._room
        self._filled_at: float | None = None

    def take(self, now: float) -> float:
        """Take one out: 0, or the seconds until there is one."""
        per_s = self.per_minute / 60.0
        if self._filled_at is not None:
            passed_s = max(0.0, now - self._filled_at)
            self._left = min(self._room, self._left + passed_s * per_s)
        self._filled_at = now
        if self._left < 1.0:
            return (1.0 - self._left) / per_s
        self._left -= 1.0
        return 0.0

"""What was read a while ago and still holds, as long as the same machine stands there."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
UPTIME_SLACK_S = 2.0


class Kept(NamedTuple, Generic[T]):
    """A part of a machine's answers that changes slowly.

    `words` is what the machine called itself when it was read (type, build, MAC ...).
    """

    value: T
    at: float
    """Seconds since the epoch."""
    words: tuple[str, ...]
    uptime_s: float | None

    def is_of(self, words: tuple[str, ...], uptime_s: float | None, now: float) -> bool:
        """True where the machine that shows these is still the one that was read.

        Another machine may have come to the address: its readings must not carry this.
        """
        if words != self.words or uptime_s is None or self.uptime_s is None:
            return False
        return abs(uptime_s - self.uptime_s - (now - self.at)) <= UPTIME_SLACK_S

    def is_due(self, now: float, every_s: float) -> bool:
        """True where it is time to read it again, also after the clock was set back."""
        return not 0 <= now - self.at < every_s

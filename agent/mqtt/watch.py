"""Decides whether a connection still lives.

paho's own keepalive is not used: it drops a connection whose PINGRESP waits behind a slow
but moving backlog, and takes a CONNACK's Server Keep Alive of 0 for "never look".
"""

from __future__ import annotations

from agent.mqtt.failure import Cause, LinkLost


class Watch:
    """Looks at a connection from time to time; the caller carries out what it says."""

    def __init__(self, keepalive_s: float, now: float) -> None:
        self.keepalive_s = keepalive_s
        self.progress_at = now
        self._progress = -1
        self._oldest: int | None = None
        self._oldest_at = now
        self._pinged_at = now

    @property
    def look_every_s(self) -> float:
        """How often to ask for the verdict."""
        return min(1.0, self.keepalive_s / 4)

    def adopt(self, server_keepalive_s: float) -> None:
        """Take the broker's keepalive where it is shorter; longer, ours finds out sooner."""
        if 0 < server_keepalive_s < self.keepalive_s:
            self.keepalive_s = server_keepalive_s

    def verdict(
        self, now: float, *, progress: int, oldest: int | None, blocked: bool
    ) -> LinkLost | None:
        """Why the connection is to be given up, or None.

        `progress` changes with every sign of life, `oldest` is the packet id that has waited
        longest for its PUBACK, `blocked` says that bytes still wait to be sent. A connection
        that has died is given up within two keepalives.
        """
        if progress != self._progress:
            self._progress, self.progress_at = progress, now
        if oldest != self._oldest or oldest is None or blocked:
            self._oldest, self._oldest_at = oldest, now
        # One look later it was seen that something had moved, and one look later that nothing has.
        limit_s = 2 * (self.keepalive_s - self.look_every_s)
        if now - self.progress_at > limit_s:
            return LinkLost(Cause.FROZEN, f"nothing from the broker for more than {limit_s:g} s")
        if now - self._oldest_at > limit_s:
            return LinkLost(Cause.STALLED, f"a publish unacknowledged for more than {limit_s:g} s")
        return None

    def ping_due(self, now: float, *, blocked: bool) -> bool:
        """Whether to send a PINGREQ now, twice per keepalive; behind a backlog it is useless."""
        if blocked or now - self._pinged_at < self.keepalive_s / 2:
            return False
        self._pinged_at = now
        return True

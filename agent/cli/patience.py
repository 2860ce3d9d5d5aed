"""How long a sender waits for answers, and when it asks again. Pure."""

from __future__ import annotations

from agent.cli.following import Following

ROSTER_S = 1.0
"""How long the retained states of nodes take to come in, after the broker has the command."""
SILENT_S = 60.0
"""How long nodes may say nothing at all."""
PAGES_S = 5.0
"""How long the last results may take."""
REPEAT_S, MOST_REPEAT_S = 5.0, 60.0


class Patience:
    """When to send the same bytes again, and when to wait no longer.

    To send them again is safe: a node that has them says its last word about them once more.
    """

    def __init__(self, following: Following, now: float, timeout_s: float) -> None:
        """`now`: when the broker had taken it, in seconds of one monotonic clock."""
        self._following = following
        self._begun_at = now
        self._until = now + timeout_s
        self._ended_at: float | None = None
        self._wait_s = REPEAT_S
        self._repeat_at = now + REPEAT_S

    def news(self, now: float) -> None:
        """A node has said something."""
        if not self._following.silent:
            self._repeat_at = now + MOST_REPEAT_S

    def repeat_due(self, now: float) -> bool:
        """Whether to send it again now: somebody says nothing."""
        if now < self._repeat_at or self._following.ended:
            return False
        self._wait_s = min(2 * self._wait_s, MOST_REPEAT_S)
        self._repeat_at = now + self._wait_s
        return bool(self._following.expected)

    def over(self, now: float) -> bool:
        """Whether nothing more is waited for."""
        following = self._following
        if now >= self._until:
            return True
        if now - self._begun_at < ROSTER_S and following.is_for_all:
            return False
        if following.ended:
            self._ended_at = now if self._ended_at is None else self._ended_at
            return following.complete or now - self._ended_at >= PAGES_S
        self._ended_at = None
        deaf = following.silent and not following.open and now - self._begun_at >= SILENT_S
        return bool(deaf) or not following.expected

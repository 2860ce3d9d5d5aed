"""How a device fares, with hysteresis, and how long to leave one alone that fails. Pure."""

from __future__ import annotations

import random
from enum import StrEnum

OFFLINE_AFTER = 3
"""Failures in a row before a device counts as offline: one lost packet is no outage."""
ONLINE_AFTER = 2
"""Answers in a row before an offline device counts as online again."""
LONGEST_WAIT_S = 600.0
_LARGEST_DOUBLING = 6


class Health(StrEnum):
    """How far a device can be trusted to answer."""

    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


class HealthTracker:
    """The health of one device, from the outcomes of its polls."""

    __slots__ = ("_answers", "failures", "state")

    def __init__(self) -> None:
        self.state = Health.ONLINE
        self.failures = 0
        """Failures in a row."""
        self._answers = 0

    def answered(self) -> bool:
        """Note a good poll; True where the state changed."""
        self.failures = 0
        if self.state is Health.ONLINE:
            return False
        self._answers += 1
        if self.state is Health.DEGRADED or self._answers >= ONLINE_AFTER:
            return self._become(Health.ONLINE)
        return False

    def failed(self) -> bool:
        """Note a failed poll; True where the state changed."""
        self.failures += 1
        self._answers = 0
        if self.failures >= OFFLINE_AFTER:
            return self._become(Health.OFFLINE)
        return self.state is Health.ONLINE and self._become(Health.DEGRADED)

    def _become(self, state: Health) -> bool:
        changed = state is not self.state
        self.state = state
        self._answers = 0
        return changed


def wait_after_failures_s(failures: int, interval_s: float, rng: random.Random) -> float | None:
    """How long to leave a failing device alone; None: poll it in its usual turn.

    Doubles from the interval on once the device is offline, up to ten minutes, and never
    shorter than the interval; jitter keeps a recovered subnet from being asked at once.
    """
    over = failures - OFFLINE_AFTER
    if over < 0:
        return None
    longest_s = max(LONGEST_WAIT_S, interval_s)
    wait_s = interval_s * 2.0 ** min(over + 1, _LARGEST_DOUBLING)
    return float(min(wait_s, longest_s) * rng.uniform(0.8, 1.2))

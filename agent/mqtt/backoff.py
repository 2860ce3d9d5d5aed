"""How long to wait before the next attempt."""

from __future__ import annotations

import random


class Backoff:
    """Full jitter under a ceiling that doubles: nodes do not come back in step.

    paho's own delay doubles without jitter, so that a site's nodes hit the broker together.
    """

    def __init__(self, low_s: float, high_s: float, rng: random.Random) -> None:
        self._low_s = low_s
        self._high_s = max(low_s, high_s)
        self._rng = rng
        self._ceiling_s = low_s

    def next_s(self, *, slow: bool = False) -> float:
        """The next delay; a slow one lies in the upper half of the range at once."""
        if slow:
            return self._rng.uniform(max(self._low_s, self._high_s / 2), self._high_s)
        self._ceiling_s = min(self._ceiling_s * 2, self._high_s)
        return self._rng.uniform(self._low_s, self._ceiling_s)

    def reset(self) -> None:
        """Begin again with short delays."""
        self._ceiling_s = self._low_s

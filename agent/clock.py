"""Time, as a thing that can be handed in."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clocks; `monotonic` is the one the event loop uses."""

    def now(self) -> float:
        """Seconds since the Unix epoch (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

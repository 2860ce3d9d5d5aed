"""A histogram of durations in fixed steps: constant memory, quantiles to within a step."""

from __future__ import annotations

import math
from bisect import bisect_left

STEPS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0),
)


class Histogram:
    """Counts durations in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(STEPS_S) + 1)
        self.count = 0
        self.max_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(STEPS_S, duration_s)] += 1
        self.count += 1
        self.max_s = max(self.max_s, duration_s)

    def steps(self) -> dict[float, int]:
        """Counts by step, those that hold any; beyond the last step as infinity."""
        bounds = (*STEPS_S, math.inf)
        return {step: count for step, count in zip(bounds, self._counts, strict=True) if count}

    def quantile_s(self, share: float) -> float | None:
        """The step at or below which `share` of the durations lie; None where there are none."""
        wanted = share * self.count
        seen = 0
        for step_s, count in zip(STEPS_S, self._counts, strict=False):
            seen += count
            if self.count and seen >= wanted:
                return min(step_s, self.max_s)
        return self.max_s if self.count else None

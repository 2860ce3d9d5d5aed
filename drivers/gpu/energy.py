"""A counter of energy that goes on where the driver's begins anew. Pure."""

from __future__ import annotations


class EnergyCounter:
    """The driver counts since it was loaded; this counts on for as long as it lives."""

    def __init__(self) -> None:
        self._before_j = 0.0
        self._last_j: float | None = None
        self.restarts = 0
        """How often the driver's counter was seen to begin anew."""

    def read(self, counted_j: float) -> float:
        """Take in what the driver counts now; gives the total, which never falls."""
        if self._last_j is not None and counted_j < self._last_j:
            self._before_j += self._last_j
            self.restarts += 1
        self._last_j = counted_j
        return self._before_j + counted_j

"""Whether something urgent is under way that reading and telling wait for."""

from __future__ import annotations

from drivers.api import Clock

MANY = 100
"""Fewer devices than this leave the processor time for everything else."""
LONGEST_S = 10.0
"""So long at most, whatever hangs: a site that is not read is not seen."""


class Precedence:
    """Counts the orders that shed load. While many are under way polls and messages wait.

    Ten thousand machines that are put to sleep keep a processor busy for seconds; what is read
    for their proof is read out of turn all the same.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._under_way = 0
        self._until = 0.0

    def begin(self) -> None:
        """One more is under way."""
        if not self._under_way:
            self._until = self._clock.monotonic() + LONGEST_S
        self._under_way += 1

    def end(self) -> None:
        """One less."""
        self._under_way -= 1

    @property
    def claimed(self) -> bool:
        """True while the others wait."""
        return self._under_way >= MANY and self._clock.monotonic() < self._until

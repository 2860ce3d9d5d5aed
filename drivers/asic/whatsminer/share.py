"""How it shows that a Whatsminer runs at a share of its power: by its watts alone.

Both APIs take the share of the power that the machine settled at, approximately, and keep it
nowhere: `hash_percent` and `power-percent` stood at 0 in recordings and in the manual's example.
"""

from __future__ import annotations

from drivers.actions import Check, Expectation, Relation
from drivers.asic.effects import within
from drivers.model import MinerReading, Reading, State

HOLDS_WITHIN = 1.05
"""The firmware calls its adjustment approximate."""
BACK_FROM = 0.9
FULL_PERCENT = 100.0
LOOK_AFTER_S = 1.0
HELD_UNTIL_S = 120.0
BACK_UNTIL_S = 600.0
"""Fast mode takes a second down; up again, the machine may have restarted in between."""


class Share:
    """What one machine draws when nothing holds it, as far as seen before it was first held."""

    __slots__ = ("_full_w", "_held", "_limit_w", "_power_w")

    def __init__(self) -> None:
        self._power_w: float | None = None
        """In the last reading, where nothing seemed to hold the machine."""
        self._limit_w: float | None = None
        self._full_w: float | None = None
        self._held = False

    def note(self, reading: Reading) -> None:
        """Remember what a reading shows."""
        if isinstance(reading, MinerReading):
            self._power_w = reading.power_w if _runs_free(reading) else None
            self._limit_w = reading.power_limit_w

    def hold(self, percent: float) -> Expectation | None:
        """What is to be seen after an order; raises `OutOfRange` beyond 1 to 100 %.

        That is what the manuals allow, less 0, which no machine can run at.
        """
        within(percent, 1, FULL_PERCENT, "%")
        if percent == FULL_PERCENT:
            self._held = False
            return self._back()
        if not self._held:
            self._full_w, self._held = self._power_w or self._full_w, True
        return self._below(percent / FULL_PERCENT * HOLDS_WITHIN)

    def _below(self, share: float) -> Expectation:
        base_w = self._full_w or self._limit_w
        check = (
            Check("power_w", Relation.AT_MOST, share * base_w)
            if base_w
            else Check("power_w", Relation.AT_MOST_OF_BEFORE, share)
        )
        return _expect(check, HELD_UNTIL_S)

    def _back(self) -> Expectation | None:
        """None where the machine was not seen before it was held: nothing tells its full power."""
        if self._full_w is None:
            return None
        full_w = min(self._full_w, self._limit_w or self._full_w)
        return _expect(Check("power_w", Relation.AT_LEAST, BACK_FROM * full_w), BACK_UNTIL_S)


def _runs_free(reading: MinerReading) -> bool:
    """Whether it mines at what it is rated for: an earlier run of ours may have held it."""
    rated_ths = reading.hashrate_nominal_ths
    if reading.state is not State.MINING or not rated_ths:
        return False
    return (reading.hashrate_ths or 0.0) >= BACK_FROM * rated_ths


def _expect(check: Check, until_s: float) -> Expectation:
    return Expectation(any_of=((check,),), look_after_s=LOOK_AFTER_S, until_s=until_s)

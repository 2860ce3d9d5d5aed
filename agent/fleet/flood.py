"""Keeps a fault that comes a thousand times a minute from being told a thousand times. Pure."""

from __future__ import annotations

import msgspec

BURST = 20
"""So many of one kind are told one by one."""
PERIOD_S = 60.0

Kind = tuple[str, str]
"""Whose fault it is, and its code."""


class _Window(msgspec.Struct):
    began_s: float
    told: int = 0
    untold: int = 0


class Flood:
    """Lets so many of each kind through in a period; the others are counted, and told by number."""

    def __init__(self, burst: int = BURST, period_s: float = PERIOD_S) -> None:
        self._burst = burst
        self._period_s = period_s
        self._windows: dict[Kind, _Window] = {}

    def repeats(self, kind: Kind, now_s: float) -> int | None:
        """How many before this one were not told; None where this one is not told either."""
        window = self._windows.get(kind)
        if window is None or now_s - window.began_s >= self._period_s:
            untold = window.untold if window else 0
            self._windows[kind] = _Window(now_s, told=1)
            return untold
        if window.told >= self._burst:
            window.untold += 1
            return None
        window.told += 1
        return 0

    def ended(self, now_s: float) -> list[tuple[Kind, int]]:
        """Kinds whose period is over, with how many of each were not told."""
        over = [
            kind
            for kind, window in self._windows.items()
            if now_s - window.began_s >= self._period_s
        ]
        return [(kind, self._windows.pop(kind).untold) for kind in over]

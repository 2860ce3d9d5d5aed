"""One XID, heard twice: from the driver and from the kernel's log. Pure.

Neither tells all: the driver's events begin when somebody listens, and its log may be cut. So both
are heard, and each that one of them tells is paired with one that the other tells of the same GPU
and code at about the same time. Two from the same source are always two.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from drivers.gpu.xid import XidTable

TOGETHER_S = 10.0
"""How far apart the two may tell of the same: the log is read with a delay, clocks are set."""
_KEPT = 1000


class Source(StrEnum):
    """Who tells."""

    DRIVER = "driver"
    KERNEL_LOG = "kernel_log"


_OTHER = {Source.DRIVER: Source.KERNEL_LOG, Source.KERNEL_LOG: Source.DRIVER}


class XidMerge:
    """Decides whether what is told is something new."""

    def __init__(self, table: XidTable, together_s: float = TOGETHER_S) -> None:
        self._table = table
        self._together_s = together_s
        self._unpaired: dict[tuple[Source, str, int], deque[float]] = {}
        self._last_line: dict[tuple[str, int], float] = {}

    def is_new(
        self, source: Source, gpu: str, xid: int, at_s: float, *, plain: bool = False
    ) -> bool:
        """Whether this is heard for the first time; `gpu` is the PCI address, `at_s` UTC.

        `plain` is for words of the log that come without a code, beside a line that may have one.
        """
        if source is Source.KERNEL_LOG and self._continues(gpu, xid, at_s, plain=plain):
            return False
        others = self._unpaired.get((_OTHER[source], gpu, xid), deque())
        for place, other_s in enumerate(others):
            if abs(other_s - at_s) <= self._together_s:
                del others[place]
                return False
        mine = self._unpaired.setdefault((source, gpu, xid), deque(maxlen=_KEPT))
        mine.append(at_s)
        while mine[0] < at_s - 2 * self._together_s:
            mine.popleft()
        return True

    def _continues(self, gpu: str, xid: int, at_s: float, *, plain: bool) -> bool:
        """Whether a line of the log belongs to the one before it."""
        last_s = self._last_line.get((gpu, xid))
        self._last_line[gpu, xid] = at_s
        within_s = self._together_s if plain else self._table.of(xid).burst_s
        return last_s is not None and 0 <= at_s - last_s < within_s

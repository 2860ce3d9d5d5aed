"""CPU time per unit of work, taken from the process's own accounting."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu_us_per_call(work: Callable[[], object], calls: int = 2000, rounds: int = 5) -> float:
    """The best round's CPU microseconds per call: noise only ever adds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(calls):
            work()
        best = min(best, (time.process_time() - began) / calls)
    return best * 1e6

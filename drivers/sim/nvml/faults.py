"""What can happen to calls of the fake NVML."""

from __future__ import annotations

import enum
import time
from types import TracebackType
from typing import Any


class Kind(enum.IntEnum):
    """What a fault does to the calls that it strikes; numbered as in C."""

    SLOW = 1
    """They take longer."""
    HANG = 2
    """They block until the fault is lifted; the thread sleeps, as in a wait that can be ended."""
    HANG_IN_D = 3
    """The same with the thread in state D. SIGKILL ends it, as it ends no driver's wait."""
    ERROR = 4
    """They fail."""
    LIE = 5
    """Those that write say that all is well, and write nothing."""


class Fault:
    """A fault that has been armed. As a context manager it is lifted at the end."""

    def __init__(self, steering: dict[str, Any], state: int, place: int) -> None:
        self._steering = steering
        self._state = state
        self._place = place

    @property
    def strikes(self) -> int:
        """How many calls it has struck; meaningless once lifted."""
        return self._wait(0xFFFFFFFF, 0)

    def wait(self, timeout_s: float, strikes: int = 1) -> bool:
        """Whether it has struck so often before the time is over."""
        until = time.monotonic() + timeout_s
        while (seen := self.strikes) < strikes:
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._wait(seen, int(left * 1000) + 1)
        return True

    def lift(self) -> None:
        """End it; hung calls go on."""
        self._steering["lift"](self._state, self._place)

    def _wait(self, seen: int, timeout_ms: int) -> int:
        return int(self._steering["strikes"](self._state, self._place, seen, timeout_ms))

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lift()

"""Whether the service that reads this host's GPUs is there: told once, not for each of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from agent.fleet.events import Event
from drivers.api import Clock
from drivers.api_gpu import Verdict
from drivers.errors import DriverError

log = logging.getLogger("stoker.gpu")

GRACE_S = 15.0
"""A service that is restarted is back before anybody has to know."""


class ServiceWatch:
    """Takes what came of each attempt, and tells when it is away for long, and back."""

    def __init__(
        self,
        clock: Clock,
        tell: Callable[[Event], None],
        unserved: Callable[[int], None],
        concerned: Callable[[Verdict], int],
    ) -> None:
        """`unserved` is told how many GPUs are not read for it, `concerned` knows how many."""
        self._clock = clock
        self._tell = tell
        self._unserved = unserved
        self._concerned = concerned
        self._failing_since: float | None = None
        self._told = ""
        """The error that was told, as long as it stands."""

    def answered(self) -> None:
        """It did what was asked."""
        self._failing_since = None
        if self._told:
            self._told = ""
            self._unserved(0)
            self._event("gpu.served", "the GPUs are read again", {})

    def failed(self, error: DriverError, verdict: Verdict) -> bool:
        """It did not; whether that has lasted."""
        now = self._clock.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if not self._told and now - self._failing_since < GRACE_S:
            return False
        concerned = self._concerned(verdict)
        self._unserved(concerned)
        name = type(error).__name__
        if concerned and self._told != name:
            self._told = name
            self._event("gpu.unserved", str(error), {"error": name, "devices": concerned})
        return True

    def _event(self, name: str, message: str, details: dict[str, str | int]) -> None:
        log.warning("%s: %s", name, message)
        at = datetime.fromtimestamp(self._clock.now(), UTC)
        self._tell(Event(name=name, at=at, message=message, details=dict(details)))

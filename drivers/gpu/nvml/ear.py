"""Keeps hearing what the driver tells: begins anew when that fails, ever more rarely."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection

from drivers.errors import DriverError
from drivers.gpu.answers import EventKind
from drivers.gpu.errands import Noticed
from drivers.gpu.nvml.events import EventWatch
from drivers.gpu.nvml.held import Held
from drivers.gpu.nvml.session import Nvml
from drivers.gpu.pause import Pause

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0


class Ear:
    """Hears the events of the GPUs that were named last."""

    def __init__(self, nvml: Nvml, tell: Callable[[Noticed], None]) -> None:
        self._nvml = nvml
        self._tell = tell
        self._watch: EventWatch | None = None
        self._gpus: Collection[Held] = ()
        self._pause = Pause(FIRST_PAUSE_S, LONGEST_PAUSE_S)

    @property
    def hears(self) -> bool:
        """Whether something is told; not where no GPU can tell anything."""
        return self._watch is not None and self._watch.hears

    def turn_to(self, gpus: Collection[Held]) -> None:
        """Hear these from now on."""
        self.close()
        self._gpus = gpus
        self._begin()

    def look(self) -> None:
        """Begin anew where it failed and a pause is over."""
        if self.hears or not self._gpus or not self._pause.over(time.monotonic()):
            return
        self.close()
        self._begin()
        if self.hears:
            message = "the driver tells events again"
            self._tell(Noticed(kind=EventKind.EVENTS_HEARD, at=time.time(), message=message))

    def close(self) -> None:
        """Hear no more."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _begin(self) -> None:
        with contextlib.suppress(DriverError):
            self._watch = EventWatch(self._nvml, self._gpus, self._tell)
        self._pause.failed(time.monotonic())  # the next try, should this one fail later

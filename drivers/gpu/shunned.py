"""GPUs that are left alone since a child hangs on them, or hung or died on them. Pure."""

from __future__ import annotations

from drivers.errors import DriverError
from drivers.gpu.bounds import Bounds
from drivers.gpu.errors import DriverHung
from drivers.gpu.pause import Pause


class Shunned:
    """By UUID, those that no child may touch now, and until when."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._held: dict[str, str] = {}
        self._pauses: dict[str, Pause] = {}
        self._why: dict[str, DriverError] = {}

    def hold(self, uuid: str, why: str) -> None:
        """A child waits in it."""
        if uuid:
            self._held[uuid] = why
            self._why[uuid] = DriverHung(why)

    def free(self, uuid: str) -> None:
        """The child came back: it was slow, no more."""
        self._held.pop(uuid, None)

    def rest(self, uuid: str, why: DriverError, now_s: float) -> None:
        """The child is gone: leave the GPU alone for a while, longer each time."""
        self._held.pop(uuid, None)
        if not uuid:
            return
        pause = self._pauses.get(uuid)
        if pause is None:
            pause = Pause(self._bounds.shun_first_s, self._bounds.shun_most_s)
            self._pauses[uuid] = pause
        pause.failed(now_s)
        self._why[uuid] = why

    def why(self, uuid: str, now_s: float) -> DriverError | None:
        """Why this GPU is not to be touched now, if so."""
        return self._why[uuid] if uuid in self.all(now_s) else None

    def all(self, now_s: float) -> tuple[str, ...]:
        """Those that are not to be touched now."""
        resting = {uuid for uuid, pause in self._pauses.items() if not pause.over(now_s)}
        return tuple(sorted(self._held.keys() | resting))

    def forgive(self) -> None:
        """Touch again those on which no child waits."""
        self._pauses.clear()

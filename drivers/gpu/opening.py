"""Starts a child and has it open the driver, which may take long, fail, or never end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from drivers.gpu.bounds import Bounds
from drivers.gpu.errands import Enumerated, Errand, NotDone, Returned
from drivers.gpu.errors import DriverHung, NvmlFailed, Restarting
from drivers.gpu.worker import Worker


class Opening:
    """At most one start under way. Goes on in the background while those who wait are told so."""

    def __init__(self, bounds: Bounds, spawn: Callable[[], Worker]) -> None:
        self._bounds = bounds
        self._spawn = spawn
        self._task: asyncio.Task[tuple[Worker, Enumerated]] | None = None
        self._began_s = 0.0
        self.worker: Worker | None = None
        """The child that is on its way, or whose start came to nothing."""

    @property
    def under_way(self) -> bool:
        """Whether one is on its way, or there and not yet asked for."""
        return self._task is not None

    def begin(self, errand: Callable[[int], Errand]) -> None:
        """Start one, with this to do first."""
        self._began_s = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._open(errand))

    async def done(self, within_s: float) -> tuple[Worker, Enumerated]:
        """The child and its first answer; raises a `DriverError`.

        `Restarting` while it is still under way, and `DriverHung` where it was given up.
        """
        if self._task is None:
            raise Restarting("no child is being started")
        await asyncio.wait({self._task}, timeout=within_s)
        if not self._task.done():
            for_s = time.monotonic() - self._began_s
            raise Restarting(f"the driver is being opened, for {for_s:.0f} s so far")
        task, self._task = self._task, None
        return task.result()

    def cancel(self) -> Worker | None:
        """Give it up; gives the child, where there is one."""
        if self._task is None:
            return None
        self._task.cancel()
        self._task = None
        return self.worker

    async def _open(self, errand: Callable[[int], Errand]) -> tuple[Worker, Enumerated]:
        self.worker = None
        try:
            worker = self.worker = self._spawn()
        except OSError as error:
            raise NvmlFailed(f"the child cannot be started: {error.strerror}") from error
        returned = await self._answered(worker, worker.ask(errand))
        if isinstance(returned, NotDone):
            raise returned.problem.error()
        if not isinstance(returned, Enumerated):
            raise NvmlFailed("the child does not answer what it was asked")
        return worker, returned

    async def _answered(self, worker: Worker, answer: asyncio.Future[Returned]) -> Returned:
        limit_s = self._bounds.opening_hung_s
        while not answer.done():
            left_s = limit_s - worker.called_for_s()
            if left_s <= 0:
                raise DriverHung(f"{worker.call().operation} has not come back for {limit_s:.0f} s")
            await asyncio.wait({answer}, timeout=left_s + 0.005)
        return answer.result()

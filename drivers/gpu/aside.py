"""The children that serve no more: stuck in a call, or let go, each followed to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from drivers.gpu.answers import EventKind
from drivers.gpu.bounds import Bounds
from drivers.gpu.errands import Returned
from drivers.gpu.errors import DriverHung
from drivers.gpu.kernel import KernelState
from drivers.gpu.shunned import Shunned
from drivers.gpu.stuck import Stuck, see_off
from drivers.gpu.unit import Unit
from drivers.gpu.worker import Worker

Answer = asyncio.Future[Returned]


class Tell(Protocol):
    """Told what happens."""

    def __call__(
        self, kind: EventKind, message: str, *, uuid: str | None = None, operation: str = ""
    ) -> None:
        """Tell it."""
        ...


class Aside:
    """Follows them; a unit whose call comes back after all is settled as if nothing had been."""

    def __init__(
        self,
        bounds: Bounds,
        tell: Tell,
        shunned: Shunned,
        settle: Callable[[Worker, Unit, Answer], None],
    ) -> None:
        self._bounds = bounds
        self._tell = tell
        self._shunned = shunned
        self._settle = settle
        self._followers: set[asyncio.Task[None]] = set()
        self.stuck: list[Stuck] = []
        self.workers: set[Worker] = set()
        """All that may still live."""

    def put(
        self, worker: Worker, uuid: str, unit: Unit | None = None, answer: Answer | None = None
    ) -> None:
        """Set a child aside that waits in a call on this GPU."""
        stuck = Stuck(worker, uuid, worker.call().operation)
        self.stuck.append(stuck)
        self._shunned.hold(uuid, stuck.words())
        if answer is None or stuck.waited_s() < self._bounds.hung_s:
            self._tell(EventKind.SLOW, stuck.words(), uuid=uuid, operation=stuck.operation)
        self._start(worker, self._follow(stuck, unit, answer))

    def dismiss(self, worker: Worker) -> None:
        """Have a child end that does not hang; it is asked to, then told to."""
        worker.let_go()
        self._start(worker, self._see_off_quietly(worker))

    async def stop(self) -> None:
        """Follow no further; what still lives is left to itself."""
        for task in self._followers:
            task.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)

    def _start(self, worker: Worker, follow: Coroutine[Any, Any, None]) -> None:
        self.workers.add(worker)
        task = asyncio.get_running_loop().create_task(follow)
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)

    async def _follow(self, stuck: Stuck, unit: Unit | None, answer: Answer | None) -> None:
        worker, uuid = stuck.worker, stuck.uuid
        if answer is not None and await self._comes_back(worker, answer):
            self._shunned.free(uuid)
            if unit is not None:
                self._settle(worker, unit, answer)
            self._free(stuck, "came back")
            worker.let_go()
            await self._see_off_quietly(worker)
            return
        words = stuck.words()
        self._shunned.hold(uuid, words)
        self._tell(EventKind.HUNG, words, uuid=uuid, operation=stuck.operation)
        if unit is not None:
            unit.fail(DriverHung(words), uncertain=True)
        await see_off(worker, self._bounds, lambda state: self._killed(stuck, state))
        self._shunned.rest(uuid, DriverHung(words), time.monotonic())
        self._free(stuck, "ended with its process")
        self.workers.discard(worker)

    async def _comes_back(self, worker: Worker, answer: Answer) -> bool:
        while not answer.done():
            left_s = self._bounds.hung_s - worker.called_for_s()
            if left_s <= 0:
                return False
            await asyncio.wait({answer}, timeout=left_s + 0.005)
        return True

    def _free(self, stuck: Stuck, how: str) -> None:
        self.stuck.remove(stuck)
        message = f"{stuck.operation} {how} after {stuck.waited_s():.1f} s"
        self._tell(EventKind.FREED, message, uuid=stuck.uuid, operation=stuck.operation)

    def _killed(self, stuck: Stuck, state: KernelState) -> None:
        message = f"process {stuck.worker.pid} does not go, state {state.state}: it is killed"
        self._tell(EventKind.CHILD_ENDED, message, uuid=stuck.uuid, operation=stuck.operation)

    async def _see_off_quietly(self, worker: Worker) -> None:
        if not await worker.gone(self._bounds.leave_s):
            await see_off(worker, self._bounds, lambda _: None)
        self.workers.discard(worker)

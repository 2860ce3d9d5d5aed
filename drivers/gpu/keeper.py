"""Keeps one child serving, whatever becomes of others. Never calls NVML, and never waits for it.

Units are carried out one after the other. A child whose call does not come back is set aside,
with the GPU that it hangs on; a new one serves the other GPUs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from drivers.errors import DriverError
from drivers.gpu.answers import EventKind
from drivers.gpu.aside import Answer, Aside, Tell
from drivers.gpu.bounds import STUCK_MOST, Bounds
from drivers.gpu.errands import Enumerate, Enumerated, Errand, NotDone, Returned
from drivers.gpu.errors import Cause, DriverHung, GpuLost, GpuUnknown, Released, Restarting
from drivers.gpu.opening import Opening
from drivers.gpu.pause import Pause
from drivers.gpu.roll import Roll
from drivers.gpu.shunned import Shunned
from drivers.gpu.unit import DRIVER, Queue, Unit
from drivers.gpu.worker import Worker

TEND_S = 0.5
_DRIVER_GONE = (Cause.VERSION_MISMATCH, Cause.NOT_LOADED)


class _Again(Exception):
    """The child was set aside before the unit was asked of it."""


class Keeper:
    """The child that serves, and the queue before it."""

    def __init__(self, bounds: Bounds, tell: Tell, spawn: Callable[[], Worker]) -> None:
        self._bounds = bounds
        self._tell = tell
        self.roll = Roll()
        self.queue = Queue()
        self.shunned = Shunned(bounds)
        self.aside = Aside(bounds, tell, self.shunned, self._settle)
        self.opening = Opening(bounds, spawn)
        self.worker: Worker | None = None
        self.released: Released | None = None
        self.outage: DriverError | None = None
        """Why the driver could not be opened the last time."""
        self.pause = Pause(bounds.again_first_s, bounds.again_most_s)
        self.tried = asyncio.Event()
        """Set once the driver has been opened, or could not be."""
        self._renew = False
        self._skip: tuple[str, ...] = ()
        self._find_lost = Pause(bounds.lost_again_s, bounds.lost_again_s)
        self._handover_at_s = 0.0

    def ask(
        self, uuid: str, errand: Callable[[int], Errand], within_s: float, *, urgent: bool = False
    ) -> asyncio.Future[Returned]:
        """Have something asked of one GPU; fails with a `DriverError`, at the latest in time."""
        unit = Unit(uuid, errand, within_s)
        self.queue.put(unit, urgent=urgent)
        return unit.future

    def enumerate(self, within_s: float) -> asyncio.Future[Returned]:
        """Have the driver list its GPUs, and now and then look for those that are lost."""
        now_s = time.monotonic()
        if self.roll.lost and self._find_lost.over(now_s):
            self._find_lost.failed(now_s)
            self._renew = True
        return self.ask(DRIVER, self._enumeration(renew=False), within_s)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            unit = await self.queue.get()
            if unit.over:
                continue
            try:
                worker = await self._ready(unit)
                await self._attend(worker, unit)
            except _Again:
                self.queue.put_back(unit)
            except DriverError as error:
                unit.fail(error)

    async def tend(self) -> None:
        """Have a child where none is, so that events are heard though nobody asks."""
        while True:
            if self.worker is not None and self.worker.ended.is_set():
                self._died(self.worker, DRIVER)
            if self._wants_child() and not self.queue:
                self.enumerate(self._bounds.slow_s)
            await asyncio.sleep(TEND_S)

    async def release(self, why: Released, within_s: float) -> bool:
        """Let go of all GPUs; whether no process of ours holds one any more."""
        self.released = why
        self.queue.fail_all(why)
        for worker in (self.worker, self.opening.cancel()):
            if worker is not None:
                self.aside.dismiss(worker)
        self.worker = None
        until_s = time.monotonic() + within_s
        for worker in list(self.aside.workers):
            if not await worker.gone(max(0.0, until_s - time.monotonic())):
                return False
        return True

    def resume(self) -> None:
        """Take the GPUs up again, without any waiting that is left from a failure."""
        self.released = None
        self.pause.forget()
        self.shunned.forgive()

    async def stop(self) -> None:
        """Have all children end, and wait shortly; those that hang are left to themselves."""
        await self.release(Released("stoker-gpu stops"), self._bounds.stop_s)
        await self.aside.stop()
        for worker in self.aside.workers:
            worker.forget()

    def _wants_child(self) -> bool:
        return (
            self.worker is None
            and self.released is None
            and len(self.aside.stuck) < STUCK_MOST
            and (self.opening.under_way or self.pause.over(time.monotonic()))
        )

    # --- a child that serves -----------------------------------------------------------------

    async def _ready(self, unit: Unit) -> Worker:
        """A child that may touch the unit's GPU."""
        if why := self.shunned.why(unit.uuid, time.monotonic()):
            raise why
        worker = await self._serving()
        if self._renew or worker.skip != self.shunned.all(time.monotonic()):
            await self._reopen(worker)
        if unit.uuid in self.roll.lost:
            raise GpuLost(self.roll.lost[unit.uuid])
        if unit.uuid != DRIVER and unit.uuid not in self.roll.addresses:
            raise GpuUnknown(f"{unit.uuid}: there never was such a GPU here")
        return worker

    async def _serving(self) -> Worker:
        if self.released is not None:
            raise self.released
        if self.worker is not None and self.worker.ended.is_set():
            self._died(self.worker, DRIVER)
        if self.worker is not None:
            return self.worker
        if len(self.aside.stuck) >= STUCK_MOST:
            raise DriverHung(f"{STUCK_MOST} processes wait in the driver, and no more are sent")
        if not self.opening.under_way:
            if not self.pause.over(time.monotonic()):
                raise self.outage or Restarting("the driver is tried again shortly")
            self._skip = self.shunned.all(time.monotonic())
            self.opening.begin(self._enumeration(renew=False))
        return await self._opened()

    async def _opened(self) -> Worker:
        try:
            worker, enumerated = await self.opening.done(self._bounds.slow_s)
        except DriverError as error:
            if not self.opening.under_way:
                self._not_opened(error)
            raise
        self.tried.set()
        self.worker, self.outage, self._renew = worker, None, False
        worker.skip = self._skip
        self._tell(EventKind.CHILD_STARTED, f"process {worker.pid} calls the driver")
        self._absorb(enumerated, worker.skip)
        return worker

    def _not_opened(self, error: DriverError) -> None:
        worker = self.opening.worker
        if worker is not None and isinstance(error, DriverHung):
            self.aside.put(worker, self.roll.uuid_of(worker.call().uuid))
        elif worker is not None:
            self.aside.dismiss(worker)
        self._failed(error)

    def _failed(self, error: DriverError) -> None:
        if type(error) is not type(self.outage):
            self._tell(EventKind.CHILD_ENDED, f"the driver cannot be opened: {error}")
        self.tried.set()
        self.outage = error
        self.pause.failed(time.monotonic())

    async def _reopen(self, worker: Worker) -> None:
        """Have the child open GPUs anew: other ones may be touched, or the driver is another."""
        renew, self._renew = self._renew, False
        worker.skip = self.shunned.all(time.monotonic())
        answer = worker.ask(self._enumeration(renew=renew))
        if await self._stalls(worker, answer):
            self._set_aside(worker, None, answer)
            raise _Again
        returned = self._returned(worker, DRIVER, answer)
        if isinstance(returned, NotDone):
            if returned.problem.cause is Cause.HANDLES_GONE and not renew:
                self._renew = True
                raise _Again
            self._dismiss(worker, returned.problem.error())
            raise returned.problem.error()
        if isinstance(returned, Enumerated):
            self._absorb(returned, worker.skip)

    def _enumeration(self, *, renew: bool) -> Callable[[int], Errand]:
        return lambda number: Enumerate(
            id=number,
            known=self.roll.addresses,
            skip=self.shunned.all(time.monotonic()),
            renew=renew,
        )

    def _absorb(self, enumerated: Enumerated, skip: tuple[str, ...]) -> None:
        for change in self.roll.absorb(enumerated, skip):
            self._tell(change.kind, change.message, uuid=change.uuid)

    # --- one unit ----------------------------------------------------------------------------

    async def _attend(self, worker: Worker, unit: Unit) -> None:
        answer = worker.ask(unit.errand)
        unit.begun = True
        if await self._stalls(worker, answer):
            self._set_aside(worker, unit, answer)
        else:
            self._settle(worker, unit, answer)

    async def _stalls(self, worker: Worker, answer: Answer) -> bool:
        """Whether a call of this child has taken too long for the others to wait for it."""
        limit_s = self._bounds.slow_s
        while not answer.done():
            left_s = limit_s - worker.called_for_s()
            if left_s > 0:
                await asyncio.wait({answer}, timeout=left_s + 0.005)
            elif limit_s == self._bounds.hung_s or self._may_hand_over():
                return True
            else:
                limit_s = self._bounds.hung_s
        return False

    def _may_hand_over(self) -> bool:
        now_s = time.monotonic()
        if self.aside.stuck or now_s < self._handover_at_s:
            return False
        self._handover_at_s = now_s + self._bounds.handover_s
        return True

    def _set_aside(self, worker: Worker, unit: Unit | None, answer: Answer) -> None:
        self.worker = None
        self.aside.put(worker, self.roll.uuid_of(worker.call().uuid), unit, answer)

    def _settle(self, worker: Worker, unit: Unit, answer: Answer) -> None:
        try:
            returned = self._returned(worker, unit.uuid, answer)
        except Restarting as error:
            unit.fail(error, uncertain=True)
            return
        if isinstance(returned, NotDone):
            self._not_done(worker, unit, returned)
            return
        if isinstance(returned, Enumerated):
            self._absorb(returned, worker.skip)
        unit.finish(returned)

    def _not_done(self, worker: Worker, unit: Unit, returned: NotDone) -> None:
        cause, error = returned.problem.cause, returned.problem.error()
        if cause is Cause.HANDLES_GONE and not unit.repeated:
            # nothing was done: the driver that should have done it is gone
            self._renew = unit.repeated = True
            unit.begun = False
            self.queue.put_back(unit)
            return
        if cause in _DRIVER_GONE:
            self._dismiss(worker, error)
        elif cause is Cause.LOST and (change := self.roll.lose(unit.uuid, str(error))):
            self._tell(change.kind, change.message, uuid=change.uuid)
        unit.fail(error)

    def _returned(self, worker: Worker, uuid: str, answer: Answer) -> Returned:
        try:
            return answer.result()
        except Restarting:
            self._died(worker, uuid)
            raise

    def _dismiss(self, worker: Worker, error: DriverError) -> None:
        if self.worker is worker:
            self.worker = None
            self.aside.dismiss(worker)
            self._failed(error)

    def _died(self, worker: Worker, uuid: str) -> None:
        """A child ended by itself; where it was reading a GPU, that is left alone for a while."""
        if self.worker is not worker:
            return
        self.worker = None
        if self.released is not None:
            return
        call = worker.call()
        last = f" in {call.operation}" if call.began_s is not None else ""
        error = Restarting(f"process {worker.pid} ended{last} with code {worker.code}")
        self._tell(EventKind.CHILD_ENDED, str(error), uuid=uuid or None, operation=call.operation)
        self.shunned.rest(uuid, error, time.monotonic())
        self.pause.failed(time.monotonic())

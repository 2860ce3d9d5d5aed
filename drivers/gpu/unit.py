"""One thing to be asked of the child, with its deadline; and the queue that it waits in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from drivers.errors import DeviceTimeout, DriverError
from drivers.gpu.errands import Errand, Returned

DRIVER = ""
"""Stands for the UUID where it concerns no GPU alone."""


class Unit:
    """What is asked of one GPU. Its future always ends by the deadline."""

    def __init__(self, uuid: str, errand: Callable[[int], Errand], within_s: float) -> None:
        """Needs a running event loop."""
        loop = asyncio.get_running_loop()
        self.uuid = uuid
        self.errand = errand
        self.begun = False
        """Whether the driver is asked it now, or was."""
        self.repeated = False
        """Whether it was already asked once, of a driver that has been reloaded since."""
        self.future: asyncio.Future[Returned] = loop.create_future()
        self._timer = loop.call_later(within_s, self._late)
        self.future.add_done_callback(self._end)

    def _late(self) -> None:
        if self.begun:
            self.fail(DeviceTimeout("the driver has not answered in time"), uncertain=True)
        else:
            self.fail(DeviceTimeout("its turn did not come in time: the driver is slow"))

    def _end(self, future: asyncio.Future[Returned]) -> None:
        self._timer.cancel()
        if not future.cancelled():
            future.exception()  # looked at: asyncio complains of failures that nobody waits for

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done()

    def finish(self, returned: Returned) -> None:
        """Its answer."""
        if not self.future.done():
            self.future.set_result(returned)

    def fail(self, error: DriverError, *, uncertain: bool = False) -> None:
        """Its failure; `uncertain` where the driver was asked and may do it all the same."""
        if not self.future.done():
            error.sent = uncertain
            self.future.set_exception(error)


class Queue:
    """Units in the order of their coming, those that change something before those that read."""

    def __init__(self) -> None:
        self._lanes: tuple[deque[Unit], deque[Unit]] = (deque(), deque())
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return sum(len(lane) for lane in self._lanes)

    def put(self, unit: Unit, *, urgent: bool) -> None:
        """Take one in."""
        self._lanes[0 if urgent else 1].append(unit)
        self._news.set()

    def put_back(self, unit: Unit) -> None:
        """Take one in again, before all others."""
        self._lanes[0].appendleft(unit)
        self._news.set()

    async def get(self) -> Unit:
        """The next one; waits for it."""
        while True:
            for lane in self._lanes:
                if lane:
                    return lane.popleft()
            self._news.clear()
            await self._news.wait()

    def fail_all(self, error: DriverError) -> None:
        """Nobody will be asked."""
        for lane in self._lanes:
            while lane:
                lane.popleft().fail(error)

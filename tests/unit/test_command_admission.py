"""How many are under way at once: in the order of coming, and the slow make room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from agent.command.admission import PATIENCE_S, Admission
from tests.fakes import settled_loop


class Time:
    """The loop's own time, moved by the test."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time()

    async def reach(self, at: float) -> None:
        self.now = at
        await settled_loop()


class Queue:
    """People who come, hold a place, and go when they are told to."""

    def __init__(self, limit: int) -> None:
        self.admission = Admission(limit)
        self.inside: list[int] = []
        self._doors: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, *names: int) -> None:
        for name in names:
            self._doors[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._hold(name))
        await settled_loop()

    async def _hold(self, name: int) -> None:
        async with self.admission.place():
            self.inside.append(name)
            try:
                await self._doors[name].wait()
            finally:
                self.inside.remove(name)

    async def go(self, *names: int) -> None:
        for name in names:
            self._doors[name].set()
        await settled_loop()

    def cancel(self, name: int) -> None:
        self._tasks[name].cancel()

    async def empty(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    loop = asyncio.get_running_loop()
    time = Time(loop)
    monkeypatch.setattr(loop, "time", lambda: time.now)
    return time


@pytest.fixture
async def queue() -> Iterator[Queue]:
    queue = Queue(2)
    yield queue
    await queue.empty()


async def test_no_more_than_the_limit_and_in_the_order_of_coming(time, queue) -> None:
    await queue.come(1, 2, 3, 4, 5)
    assert queue.inside == [1, 2]
    await queue.go(2)
    assert queue.inside == [1, 3]
    await queue.go(1, 3)
    assert queue.inside == [4, 5]


async def test_places_that_nobody_waits_for_are_free_again(time, queue) -> None:
    await queue.come(1, 2)
    await queue.go(1, 2)
    await queue.come(3, 4, 5)
    assert queue.inside == [3, 4]


async def test_who_takes_too_long_makes_room_and_goes_on(time, queue) -> None:
    began = time.now
    await queue.come(1, 2, 3, 4, 5)
    await time.reach(began + PATIENCE_S * 0.9)
    assert queue.inside == [1, 2]
    await time.reach(began + PATIENCE_S * 1.1)
    assert queue.inside == [1, 2, 3, 4]
    await queue.go(1)  # it gave its place back already
    assert queue.inside == [2, 3, 4]
    await queue.go(3)
    assert queue.inside == [2, 4, 5]


async def test_a_place_is_given_back_once_however_late_the_loop(time, queue) -> None:
    """The patience ends, and whoever holds the place leaves before the loop has noticed."""
    await queue.come(1, 2)
    time.now += PATIENCE_S * 1.1
    await queue.go(1, 2)
    await queue.come(3, 4, 5)
    assert queue.inside == [3, 4]


async def test_a_place_is_given_back_once_however_coarse_the_clock(time, queue) -> None:
    """Loops call what is due within the resolution of their clock, which is before its time."""
    began = time.now
    await queue.come(1, 2)
    await time.reach(began + PATIENCE_S - 0.5e-9)
    await queue.go(1, 2)
    await queue.come(3, 4, 5)
    assert queue.inside == [3, 4]


async def test_who_fails_gives_the_place_back(time) -> None:
    admission = Admission(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            async with admission.place():
                raise ValueError("no")
    async with admission.place():
        pass


async def test_who_leaves_the_queue_is_not_waited_for(time, queue) -> None:
    await queue.come(1, 2, 3, 4)
    queue.cancel(3)
    await settled_loop()
    await queue.go(1)
    assert queue.inside == [2, 4]


async def test_who_is_called_and_leaves_passes_the_place_on(time, queue) -> None:
    await queue.come(1, 2, 3, 4)
    queue._doors[1].set()
    while queue.inside == [1, 2]:
        await asyncio.sleep(0)
    queue.cancel(3)  # it has been called, and has not come in
    await settled_loop()
    assert queue.inside == [2, 4]


async def test_who_is_cancelled_inside_gives_the_place_back(time, queue) -> None:
    await queue.come(1, 2, 3)
    queue.cancel(1)
    await settled_loop()
    assert queue.inside == [2, 3]


async def test_one_who_wants_a_single_place_does_not_wait_for_ten_thousand() -> None:
    admission = Admission(1)
    held = admission.place("many")
    await held.__aenter__()
    order: list[str] = []

    async def want(whose: str) -> None:
        async with admission.place(whose):
            order.append(whose)

    tasks = [asyncio.create_task(want("many")) for _ in range(5)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(want("one")))
    await asyncio.sleep(0)
    await held.__aexit__()
    await asyncio.gather(*tasks)
    assert order.index("one") <= 1
    assert order.count("many") == 5

"""A queue with a bounded number of workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from agent.fleet.lane import Lane
from tests.fakes import settled_loop


class Worker:
    """Notes what it does, and waits where told."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.done: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, piece: int) -> None:
        self.started.append(piece)
        await self.gate.wait()
        self.done.append(piece)


@pytest.fixture
async def worker() -> Worker:
    return Worker()


@asynccontextmanager
async def lane_of(limit: int, work: Callable[[int], Awaitable[None]]) -> AsyncIterator[Lane[int]]:
    async with asyncio.TaskGroup() as group:
        lane: Lane[int] = Lane("test", limit, work, group)
        yield lane
        await settled_loop()
        lane.dismiss()  # and the group ends, since no worker is left


async def test_work_is_done_in_order(worker):
    async with lane_of(1, worker) as lane:
        for piece in range(5):
            lane.put(piece)
        await lane.until(lambda: len(worker.done) == 5)
        assert worker.done == [0, 1, 2, 3, 4]


async def test_no_more_than_the_limit_work_at_once(worker):
    worker.gate.clear()
    async with lane_of(3, worker) as lane:
        for piece in range(10):
            lane.put(piece)
        await settled_loop()
        assert worker.started == [0, 1, 2]
        assert (lane.busy, len(lane)) == (3, 7)
        worker.gate.set()
        await lane.until(lambda: not lane.busy and not len(lane))
        assert sorted(worker.done) == list(range(10))


async def test_workers_live_on_and_none_is_hired_while_one_is_idle(worker):
    tasks = set()

    async def work(piece: int) -> None:
        tasks.add(asyncio.current_task())
        await worker(piece)

    async with lane_of(5, work) as lane:
        for piece in range(20):
            lane.put(piece)
            await lane.until(lambda piece=piece: len(worker.done) == piece + 1 and not lane.busy)
        assert len(tasks) == 1


async def test_an_idle_worker_that_was_called_counts_as_busy_at_once(worker):
    async with lane_of(1, worker) as lane:
        lane.put(1)
        await lane.until(lambda: not lane.busy)
        lane.put(2)
        assert lane.busy == 1
        await lane.until(lambda: worker.done == [1, 2])


async def test_cancelling_the_group_ends_workers_at_work_and_idle_ones(worker):
    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            lane: Lane[int] = Lane("test", 2, worker, group)
            lane.put(1)
            await lane.until(lambda: worker.done == [1])
            worker.gate.clear()
            lane.put(2)
            lane.put(3)
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    while len(worker.started) < 3:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert worker.done == [1]


async def test_put_after_an_idle_worker_was_cancelled_still_gets_done(worker):
    """A future that is already over is passed over, not taken for a worker."""
    async with lane_of(2, worker) as lane:
        lane.put(1)
        await lane.until(lambda: not lane.busy)
        lane._idle[0].cancel()
        lane.put(2)
        await lane.until(lambda: worker.done == [1, 2])

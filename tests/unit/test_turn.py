"""Whose turn it is: one at a time, the urgent first, and reading yields to it."""

from __future__ import annotations

import asyncio

import pytest

from agent.fleet.turn import Preempted, Rank, Turn
from tests.fakes import settled_loop


class Log:
    """Who held the turn, in order; each holder waits until it is let go."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.order: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def read(self, name: str) -> None:
        gate = self.gates[name] = asyncio.Event()
        try:
            async with self.turn:
                self.order.append(name)
                await gate.wait()
        except Preempted:
            self.order.append(f"{name} preempted")

    async def act(self, name: str, rank: Rank) -> None:
        gate = self.gates[name] = asyncio.Event()
        async with self.turn.action(rank):
            self.order.append(name)
            await gate.wait()

    def let_go(self, *names: str) -> None:
        for name in names:
            self.gates[name].set()


async def test_one_at_a_time_and_the_urgent_first() -> None:
    log = Log()
    async with asyncio.TaskGroup() as group:
        group.create_task(log.act("first", Rank.ACTION))
        await settled_loop()
        group.create_task(log.read("reader"))
        group.create_task(log.act("second", Rank.ACTION))
        group.create_task(log.act("urgent", Rank.URGENT))
        await settled_loop()
        assert log.order == ["first"]
        assert log.turn.acted_on
        log.let_go("first", "reader", "second", "urgent")
    assert log.order == ["first", "urgent", "second", "reader"]
    assert not log.turn.acted_on


async def test_the_urgent_takes_the_turn_from_a_reading() -> None:
    log = Log()
    async with asyncio.TaskGroup() as group:
        group.create_task(log.read("reader"))
        await settled_loop()
        assert not log.turn.acted_on
        group.create_task(log.act("urgent", Rank.URGENT))
        await settled_loop()
        assert log.order == ["reader", "reader preempted", "urgent"]
        log.let_go("urgent")


async def test_an_ordinary_action_waits_for_a_reading() -> None:
    log = Log()
    async with asyncio.TaskGroup() as group:
        group.create_task(log.read("reader"))
        await settled_loop()
        group.create_task(log.act("action", Rank.ACTION))
        await settled_loop()
        assert log.order == ["reader"]
        log.let_go("reader", "action")
    assert log.order == ["reader", "action"]


async def test_an_action_is_never_interrupted() -> None:
    log = Log()
    async with asyncio.TaskGroup() as group:
        group.create_task(log.act("action", Rank.ACTION))
        await settled_loop()
        group.create_task(log.act("urgent", Rank.URGENT))
        await settled_loop()
        assert log.order == ["action"]
        log.let_go("action", "urgent")


async def test_a_reader_that_is_cancelled_for_good_stays_cancelled() -> None:
    log = Log()
    reader = asyncio.create_task(log.read("reader"))
    await settled_loop()
    urgent = asyncio.create_task(log.act("urgent", Rank.URGENT))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await settled_loop()
    log.let_go("urgent")
    await urgent
    assert log.order == ["reader", "urgent"]


async def test_who_leaves_the_queue_does_not_keep_the_turn() -> None:
    log = Log()
    async with asyncio.TaskGroup() as group:
        group.create_task(log.act("first", Rank.ACTION))
        await settled_loop()
        leaver = group.create_task(log.act("leaver", Rank.ACTION))
        group.create_task(log.act("last", Rank.ACTION))
        await settled_loop()
        log.let_go("first", "last")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaver.cancel()
        log.let_go("leaver")
    assert log.order[-1] == "last"
    assert not log.turn.acted_on


async def test_a_reading_that_ends_before_its_interruption_arrives_counts_as_interrupted() -> None:
    turn, ended = Turn(), asyncio.Event()

    async def read() -> str:
        try:
            async with turn:
                await ended.wait()
        except Preempted:
            return "preempted"
        return "read"

    reader = asyncio.create_task(read())
    await settled_loop()
    ended.set()  # its answer is there, and it has not yet run
    async with turn.action(Rank.URGENT):
        pass
    assert await reader == "preempted"

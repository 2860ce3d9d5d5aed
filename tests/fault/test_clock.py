"""The real-time clock stepped an hour both ways: readings keep coming, none lost, none twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.app import agent as app
from agent.clock import SystemClock
from agent.config.load import load
from tests.answered import MIX, Poll, polls_of
from tests.broker import Broker, until
from tests.consumer import Consumer
from tests.harness import Node, simulated, wait_until
from tests.ledger import holes_in

COUNT = 20
STEPS_S = (3600.0, -3600.0, 0.0)
"""Where the clock stands against the true time, one after the other."""
POLLS_BETWEEN = 2 * COUNT
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


class SteppedClock(SystemClock):
    """A clock that somebody sets."""

    offset_s = 0.0

    def now(self) -> float:
        """The time as this machine believes it to be."""
        return super().now() + SteppedClock.offset_s


@pytest.fixture
def consumer(broker: Broker) -> Iterator[Consumer]:
    with Consumer(broker.port) as started:
        yield started


def node_for(directory: Path, broker: Broker, ports: dict[str, int]) -> Node:
    addresses = f"127.62.0.1-127.62.0.{COUNT}"
    return Node(directory, broker_port=broker.port, addresses=addresses, interval_s=1.0, **ports)


def site(directory: Path) -> tuple[Path, tuple[str, ...]]:
    log = directory / "answers.jsonl"
    where = ("--network", "127.62.0.0/16", "--count", str(COUNT), "--mix", MIX)
    return log, (*where, "--delay-scale", "0", "--log", str(log))


def check(consumer: Consumer, polls: list[Poll]) -> None:
    """Every answer made one reading; the clock may have dated it as it liked."""
    ledger = consumer.ledger
    assert not ledger.repeats
    assert not holes_in(ledger, [])
    readings = {address: len(times) for address, times in ledger.readings().items()}
    owed = Counter(poll.address for poll in polls if poll.owed)
    answered = Counter(poll.address for poll in polls)
    assert len(readings) == COUNT
    wrong = [each for each in answered if not owed[each] <= readings[each] <= answered[each]]
    assert not wrong, [(each, owed[each], readings[each], answered[each]) for each in wrong]


def hours_dated(consumer: Consumer, began: float) -> set[int]:
    """By how many hours readings were dated before or after the true time."""
    times = [at for each in consumer.ledger.readings().values() for at in each]
    return {round((at - began) / 3600) for at in times}


@pytest.mark.timeout(90)
async def test_the_parts_of_a_node_outlive_steps(
    tmp_path: Path, broker: Broker, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SystemClock", SteppedClock)
    monkeypatch.setattr(SteppedClock, "offset_s", 0.0)
    log, options = site(tmp_path)
    began = time.time()
    with simulated(tmp_path, *options) as (_, _, sim):
        config = load(node_for(tmp_path, broker, sim.ports).config)
        stop = asyncio.Event()
        async with app.Agent(config) as agent, asyncio.TaskGroup() as group:
            group.create_task(agent.run(stop))
            await until(lambda: len(agent.fleet.inventory) == COUNT, 30)
            for offset_s in STEPS_S:
                monkeypatch.setattr(SteppedClock, "offset_s", offset_s)
                before = agent.fleet.poller.total.outcomes["ok"]
                goal = before + POLLS_BETWEEN
                await until(lambda goal=goal: agent.fleet.poller.total.outcomes["ok"] >= goal, 15)
            stopped_at = time.time()
            stop.set()
        assert set(agent.fleet.poller.total.outcomes) == {"ok"}
        sim.stop()
    await asyncio.to_thread(consumer.until_quiet, 0.5, 10)
    check(consumer, polls_of(log, [stopped_at]))
    assert hours_dated(consumer, began) == {-1, 0, 1}


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed")
@pytest.mark.timeout(90)
def test_a_whole_process_outlives_steps(
    tmp_path: Path, broker: Broker, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, options = site(tmp_path)
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    began = time.time()
    with simulated(tmp_path, *options) as (_, _, sim):
        monkeypatch.setenv("LD_PRELOAD", str(FAKETIME[0]))
        monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(offset))
        monkeypatch.setenv("FAKETIME_CACHE_DURATION", "1")
        monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")
        with node_for(tmp_path, broker, sim.ports) as node:
            node.await_devices(COUNT)
            for offset_s in STEPS_S:
                (tmp_path / "new").write_text(f"{offset_s:+g}s\n")
                (tmp_path / "new").replace(offset)
                before = polled(node)
                wait_until(lambda before=before: polled(node) >= before + POLLS_BETWEEN, 15)
            stopped_at = time.time()
            assert node.process
            assert node.process.stop() == 0
        sim.stop()
    consumer.until_quiet(0.5, 10)
    check(consumer, polls_of(log, [stopped_at]))
    assert hours_dated(consumer, began) == {-1, 0, 1}


def polled(node: Node) -> int:
    return int(node.status()["polls"]["outcomes"].get("ok", 0))

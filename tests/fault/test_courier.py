"""The courier, the spool and a session, with a real broker that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.mqtt.session import Session
from agent.mqtt.settings import SessionSettings
from agent.store.ledger import Loss
from agent.store.segment import Head, Record
from agent.store.spool import Spool
from agent.telemetry.courier import Courier
from agent.telemetry.forms import Message
from agent.telemetry.history import Tell
from agent.telemetry.pace import Pace
from agent.telemetry.receipts import Receipts
from tests.broker import kept, quick, running, until, watching

TELEMETRY = "telemetry"
FRAME = bytes(2000)


class Plain:
    """A frame is one message that begins with its number."""

    frame_by_frame = True

    def begin(self) -> Tell:
        return self.tell

    def tell(self, record: Record) -> Sequence[Message]:
        return [Message("frames/hist", record.payload, record.seq, record.count)]


class Site:
    """Everything that delivers, and a test that takes readings."""

    def __init__(self, spool: Spool, port: int) -> None:
        clock = SystemClock()
        self.spool = spool
        self.losses: list[Loss] = []
        self.courier = Courier(
            spool,
            {TELEMETRY: Plain()},
            Receipts(spool, "boot", {}, clock.monotonic),
            Pace(clock.monotonic),
            boot_id="boot",
            monotonic=clock.monotonic,
            on_new_chain=lambda: spool.roll(TELEMETRY),
            on_lost=self.losses.append,
        )
        settings = SessionSettings(
            mqtt=quick(port, inflight=20, keepalive_s=5), client_id="courier", clean=True
        )
        self.session = Session(settings, self.courier.events(), clock=clock, rng=random.Random(1))
        self.courier.session = self.session
        self.offered = 0

    def offer(self) -> None:
        self.offered += 1
        seq = self.offered
        head = Head(seq, seq, 1, 0.0, 0.0)
        frame = b"%08d" % seq + FRAME
        place = self.spool.append(TELEMETRY, head, frame)
        live = [Message("frames/live", frame, seq, 1)]
        self.courier.offer(TELEMETRY, place, head, lambda: live, len(frame))

    @property
    def backlog(self) -> int:
        return self.spool.stats().backlog_readings


@contextlib.asynccontextmanager
async def site(directory: Path, port: int) -> AsyncIterator[Site]:
    spool = Spool(directory, limit_bytes=1 << 28, boot_id="boot", epoch=1, clock=SystemClock())
    async with spool:
        built = Site(spool, port)
        delivering = asyncio.create_task(built.courier.run())
        async with kept(built.session):
            yield built
        delivering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await delivering


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "broker").mkdir()
    return tmp_path


async def test_everything_arrives_although_the_broker_is_killed(directory: Path) -> None:
    with running(directory / "broker") as broker:
        async with site(directory / "spool", broker.port) as node:
            for _ in range(3):
                await _offer(node, 30)  # some while there is no broker
                async with watching(broker.port, "frames/#") as seen:
                    await until(lambda: node.session.connected)
                    await _offer(node, 30)
                    await until(lambda: node.backlog == 0)
                    numbers = {int(message.payload[:8]) for message in seen}
                assert numbers >= set(range(node.offered - 29, node.offered + 1))
                broker.kill()
                await until(lambda: not node.session.connected)
                await _offer(node, 5)
                broker.start()
            await until(lambda: node.backlog == 0)
            assert not node.losses
            assert node.courier.uplink().dropped == {}


async def test_all_numbers_are_seen_live_or_as_history(directory: Path) -> None:
    with running(directory / "broker") as broker:
        async with (
            site(directory / "spool", broker.port) as node,
            watching(broker.port, "frames/#") as seen,
        ):
            await _offer(node, 200)
            await until(lambda: node.backlog == 0)
            await until(lambda: len({m.payload[:8] for m in seen}) == node.offered)
            assert any(message.topic == "frames/live" for message in seen)


async def test_a_stop_is_not_held_up_by_a_frozen_broker(directory: Path) -> None:
    with running(directory / "broker") as broker:
        async with site(directory / "spool", broker.port) as node:
            await until(lambda: node.session.connected)
            broker.freeze()
            await _offer(node, 50)  # more than the window takes
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert not await node.courier.drain(0.3)
            assert loop.time() - began < 1.0
            assert node.backlog == 50
            broker.thaw()


async def test_what_an_earlier_run_left_is_sent(directory: Path) -> None:
    with running(directory / "broker") as broker:
        broker.stop()
        async with site(directory / "spool", broker.port) as node:
            await _offer(node, 40)
        broker.start()
        async with watching(broker.port, "frames/hist") as seen:
            async with site(directory / "spool", broker.port) as node:
                await until(lambda: node.backlog == 0)
            await until(lambda: len(seen) == 40)
        assert [int(message.payload[:8]) for message in seen] == list(range(1, 41))


async def test_what_access_rules_forbid_waits_until_they_are_mended(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.telemetry.refusals.HISTORY_REST_S", (0.1, 0.4))
    monkeypatch.setattr("agent.telemetry.refusals.LIVE_REST_S", (0.1, 0.4))
    rules = directory / "broker" / "acl"
    rules.write_text("topic readwrite probe\ntopic read frames/#\n")
    with running(directory / "broker", f"acl_file {rules}") as broker:
        async with (
            site(directory / "spool", broker.port) as node,
            watching(broker.port, "frames/#") as seen,
        ):
            await until(lambda: node.session.connected)
            await _offer(node, 100)
            await until(lambda: node.courier.uplink().refused > 20)
            assert node.backlog == 100
            assert not seen
            rules.write_text("topic readwrite #\n")
            broker.reload()
            await _offer(node, 100)
            await until(lambda: node.backlog == 0)
            while not any(message.topic == "frames/live" for message in seen):
                await _offer(node, 1)
            await until(lambda: len({m.payload[:8] for m in seen}) == node.offered)
            assert not node.losses


async def _offer(node: Site, count: int) -> None:
    for _ in range(count):
        node.offer()
        await asyncio.sleep(0.001)

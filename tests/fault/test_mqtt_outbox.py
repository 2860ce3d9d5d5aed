"""Outbox, publisher and session against a real mosquitto behind a poor link."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.telemetry.outbox import Outbox
from agent.telemetry.publisher import Publisher
from tests.broker import Broker, kept, new_session, quick, running, until, watching
from tests.fault.proxy import Proxy, Shape

POOR = Shape(rate_bit_s=2e6, latency_s=0.05)
PAGES = 12


@pytest.fixture
def broker(tmp_path: Path):
    with running(tmp_path) as broker:
        yield broker


class Post:
    """What a node has to say, and its session."""

    def __init__(self, port: int) -> None:
        self.connects = 0
        self.outbox = Outbox()
        self.publisher = Publisher(self.outbox, self._connected)
        self.session = new_session(quick(port), self.publisher.events(lambda _message: None))
        self.publisher.session = self.session

    def _connected(self) -> None:
        self.connects += 1


@contextlib.asynccontextmanager
async def posting(broker: Broker, shape: Shape) -> AsyncIterator[tuple[Post, Proxy]]:
    with Proxy(broker.port, shape=shape) as proxy:
        post = Post(proxy.port)
        async with kept(post.session):
            await until(lambda: post.connects == 1)
            yield post, proxy


async def test_pages_delay_a_statement_by_no_more_than_two_of_them(broker):
    async with watching(broker.port, "#") as seen, posting(broker, POOR) as (post, _):
        for number in range(PAGES):
            post.outbox.page(f"results/{number}", bytes(60_000))
        post.publisher.pump()
        await until(lambda: len(seen) == 2)
        post.outbox.state("state", b"progress")
        post.publisher.pump()
        ahead = len(seen) + 2
        await until(lambda: len(seen) == PAGES + 1, 20)
        await until(lambda: not post.outbox.under_way)
    order = [message.topic for message in seen]
    assert order.index("state") <= ahead
    assert [topic for topic in order if topic != "state"] == [
        f"results/{number}" for number in range(PAGES)
    ]


async def test_cuts_lose_no_reply_and_no_page_and_tell_of_each_arrival_once(broker):
    arrived: list[int] = []
    async with watching(broker.port, "#") as seen, posting(broker, POOR) as (post, proxy):
        for number in range(PAGES):
            post.outbox.page(
                f"results/{number}", bytes(20_000), arrived=lambda n=number: arrived.append(n)
            )
            post.outbox.reply("reply", b"%d" % number, correlation=b"c")
        post.publisher.pump()
        for cuts in range(1, 3):
            await until(lambda cuts=cuts: len(arrived) >= 3 * cuts)
            proxy.cut()
            await until(lambda cuts=cuts: post.connects > cuts)
        await until(lambda: len(arrived) == PAGES, 20)
        await until(lambda: not post.outbox.under_way)
        assert not post.outbox.dropped
    assert sorted(arrived) == list(range(PAGES))
    replies = [message for message in seen if message.topic == "reply"]
    assert {message.correlation for message in replies} == {b"c"}
    assert list(dict.fromkeys(int(message.payload) for message in replies)) == list(range(PAGES))
    assert {message.topic for message in seen} - {"reply"} == {
        f"results/{number}" for number in range(PAGES)
    }

"""What the broker refuses for a reason of its own is kept, and tried again with patience."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.telemetry import history
from agent.telemetry.refusals import HISTORY_REST_S, LIVE_REST_S, QUIET_S
from tests.delivery import EVENT, TELEMETRY, Post


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "RESCAN_S", 0.01)


async def test_a_refused_frame_stays_and_goes_again_as_history() -> None:
    post = Post()
    post.connect()
    post.offer(count=5)
    post.refuse()
    assert post.spool.backlog == [(TELEMETRY, 1)]
    async with post.running():
        await post.finish()
    assert post.live == [1]
    assert post.history == [1]
    assert not post.losses
    assert post.courier.uplink().refused == 1
    assert post.courier.uplink().dropped == {}


async def test_history_rests_ever_longer_and_is_tried_again() -> None:
    post = Post()
    for _ in range(30):
        post.offer()
    post.connect()
    tried_at: list[float] = []
    async with post.running():
        while len(tried_at) < 8:
            before = len(post.history)
            await post.settle_down()
            if len(post.history) > before:
                tried_at.append(post.clock.monotonic())
            post.refuse() if post.session.under_way else post.clock.advance(1)
    rests = [after - before for before, after in pairwise(tried_at)]
    expected = [30, 60, 120, 240, 480, 600, 600]
    assert rests == pytest.approx(expected, rel=0.1)
    assert len(post.history) == 8 * 6  # a window each time
    assert len(post.spool.backlog) == 30


async def test_the_first_that_is_accepted_ends_the_patience() -> None:
    post = Post()
    for _ in range(30):
        post.offer()
    post.connect()
    async with post.running():
        for rest in (HISTORY_REST_S[0], 2 * HISTORY_REST_S[0]):
            await post.settle_down()
            post.refuse()
            post.tick(rest)
        await post.settle_down()
        post.acknowledge()
        await post.settle_down()
        tried = len(post.history)
        post.refuse()
        await post.settle_down()
        post.refuse()
        post.tick(HISTORY_REST_S[0])
        await post.settle_down()
        assert len(post.history) > tried
        await post.finish()
    assert not post.losses


async def test_live_frames_are_tried_now_and_then_and_cost_few_chains() -> None:
    post = Post()
    post.connect()
    chains = post.new_chains
    for _ in range(1200):  # ten minutes
        post.offer()
        for token, sent in list(post.session.under_way.items()):
            if sent.topic == TELEMETRY:
                post.refuse(token)
        post.tick(0.5)
    assert post.new_chains - chains < 12
    assert len(post.live) < 12
    assert len(post.spool.backlog) == 1200
    post.tick(LIVE_REST_S[1])
    first = post.offer()
    post.acknowledge()
    post.offer()
    assert post.live[-2:] == [first, first + 1]


async def test_live_goes_on_where_only_history_is_refused() -> None:
    post = Post()
    for _ in range(5):
        post.offer()
    post.connect()
    chains = post.new_chains
    async with post.running():
        for _ in range(300):
            post.offer()
            await post.settle_down(5)
            for token, sent in list(post.session.under_way.items()):
                if sent.topic.endswith("hist"):
                    post.refuse(token)
            post.acknowledge()
    assert post.live == list(range(6, 306))
    assert len(post.spool.backlog) == 5
    assert post.new_chains == chains
    assert len(post.history) == 5  # once: they rest


async def test_refused_events_do_not_hold_up_readings() -> None:
    post = Post()
    post.offer(stream=EVENT)
    for _ in range(5):
        post.offer()
    post.connect()
    async with post.running():
        for _ in range(50):
            await post.settle_down()
            for token, sent in list(post.session.under_way.items()):
                if sent.topic.startswith(EVENT):
                    post.refuse(token)
            post.acknowledge()
        assert post.spool.backlog == [(EVENT, 1)]
        post.tick(HISTORY_REST_S[1])
        await post.finish()
    assert not post.losses


async def test_one_frame_that_is_always_refused_does_not_hold_up_the_others() -> None:
    post = Post(frame_by_frame=False)  # messages that stand for themselves
    for _ in range(30):
        post.offer()
    post.connect()
    async with post.running(), asyncio.timeout(5):
        while len(post.spool.backlog) > 1:
            await asyncio.sleep(0.001)
            post.tick(0.3)
            for token, sent in list(post.session.under_way.items()):
                if int(sent.payload) == 7:
                    post.refuse(token)
            post.acknowledge()
    assert post.spool.backlog == [(TELEMETRY, 7)]


async def test_one_message_refused_among_others_costs_live_data_no_chain() -> None:
    post = Post(frame_by_frame=False, parts=True)
    post.connect()
    chains = post.new_chains
    for _ in range(10):
        token = len(post.session.sent) + 2
        post.offer(count=3)
        for under_way in list(post.session.under_way):
            if under_way == token:
                post.refuse(token)
            else:
                post.session.under_way.pop(under_way)
                post.events.on_puback(under_way)
    assert post.live == list(range(1, 31))
    assert post.new_chains == chains
    assert len(post.spool.backlog) == 10


async def test_a_new_connection_is_tried_at_once() -> None:
    post = Post()
    for _ in range(5):
        post.offer()
    async with post.running():
        post.connect()
        await post.settle_down()
        post.refuse()
        post.hang_up()
        post.connect()
        await post.finish()
    assert not post.spool.backlog


async def test_an_outage_is_logged_once_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    post = Post()
    for _ in range(20):
        post.offer()
    async with post.running():
        for _ in range(3):
            post.connect()
            await post.settle_down()
            post.refuse()
            post.tick(QUIET_S)
            post.hang_up()
        post.connect()
        await post.finish()
    words = [record.getMessage() for record in caplog.records]
    assert words == [
        "telemetry/hist: refused (reason code 151): kept, and tried again later",
        "telemetry is accepted again",
    ]


class Decoder:
    """Takes a frame only upon the one before it in its chain."""

    def __init__(self, post: Post) -> None:
        self._places = {
            record.seq: (shelved.id, record.index)
            for shelved in post.spool.shelf.values()
            for record in shelved.records
        }
        self._next: set[tuple[str, int]] = set()
        self.decoded: set[int] = set()

    def take(self, seq: int) -> None:
        chain, index = self._places[seq]
        if index == 0 or (chain, index) in self._next:
            self._next.discard((chain, index))
            self._next.add((chain, index + 1))
            self.decoded.add(seq)


@given(
    st.lists(st.booleans(), max_size=60),
    st.integers(1, 5),
    st.lists(st.sampled_from([0.05, 0.5, 31.0]), min_size=1, max_size=8),
)
@settings(deadline=None, max_examples=60)
def test_a_consumer_can_decode_everything_whatever_is_refused(
    answers: list[bool], window: int, pauses: list[float]
) -> None:
    asyncio.run(_refuse_some(answers, window, pauses))


async def _refuse_some(answers: list[bool], window: int, pauses: list[float]) -> None:
    post = Post(window)
    received: list[int] = []

    def answer(accept: bool) -> None:
        token, sent = next(iter(post.session.under_way.items()))
        if accept:
            received.append(int(sent.payload))
            del post.session.under_way[token]
            post.events.on_puback(token)
        else:
            post.refuse(token)

    post.connect()
    async with post.running():
        for step, accept in enumerate(answers):
            post.offer()
            await post.settle_down(4)
            post.tick(pauses[step % len(pauses)])
            if post.session.under_way:
                answer(accept)
        for _ in range(400):
            if not post.spool.backlog:
                break
            await post.settle_down(6)
            post.tick(5)
            while post.session.under_way:
                answer(True)
    decoder = Decoder(post)
    for seq in received:
        decoder.take(seq)
    assert decoder.decoded == set(range(1, len(answers) + 1))
    assert not post.losses

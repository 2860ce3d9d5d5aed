"""Live first, history beside it, and nothing forgotten before it arrived."""

from __future__ import annotations

import asyncio

import pytest

from agent.mqtt.failure import Cause
from agent.telemetry import history
from agent.telemetry.courier import MARKS_FIRST_S
from agent.telemetry.flight import POISON_AFTER_LOSSES
from agent.telemetry.live import LIVE_S, WAITING_LIMIT_BYTES
from agent.telemetry.marks import FIRST_TIMEOUT_S
from tests.delivery import BAD_PAYLOAD, BOOT, EVENT, TELEMETRY, Post


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "RETRY_S", 0.001)
    monkeypatch.setattr(history, "RESCAN_S", 0.01)


async def test_a_frame_goes_live_at_once_and_is_settled_when_acknowledged() -> None:
    post = Post()
    post.connect()
    post.offer()
    assert post.live == [1]
    assert post.spool.backlog == [(TELEMETRY, 1)]
    post.acknowledge()
    assert not post.spool.backlog


async def test_a_frame_of_many_messages_is_settled_by_the_last_of_them() -> None:
    post = Post(window=2, parts=True)
    post.connect()
    post.offer(count=3)
    assert post.live == [1, 2]
    post.acknowledge()
    assert post.live == [1, 2, 3]
    assert post.spool.backlog
    post.acknowledge()
    assert not post.spool.backlog


async def test_never_more_under_way_than_the_window_holds() -> None:
    post = Post(window=3)
    post.connect()
    for _ in range(10):
        post.offer()
    assert len(post.session.under_way) == 3


async def test_events_overtake_readings() -> None:
    post = Post(window=1)
    post.connect()
    post.offer()
    post.offer()
    post.offer(stream=EVENT)
    post.acknowledge()
    assert [sent.topic for sent in post.session.sent] == [TELEMETRY, EVENT]


async def test_every_connection_begins_a_chain() -> None:
    post = Post()
    post.connect()
    assert post.new_chains == 1
    post.hang_up()
    post.connect()
    assert post.new_chains == 2


async def test_what_was_taken_without_a_connection_is_history() -> None:
    post = Post()
    post.offer()
    post.offer(stream=EVENT)
    post.connect()
    post.offer()  # begins a chain, so it is live
    async with post.running():
        await post.finish()
    assert post.live == [2]
    assert post.history == [1]
    assert post.sent("event/hist") == [1]


async def test_history_of_events_goes_before_that_of_readings() -> None:
    post = Post()
    post.offer()
    post.offer(stream=EVENT)
    post.connect()
    async with post.running():
        await post.finish()
    assert [sent.topic for sent in post.session.sent] == ["event/hist", "telemetry/hist"]


async def test_what_was_under_way_when_the_connection_broke_is_history() -> None:
    post = Post()
    post.connect()
    post.offer()
    post.offer()
    post.hang_up(Cause.FROZEN)
    post.connect()
    async with post.running():
        await post.finish()
    assert post.live == [1, 2]
    assert post.history == [1, 2]
    assert post.courier.uplink().repeats == 2


async def test_live_that_falls_behind_becomes_history_and_a_chain_begins() -> None:
    post = Post(window=1)
    post.connect()
    for _ in range(3):
        post.offer()
    post.tick(LIVE_S + 0.1)
    assert post.new_chains == 2
    assert post.courier.uplink().left_behind == 2
    post.offer()  # of the new chain
    post.acknowledge()
    assert post.live == [1, 4]
    async with post.running():
        await post.finish()
    assert post.history == [2, 3]
    assert not post.losses


async def test_what_is_held_back_stays_live() -> None:
    post = Post()
    post.connect()
    post.courier.held = lambda: True
    post.offer()
    for _ in range(10):
        post.clock.advance(LIVE_S / 5)
        post.courier.tick()
    assert not post.live
    post.courier.held = lambda: False
    post.courier.tick()
    assert post.live == [1]


async def test_the_rest_of_a_chain_that_was_left_behind_is_never_live() -> None:
    post = Post(window=1)
    post.connect()
    post.offer()
    post.offer()
    post.tick(LIVE_S + 0.1)
    post.offer(late=True)
    post.acknowledge()
    assert post.live == [1]
    assert post.new_chains == 2  # asked for once
    async with post.running():
        await post.finish()
    assert post.history == [2, 3]


async def test_what_waits_to_go_live_is_bounded_in_bytes() -> None:
    post = Post(window=1)
    post.connect()
    for _ in range(5):
        post.offer(size=WAITING_LIMIT_BYTES // 3)
    uplink = post.courier.uplink()
    assert uplink.waiting_live <= 3
    assert uplink.left_behind >= 1


async def test_history_leaves_room_in_the_window_for_live_data() -> None:
    post = Post(window=8)
    for _ in range(20):
        post.offer()
    post.connect()
    async with post.running():
        for _ in range(10):
            await post.settle_down()
    assert len(post.session.under_way) == 6
    post.offer()
    assert post.live == [21]


async def test_history_keeps_to_its_rate() -> None:
    post = Post(window=100)
    for _ in range(50):
        post.offer(size=20_000)
    post.tellers[TELEMETRY].payload_bytes = 20_000
    post.connect()
    async with post.running():
        for _ in range(20):  # one second
            await post.settle_down()
            post.acknowledge()
    assert 10 <= len(post.history) <= 20  # 256 kB and its growth


async def test_the_state_of_a_chain_is_had_from_its_first_frame_on() -> None:
    post = Post(frame_by_frame=False)
    post.connect()
    for _ in range(4):
        post.offer()
    post.acknowledge()
    post.offer()
    post.hang_up()
    post.connect()
    async with post.running(), asyncio.timeout(5):
        while post.spool.backlog:
            await asyncio.sleep(0.001)
            post.tick()
            post.acknowledge()
    assert post.history == [5]
    assert post.tellers[TELEMETRY].chains == [[0, 1, 2, 3, 4]]


async def test_a_disk_that_cannot_be_read_is_tried_again() -> None:
    post = Post()
    post.offer()
    post.spool.broken = True
    post.connect()
    async with post.running(), asyncio.timeout(5):
        while post.spool.reads < 3:
            await asyncio.sleep(0.001)
        assert post.history == []
        post.spool.broken = False
        while not post.history:
            await asyncio.sleep(0.001)
            post.tick()
    post.acknowledge()
    assert not post.spool.backlog


async def test_a_message_that_brokers_hang_up_upon_is_given_up_and_told() -> None:
    post = Post()
    for _ in range(4):
        post.offer()
    async with post.running():
        for _ in range(30):
            post.connect()
            for _ in range(20):
                await post.settle_down()
                if any(int(sent.payload) == 2 for sent in post.session.under_way.values()):
                    # A broker that takes 1 and hangs up upon 2.
                    for token, sent in list(post.session.under_way.items()):
                        if int(sent.payload) < 2:
                            del post.session.under_way[token]
                            post.events.on_puback(token)
                    post.hang_up()
                    break
                post.acknowledge()
            else:
                break
    assert not post.spool.backlog
    assert [(loss.first_seq, loss.last_seq, loss.lost) for loss in post.losses] == [(2, 2, 1)]
    assert post.losses[0].reason == "poison"
    assert post.courier.uplink().dropped == {"poison": 1}
    assert post.history.count(2) == POISON_AFTER_LOSSES
    assert {1, 3, 4} <= set(post.history)


async def test_a_suspect_travels_alone_and_live_data_go_on() -> None:
    post = Post()
    for _ in range(2):
        post.offer()
    async with post.running():
        for _ in range(2):
            post.connect()
            await post.settle_down()
            post.hang_up()
        post.connect()
        post.offer()
        await post.settle_down()
        assert post.live == [3]
        assert len(post.session.under_way) == 1  # the suspects wait for it to land
        post.acknowledge()
        await post.settle_down()
        assert [int(sent.payload) for sent in post.session.under_way.values()] == [1]
        post.offer()
        assert len(post.session.under_way) == 1  # and live data for the suspect
        post.acknowledge()
        assert post.live == [3, 4]
        await post.finish()
    assert not post.losses


async def test_a_silent_link_is_nobodys_fault() -> None:
    post = Post()
    post.offer()
    async with post.running():
        for _ in range(3 * POISON_AFTER_LOSSES):
            post.connect()
            await post.settle_down()
            post.hang_up(Cause.FROZEN)
    assert not post.losses
    assert post.spool.backlog


async def test_what_is_too_large_for_the_broker_is_told_as_lost() -> None:
    post = Post()
    post.session.limit_bytes = 0
    post.connect()
    post.offer(count=7)
    assert not post.spool.backlog
    assert [(loss.boot_id, loss.lost, loss.reason) for loss in post.losses] == [
        (BOOT, 7, "too_large")
    ]


@pytest.mark.parametrize("reason", [0x90, 0x95, 0x99])
async def test_what_the_broker_refuses_for_its_own_fault_is_told_as_lost(reason: int) -> None:
    post = Post(parts=True)
    post.connect()
    post.offer(count=3)
    post.refuse(2, reason=reason)
    post.acknowledge()
    assert not post.spool.backlog
    assert [(loss.first_seq, loss.last_seq) for loss in post.losses] == [(2, 2)]


async def test_an_event_that_is_refused_is_counted_and_not_told_by_another_event() -> None:
    post = Post()
    post.connect()
    post.offer(stream=EVENT)
    post.refuse(1, reason=BAD_PAYLOAD)
    assert not post.spool.backlog
    assert not post.losses
    assert post.courier.uplink().dropped == {"refused": 1}


async def test_draining_ends_when_all_live_data_have_arrived() -> None:
    post = Post(window=1)
    post.offer()
    post.connect()
    post.offer()
    post.offer()
    drained = asyncio.create_task(post.courier.drain(5))
    await asyncio.sleep(0)
    assert not drained.done()
    post.acknowledge()
    post.acknowledge()
    assert await drained
    assert post.history == []  # history rests


async def test_draining_waits_no_longer_than_it_is_told() -> None:
    post = Post(window=1)
    post.connect()
    post.offer()
    post.offer()
    assert not await post.courier.drain(0.01)
    assert len(post.spool.backlog) == 2


async def test_draining_without_a_connection_ends_at_once() -> None:
    post = Post()
    post.offer()
    async with asyncio.timeout(0.5):
        await post.courier.drain(5)
    post.connect()
    post.hang_up()


class TestMarks:
    """Where a consumer sets marks, only they count."""

    async def test_an_acknowledgement_alone_settles_nothing(self) -> None:
        post = Post(marks=True)
        post.connect()
        post.offer()
        post.acknowledge()
        assert post.spool.backlog
        post.mark(b'{"stored":{"boot-2":1}}')
        assert not post.spool.backlog

    async def test_events_without_marks_are_settled_by_the_broker(self) -> None:
        post = Post(marks=True)
        post.connect()
        post.offer(stream=EVENT)
        post.acknowledge()
        assert not post.spool.backlog

    async def test_a_mark_ahead_of_what_was_sent_is_refused(self) -> None:
        post = Post(marks=True, window=1)
        post.connect()
        post.offer()
        post.offer()
        post.mark(b'{"stored":{"boot-2":2}}')
        post.mark(b"rubbish")
        assert len(post.spool.backlog) == 2
        assert post.courier.uplink().refused_marks == 2

    async def test_after_a_reconnect_the_chain_of_what_is_not_marked_is_sent_again(self) -> None:
        post = Post(marks=True)
        post.connect()
        for _ in range(3):
            post.offer()
        post.acknowledge()
        post.mark(b'{"stored":{"boot-2":1}}')
        post.hang_up()
        post.connect()
        async with post.running():
            await post.settle_down()
            assert post.history == []  # the broker may still bring a mark
            post.tick(MARKS_FIRST_S)
            for _ in range(5):
                await post.settle_down()
                post.acknowledge()
            assert post.history == [1, 2, 3]
            post.mark(b'{"stored":{"boot-2":3}}')
        assert not post.spool.backlog

    async def test_what_is_marked_meanwhile_is_not_sent_at_all(self) -> None:
        post = Post(marks=True)
        post.connect()
        post.offer()
        post.acknowledge()
        post.hang_up()
        post.connect()
        post.mark(b'{"stored":{"boot-2":1}}')
        async with post.running():
            post.tick(MARKS_FIRST_S)
            await post.settle_down()
        assert post.history == []
        assert not post.spool.backlog

    async def test_a_mark_that_does_not_move_has_everything_sent_again(self) -> None:
        post = Post(marks=True)
        post.connect()
        async with post.running():
            post.tick(MARKS_FIRST_S)
            post.offer()
            post.acknowledge()
            await post.settle_down()
            post.tick(FIRST_TIMEOUT_S - 1)
            await post.settle_down()
            assert post.history == []
            post.tick(1)
            await post.settle_down()
            assert post.history == [1]
            post.acknowledge()
            post.tick(1.5 * FIRST_TIMEOUT_S)  # twice as patient now
            await post.settle_down()
            assert post.history == [1]

    async def test_history_goes_on_only_as_marks_come_in(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("agent.telemetry.receipts.WAITING_LIMIT", 5)
        post = Post(marks=True, window=4)
        for _ in range(20):
            post.offer()
        post.connect()
        async with post.running():
            post.tick(MARKS_FIRST_S)
            for _ in range(20):
                await post.settle_down()
                post.acknowledge()
            assert 5 <= len(post.history) < 10
            post.mark(b'{"stored":{"boot-2":5}}')
            await post.settle_down()
            assert len(post.history) > 5

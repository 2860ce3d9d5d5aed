"""From the outbox to the session and back."""

from __future__ import annotations

import asyncio

import pytest

from agent.mqtt.events import Message, Outcome
from agent.mqtt.failure import Cause, LinkLost
from agent.telemetry.letters import Kind
from agent.telemetry.outbox import POISON, POISON_AFTER_LOSSES, Outbox
from agent.telemetry.publisher import Publisher
from tests.fakes import settled_loop


class FakeSession:
    """Takes as many letters as its window has room for; tests acknowledge and hang up."""

    def __init__(self, size: int = 3) -> None:
        self.size = size
        self.connected = True
        self.under_way: dict[int, str] = {}
        self.sent: list[tuple[str, bytes, bool]] = []
        self.properties: list[tuple[int | None, bytes | None]] = []
        self.outcomes: dict[str, Outcome] = {}

    @property
    def window(self) -> int:
        return self.size - len(self.under_way) if self.connected else 0

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        token: int,
        retain: bool = False,
        expiry_s: int | None = None,
        correlation: bytes | None = None,
    ) -> Outcome:
        if "+" in topic:
            raise ValueError("no topic to publish to")
        outcome = self.outcomes.get(topic, Outcome.SENT)
        if outcome:
            self.properties.append((expiry_s, correlation))
            self.under_way[token] = topic
            self.sent.append((topic, payload, retain))
        return outcome


class Post:
    """An outbox, a publisher and a session, joined."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.publisher = Publisher(self.outbox, self.announce)
        self.session = self.publisher.session = FakeSession()  # type: ignore[assignment]
        self.messages: list[Message] = []
        self.events = self.publisher.events(self.messages.append)

    def announce(self) -> None:
        self.outbox.state("status", b"online")

    def report(self, *topics: str) -> None:
        for topic in topics:
            self.outbox.state(topic, b"")

    def acknowledge(self, topic: str) -> None:
        token = next(token for token, name in self.session.under_way.items() if name == topic)
        del self.session.under_way[token]
        self.events.on_puback(token)

    def refuse(self, topic: str) -> None:
        token = next(token for token, name in self.session.under_way.items() if name == topic)
        del self.session.under_way[token]
        self.events.on_refused(token, 0x97)

    def hang_up(self, cause: Cause = Cause.CLOSED) -> None:
        tokens = sorted(self.session.under_way)
        self.session.under_way.clear()
        self.session.connected = False
        self.events.on_disconnect(LinkLost(cause, "test"), tokens)

    def connect(self) -> None:
        self.session.connected = True
        self.events.on_connect()

    def sent(self) -> list[str]:
        return [topic for topic, _, _ in self.session.sent]


@pytest.fixture
def post() -> Post:
    return Post()


def test_the_window_is_filled_and_refilled(post):
    post.report("a", "b", "c", "d", "e")
    post.publisher.pump()
    assert post.sent() == ["a", "b", "c"]
    post.acknowledge("b")
    assert post.sent() == ["a", "b", "c", "d"]
    assert (len(post.outbox), post.outbox.under_way) == (1, 3)


async def test_what_is_put_within_a_moment_leaves_together(post):
    post.report("a")
    post.publisher.pump_soon()
    post.report("b")
    post.publisher.pump_soon()
    await settled_loop()
    assert post.sent() == []
    async with asyncio.timeout(5):
        while not post.sent():
            await asyncio.sleep(0.002)
    assert post.sent() == ["a", "b"]
    post.report("c")
    post.publisher.pump_soon()  # and once more
    async with asyncio.timeout(5):
        while len(post.sent()) < 3:
            await asyncio.sleep(0.002)


def test_offline_everything_stays(post):
    post.session.connected = False
    post.report("a")
    post.publisher.pump()
    assert post.sent() == []
    assert len(post.outbox) == 1


@pytest.mark.parametrize("outcome", [Outcome.OFFLINE, Outcome.FULL])
def test_what_the_session_did_not_take_stays_first(post, outcome):
    post.report("a", "b")
    post.session.outcomes["a"] = outcome
    post.publisher.pump()
    assert post.sent() == []
    assert (len(post.outbox), post.outbox.under_way) == (2, 0)
    post.session.outcomes.clear()
    post.publisher.pump()
    assert post.sent() == ["a", "b"]


def test_too_large_for_the_broker_is_given_up_counted_and_said(post, caplog):
    post.session.outcomes["huge"] = Outcome.TOO_LARGE
    post.report("huge", "b")
    post.publisher.pump()
    assert post.sent() == ["b"]
    assert post.outbox.dropped == {Kind.STATEMENT: 1}
    assert "huge" in caplog.text


def test_refused_for_good_is_given_up_counted_and_said(post, caplog):
    post.report("a", "b", "c", "d")
    post.publisher.pump()
    post.refuse("a")
    assert post.sent() == ["a", "b", "c", "d"]
    assert post.outbox.dropped == {Kind.STATEMENT: 1}
    assert "a: given up" in caplog.text
    assert "151" in caplog.text


def test_a_new_connection_announces_and_repeats_what_was_not_acknowledged(post):
    post.report("a", "b", "c", "d")
    post.publisher.pump()
    post.acknowledge("a")
    post.hang_up()
    assert (len(post.outbox), post.outbox.under_way) == (3, 0)
    post.session.sent.clear()
    post.connect()
    assert post.sent() == ["b", "c", "d"]
    post.acknowledge("b")
    assert post.session.sent[-1] == ("status", b"online", True)


def test_each_kind_goes_as_it_should(post):
    post.outbox.state("s", b"1", expiry_s=60)
    post.outbox.reply("r", b"2", correlation=b"c", expiry_s=70)
    post.outbox.page("p", b"3", expiry_s=80)
    post.publisher.pump()
    assert post.session.sent == [("s", b"1", True), ("r", b"2", False), ("p", b"3", True)]
    assert post.session.properties == [(60, None), (70, b"c"), (80, None)]


def test_pages_leave_room_in_the_window_and_go_on_as_they_arrive(post):
    for number in range(4):
        post.outbox.page(f"p{number}", b"")
    post.publisher.pump()
    assert post.sent() == ["p0", "p1"]
    post.report("s")
    post.publisher.pump()
    assert post.sent() == ["p0", "p1", "s"]
    post.acknowledge("p0")
    assert post.sent() == ["p0", "p1", "s", "p2"]


def test_a_reply_to_what_is_no_topic_is_given_up_and_holds_nothing_up(post, caplog):
    post.outbox.reply("a/+", b"")
    post.outbox.reply("b", b"")
    post.publisher.pump()
    assert post.sent() == ["b"]
    assert post.outbox.dropped == {Kind.REPLY: 1}
    assert "a/+: given up: no topic" in caplog.text


def test_whoever_stumbles_over_an_arrival_holds_nothing_up(post):
    def stumble() -> None:
        raise RuntimeError("on arrival")

    post.outbox.state("a", b"", arrived=stumble)
    post.report("b", "c", "d")
    post.publisher.pump()
    with pytest.raises(RuntimeError, match="on arrival"):
        post.acknowledge("a")
    assert post.sent() == ["a", "b", "c", "d"]


async def test_progress_is_an_acknowledgement_or_the_end(post):
    for end in (lambda: post.acknowledge("a"), post.hang_up):
        post.report("a")
        post.publisher.pump()
        waiting = asyncio.create_task(post.publisher.progress())
        await settled_loop()
        assert not waiting.done()
        end()
        await asyncio.wait_for(waiting, 5)


def test_messages_are_passed_on(post):
    message = Message("t", b"", 1, False)
    post.events.on_message(message)
    assert post.messages == [message]


def serve(post: Post, poison: str) -> bool:
    """A broker that acknowledges in order and hangs up upon one topic; True if it did."""
    while post.session.under_way:
        topic = post.session.under_way[min(post.session.under_way)]
        if topic == poison:
            post.hang_up()
            return True
        post.acknowledge(topic)
    return False


def test_a_message_that_the_broker_hangs_up_upon_holds_nothing_up_for_ever(post, caplog):
    post.report("a", "poison", "b", "c", "d")
    post.publisher.pump()
    losses = 0
    while serve(post, "poison"):
        losses += 1
        assert losses <= 10
        post.connect()
    assert losses == POISON_AFTER_LOSSES
    assert (len(post.outbox), post.outbox.under_way) == (0, 0)
    assert post.outbox.dropped == {POISON: 1}
    assert post.sent()[-3:] == ["c", "d", "status"]
    assert "poison: given up" in caplog.text


def test_an_announcement_that_the_broker_hangs_up_upon_lets_the_rest_pass(post):
    post.report("a", "b")
    post.publisher.pump()
    post.hang_up()
    for _ in range(10):
        post.connect()
        if not serve(post, "status"):
            break
    assert (len(post.outbox), post.outbox.under_way) == (0, 0)
    assert post.outbox.dropped[POISON] >= 1
    assert post.outbox.dropped[Kind.STATEMENT] == 0


@pytest.mark.parametrize("cause", [Cause.STOPPED, Cause.TAKEN_OVER])
def test_an_end_that_no_message_can_bring_about_blames_none(post, cause):
    post.report("a")
    post.publisher.pump()
    for _ in range(POISON_AFTER_LOSSES + 1):
        post.hang_up(cause)
        post.session.connected = True
        post.publisher.pump()
    assert not post.outbox.dropped
    assert post.outbox.under_way == 1

"""What a real mosquitto brings us: live or retained, acknowledged or not, small or huge."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.mqtt.codec import PACKET_LIMIT
from agent.mqtt.events import Events, Message
from tests.broker import Broker, connected, kept, new_session, quick, running, until

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


@pytest.fixture
def broker(tmp_path: Path):
    with running(tmp_path) as broker:
        yield broker


@VERSIONS
async def test_a_live_message_keeps_its_retain_flag_on_version_5_only(broker, version):
    async with (
        connected(quick(broker.port, version=version)) as (session, owner),
        connected(quick(broker.port), client_id="sender") as (sender, _),
    ):
        session.subscribe(["cmd/+", "probe"])
        assert session.publish("probe", b"", token=1)
        await until(lambda: len(owner.messages) == 1)  # the subscription holds
        for number, retain in enumerate((True, False), 1):
            assert sender.publish(f"cmd/{number}", b"do", token=number, retain=retain)
        await until(lambda: len(owner.messages) == 3)
        live = [message.retain for message in owner.messages[1:]]
        assert live == [version == "5", False]


# --- acknowledged by the owner -----------------------------------------------------------------


class Node:
    """A control session that keeps the messages it is told to."""

    def __init__(self, port: int, version: str, *keeps: bytes) -> None:
        self.messages: list[Message] = []
        self.acknowledged: list[int] = []
        self.connects = 0
        self._keeps = keeps
        events = Events(
            on_connect=self._connected, on_message=self._take, on_puback=self.acknowledged.append
        )
        mqtt = quick(port, version=version)
        self.session = new_session(mqtt, events, client_id="control", clean=False)
        self.session.subscribe(["cmd/+"])

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.messages]

    def _connected(self) -> None:
        self.connects += 1

    def _take(self, message: Message) -> None:
        self.messages.append(message)
        if message.payload in self._keeps:
            message.keep()
            if message.payload == b"clumsy":
                raise RuntimeError("kept all the same")

    async def heard(self) -> None:
        """Everything that was sent so far has reached the broker, and an answer has come."""
        self.session.publish("node", b"", token=len(self.acknowledged))
        count = len(self.acknowledged) + 1
        await until(lambda: len(self.acknowledged) == count)


@contextlib.asynccontextmanager
async def node(broker: Broker, version: str, *keeps: bytes) -> AsyncIterator[Node]:
    """The node is up, and its subscription holds."""
    found = Node(broker.port, version, *keeps)
    async with kept(found.session):
        await until(lambda: found.connects == 1)
        await found.heard()
        yield found


async def send(broker: Broker, *payloads: bytes) -> None:
    """Publish commands from another client."""
    async with connected(quick(broker.port), client_id="sender") as (sender, told):
        for number, payload in enumerate(payloads):
            await until(lambda: sender.window > 0)
            assert sender.publish(f"cmd/{number}", payload, token=number)
        await until(lambda: len(told.acknowledged) == len(payloads))


def pubacks(broker: Broker) -> list[int]:
    """Packet ids, in the order in which the broker got them from the node."""
    found = re.findall(r"Received PUBACK from control \(Mid: (\d+)", broker.log.read_text())
    return [int(packet_id) for packet_id in found]


@VERSIONS
async def test_acknowledgements_reach_the_broker_in_the_order_of_arrival(broker, version):
    async with node(broker, version, b"first", b"third") as its:
        await send(broker, b"first", b"second", b"third", b"fourth")
        await until(lambda: len(its.messages) == 4)
        its.messages[2].acknowledge()
        await its.heard()
        assert pubacks(broker) == []
        its.messages[0].acknowledge()
        await until(lambda: len(pubacks(broker)) == 4)
        await send(broker, b"fifth")
        await until(lambda: len(pubacks(broker)) == 5)
    assert pubacks(broker) == sorted(pubacks(broker))


@VERSIONS
async def test_what_is_kept_comes_again_after_the_agent_was_killed(broker, version):
    async with node(broker, version, b"kept") as before:
        await send(broker, b"taken", b"kept", b"behind")
        await until(lambda: len(before.messages) == 3)
        await before.heard()
        before.session._link._pipe.close()  # as kill -9: the process says no word
        async with node(broker, version) as after:
            await until(lambda: len(after.messages) == 2)
            await after.heard()
            assert after.payloads == [b"kept", b"behind"]
    async with node(broker, version) as later:
        await later.heard()
        assert later.payloads == []


@VERSIONS
async def test_an_acknowledgement_after_the_connection_was_lost_is_for_nobody(broker, version):
    async with node(broker, version, b"kept") as its:
        await send(broker, b"kept")
        await until(lambda: len(its.messages) == 1)
        its.session._link.close()
        its.messages[0].acknowledge()
        await until(lambda: len(its.messages) == 2)
        assert its.connects == 2
        its.messages[0].acknowledge()
        await its.heard()
        assert pubacks(broker) == []
        its.messages[1].acknowledge()
        its.messages[1].acknowledge()
        await its.heard()
        assert len(pubacks(broker)) == 1


async def test_who_keeps_a_message_and_stumbles_still_owes_it(broker):
    async with node(broker, "5", b"clumsy") as its:
        await send(broker, b"clumsy", b"next")
        await until(lambda: len(its.messages) == 2)
        await its.heard()
        assert pubacks(broker) == []
        assert its.session.stats.callback_errors == 1
        its.messages[0].acknowledge()
        await until(lambda: len(pubacks(broker)) == 2)


async def test_who_keeps_on_keeping_is_sent_no_more_than_a_few(tmp_path):
    with running(tmp_path, "max_inflight_messages 3") as broker:
        async with node(broker, "5", *(b"%d" % number for number in range(9))) as its:
            await send(broker, *(b"%d" % number for number in range(9)))
            await until(lambda: len(its.messages) == 3)
            await its.heard()
            assert len(its.messages) == 3
            for number in range(9):
                await until(lambda number=number: len(its.messages) > number)
                its.messages[number].acknowledge()
            await until(lambda: len(pubacks(broker)) == 9)


# --- too large to be read ----------------------------------------------------------------------


@VERSIONS
async def test_ten_megabytes_between_two_small_messages_cost_no_connection(broker, version):
    async with node(broker, version, b"", b"before", b"after") as its:
        await send(broker, b"before", bytes(10_000_000), b"after")
        await until(lambda: len(its.messages) == 3)
        assert its.payloads == [b"before", b"", b"after"]
        assert [message.oversized for message in its.messages] == [0, 10_000_000, 0]
        assert [message.topic for message in its.messages] == ["cmd/0", "cmd/1", "cmd/2"]
        for message in its.messages:
            message.acknowledge()
        await until(lambda: len(pubacks(broker)) == 3)
        assert its.connects == 1
    async with node(broker, version) as again:
        await again.heard()
        assert again.messages == []


@VERSIONS
async def test_it_comes_again_as_it_was_until_it_is_acknowledged(broker, version):
    async with node(broker, version, b"") as its:
        await send(broker, bytes(2_000_000))
        await until(lambda: len(its.messages) == 1)
        its.session._link.close()
        await until(lambda: len(its.messages) == 2)
        assert its.messages[1] == its.messages[0]
        its.messages[1].acknowledge()
        await its.heard()
        its.session._link.close()
        await until(lambda: its.connects == 3)
        await its.heard()
        assert len(its.messages) == 2


@pytest.mark.parametrize(("version", "topics"), [("5", ["cmd/1"]), ("3.1.1", ["cmd/0", "cmd/1"])])
async def test_above_16_mib_version_5_spares_us_even_the_news(broker, version, topics):
    async with node(broker, version) as its:
        await send(broker, bytes(PACKET_LIMIT), b"after")
        await until(lambda: len(its.messages) == len(topics))
        assert [message.topic for message in its.messages] == topics
        assert its.connects == 1


@VERSIONS
async def test_a_large_message_that_stands_on_the_broker_is_seen_as_retained(broker, version):
    async with connected(quick(broker.port), client_id="sender") as (sender, told):
        assert sender.publish("cmd/1", bytes(3_000_000), token=1, retain=True)
        await until(lambda: told.acknowledged == [1])
    async with node(broker, version) as its:
        await until(lambda: len(its.messages) == 1)
        assert (its.messages[0].oversized, its.messages[0].retain) == (3_000_000, True)

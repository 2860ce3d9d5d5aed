"""What goes with a message on MQTT 5, as another client's library sees it behind a mosquitto."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.mqtt.events import Outcome
from tests.broker import connected, quick, running, until


@pytest.fixture
def broker(tmp_path: Path):
    with running(tmp_path) as broker:
        yield broker


@contextlib.asynccontextmanager
async def subscriber(port: int, topic: str) -> AsyncIterator[list[MQTTMessage]]:
    """What a paho client of version 5 gets."""
    messages: list[MQTTMessage] = []
    subscribed = asyncio.Event()
    loop = asyncio.get_running_loop()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda *_: client.subscribe(topic, 1)
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    client.on_message = lambda _client, _userdata, message: messages.append(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        async with asyncio.timeout(10):
            await subscribed.wait()
        yield messages
    finally:
        client.disconnect()
        client.loop_stop()


def properties(message: MQTTMessage) -> tuple[int | None, bytes | None]:
    return (
        getattr(message.properties, "MessageExpiryInterval", None),
        getattr(message.properties, "CorrelationData", None),
    )


async def test_expiry_and_correlation_arrive(broker):
    asked = [(None, None), (3600, None), (None, b"\x00\xff"), (3600, b"r" * 200)]
    async with (
        subscriber(broker.port, "t/+") as messages,
        connected(quick(broker.port)) as (session, owner),
    ):
        for token, (expiry_s, correlation) in enumerate(asked):
            assert session.publish(
                f"t/{token}", b"do", token=token, expiry_s=expiry_s, correlation=correlation
            )
        await until(lambda: len(messages) == len(asked))
        assert owner.lost == []
    assert [message.payload for message in messages] == [b"do"] * len(asked)
    for message, (expiry_s, correlation) in zip(messages, asked, strict=True):
        left_s, came = properties(message)
        assert came == correlation
        assert (left_s is None) == (expiry_s is None)
        assert left_s is None or 3590 <= left_s <= 3600


async def test_what_is_retained_is_forgotten_in_time(broker):
    async with connected(quick(broker.port)) as (session, owner):
        session.publish("t/stays", b"here", token=1, retain=True, expiry_s=3600)
        session.publish("t/goes", b"here", token=2, retain=True, expiry_s=1)
        await until(lambda: owner.acknowledged == [1, 2])

    async def standing() -> set[str]:
        async with subscriber(broker.port, "t/+") as messages:
            await until(lambda: any(message.topic == "t/stays" for message in messages))
            return {message.topic for message in messages}

    async with asyncio.timeout(10):
        while await standing() != {"t/stays"}:
            await asyncio.sleep(0.1)


async def test_version_3_1_1_leaves_both_out(broker):
    async with (
        subscriber(broker.port, "t") as messages,
        connected(quick(broker.port, version="3.1.1")) as (session, _),
    ):
        assert session.publish("t", b"do", token=1, expiry_s=3600, correlation=b"\x01")
        await until(lambda: len(messages) == 1)
        assert session.connected
    assert messages[0].payload == b"do"
    assert properties(messages[0]) == (None, None)


async def test_properties_count_for_the_brokers_packet_limit(tmp_path):
    with running(tmp_path, "max_packet_size 2000") as broker:
        async with connected(quick(broker.port)) as (session, owner):
            assert session.publish("t", bytes(1900), token=1, correlation=bytes(80)) is Outcome.SENT
            large = session.publish("t", bytes(1900), token=2, correlation=bytes(100))
            assert large is Outcome.TOO_LARGE
            await until(lambda: owner.acknowledged == [1])
            assert owner.lost == []


async def test_what_mqtt_has_no_room_for_takes_no_place_in_the_window(broker):
    async with connected(quick(broker.port, inflight=1)) as (session, _):
        with pytest.raises(ValueError, match="65536 bytes"):
            session.publish("t", b"", token=1, correlation=bytes(65_536))
        assert session.window == 1

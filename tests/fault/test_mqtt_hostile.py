"""Brokers that send what they should not, or more than they should."""

from __future__ import annotations

import asyncio
import socket
import time
import tracemalloc
from collections.abc import Callable

import pytest

from agent.mqtt import dial as dialling
from agent.mqtt import inbound
from agent.mqtt.events import Events, Message
from agent.mqtt.failure import Cause
from tests.broker import Owner, both_loops, kept, new_session, quick, until
from tests.fault.fake_broker import CONNACK_V4, CONNACK_V5, PINGRESP, Peer, serving
from tests.mqtt_packets import packet, publish

PUBREL = b"\x62\x02\x00\x07"


async def test_qos_2_is_handed_on_once_and_answered_in_both_steps():
    said = []

    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5 + publish("cmd/1", b"do", qos=2, packet_id=7))
        said.append(await peer.packet())
        await peer.say(PUBREL)
        said.append(await peer.packet())
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port, kept(new_session(quick(port), owner.events)):
        await until(lambda: len(said) == 2)
    assert said == [b"\x50\x00\x07", b"\x70\x00\x07"]  # PUBREC, PUBCOMP; without their lengths
    assert [(message.qos, message.payload) for message in owner.messages] == [(2, b"do")]


async def test_what_is_kept_at_qos_2_is_not_even_received_before_it_is_acknowledged():
    said: list[bytes] = []
    messages: list[Message] = []

    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5 + publish("cmd/1", b"do", qos=2, packet_id=7))
        await peer.say(publish("cmd/2", b"do", qos=1, packet_id=8))
        while True:
            said.append(await peer.packet())
            if said[-1][0] == 0xC0:
                await peer.say(PINGRESP)

    def take(message: Message) -> None:
        messages.append(message)
        if message.qos == 2:
            message.keep()

    async with serving(script) as port:
        session = new_session(quick(port, keepalive_s=1), Events(on_message=take))
        async with kept(session):
            await until(lambda: b"\xc0" in said)  # whatever was written before has come
            assert len(messages) == 2
            assert said[0] == b"\xc0"
            messages[0].acknowledge()
            await until(lambda: b"\x40\x00\x08" in said)
    assert [packet for packet in said if packet != b"\xc0"][:2] == [
        b"\x50\x00\x07",
        b"\x40\x00\x08",
    ]


async def test_a_message_that_is_brought_again_before_its_acknowledgement_counts_once():
    async def script(peer: Peer) -> None:
        await peer.connect()
        kept_back = publish("cmd/1", b"do", packet_id=7, v5=False)
        await peer.say(CONNACK_V4 + kept_back + bytes((kept_back[0] | 8,)) + kept_back[1:])
        await peer.say(publish("cmd/2", b"then", packet_id=8, v5=False))
        await peer.answer_pings()

    messages: list[Message] = []

    def take(message: Message) -> None:
        messages.append(message)
        message.keep()

    async with serving(script) as port:
        session = new_session(quick(port, version="3.1.1"), Events(on_message=take))
        async with kept(session):
            await until(lambda: len(messages) == 2)
    assert [message.payload for message in messages] == [b"do", b"then"]


async def test_who_sends_on_and_on_and_takes_no_answer_is_left(monkeypatch):
    """What waits to be sent would grow for ever."""
    monkeypatch.setattr(inbound, "ANSWERS_LIMIT", 1000)
    monkeypatch.setattr(dialling, "_connect_to", _with_a_small_buffer)
    message = publish("t", packet_id=7)

    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5)
        peer.stop_reading()
        while True:
            await peer.say(message * 4096)

    owner = Owner()
    async with serving(script) as port, kept(new_session(quick(port), owner.events)):
        await until(lambda: len(owner.lost) == 1, 30)
    assert owner.lost[0].cause is Cause.PROTOCOL
    assert "takes no answer" in owner.lost[0].detail


async def _with_a_small_buffer(family: int, address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


@pytest.mark.parametrize(
    "stray",
    [b"\xc0\x00", b"\x50\x02\x00\x01", b"\x70\x02\x00\x01", b"\x82\x02\x00\x01", b"\x10\x00"],
    ids=["PINGREQ", "PUBREC", "PUBCOMP", "SUBSCRIBE", "CONNECT"],
)
async def test_what_no_broker_sends_ends_the_connection(stray):
    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5 + stray)
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port, kept(new_session(quick(port), owner.events)):
        await until(lambda: len(owner.lost) == 1)
    assert owner.lost[0].cause is Cause.PROTOCOL


@pytest.mark.parametrize("payload", [b"", b"x" * 100])
async def test_a_topic_that_is_no_utf_8_costs_no_connection(payload):
    """Some brokers pass it on; to hang up would keep a persistent session away for ever."""
    answers = []

    async def script(peer: Peer) -> None:
        await peer.connect()
        body = b"\x00\x05cmd/\xff" + b"\x00\x07" + b"\x00" + payload
        await peer.say(CONNACK_V5 + packet(0x32, body) + publish("cmd/2", b"do", packet_id=8))
        answers.extend([await peer.packet(), await peer.packet()])
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port, kept(new_session(quick(port), owner.events)):
        await until(lambda: len(answers) == 2)
        await asyncio.sleep(0)
        assert [message.topic for message in owner.messages] == ["cmd/\\xff", "cmd/2"]
        assert owner.lost == []


@both_loops
async def test_a_message_of_256_megabytes_passes_without_being_held():
    size = 64 << 20  # of those that are promised; then the broker goes
    peak = 0

    async def script(peer: Peer) -> None:
        if await peer.connect() != 5 or owner.connects:
            await peer.say(CONNACK_V5)
            await peer.answer_pings()
        await peer.say(CONNACK_V5 + b"\x32\xff\xff\xff\x7f\x00\x01t\x00\x07\x00")
        chunk = bytes(1 << 20)
        for _ in range(size >> 20):
            await peer.say(chunk)
        nonlocal peak
        peak = tracemalloc.get_traced_memory()[1]

    owner = Owner()
    tracemalloc.start()
    try:
        async with serving(script) as port:
            session = new_session(quick(port, keepalive_s=1), owner.events)
            async with kept(session):
                longest = await _longest_turn_until(lambda: len(owner.lost) > 0)
    finally:
        tracemalloc.stop()
    assert owner.lost[0].cause is Cause.CLOSED
    assert owner.messages == []
    assert session.stats.bytes_in > size
    assert 1 << 20 < peak < 8 << 20
    assert longest < 0.5


async def _longest_turn_until(condition: Callable[[], bool]) -> float:
    longest, last = 0.0, time.monotonic()
    while not condition():
        await asyncio.sleep(0.002)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return longest


@pytest.mark.parametrize(
    "head",
    [
        b"\x90\xff\xff\x7f",  # a SUBACK of 2 MB
        b"\xe0\xff\xff\xff\x7f",  # a DISCONNECT of 256 MB
        b"\x30\xff\xff\x7f\x00\x01t\xff\xff\x7f",  # 2 MB of properties
        b"\x30\xff\xff\x7f\x00\x01t\xff\xff\xff\x7f",  # 256 MB of them, more than the packet
        b"\x30\xff\xff\x7f\x00\x01t\xff\xff\xff\xff",  # a length without end
    ],
    ids=["SUBACK", "DISCONNECT", "properties", "beyond", "endless"],
)
async def test_what_is_too_large_before_its_payload_ends_the_connection(head):
    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5)
        await peer.packet()  # SUBSCRIBE: it is connected
        await peer.say(head)
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port), owner.events)
        session.subscribe(["t"])
        async with kept(session):
            await until(lambda: len(owner.lost) > 0)
    assert owner.lost[0].cause is Cause.PROTOCOL


async def test_many_large_messages_leave_room_for_what_counts():
    large = publish("cmd/1", bytes(3 << 20), packet_id=7)
    answers = 0

    async def script(peer: Peer) -> None:
        nonlocal answers
        await peer.connect()
        await peer.say(CONNACK_V5)
        for _ in range(10):
            await peer.say(large + publish("cmd/2", b"do", packet_id=8))
            for _ in range(2):
                assert (await peer.packet())[0] == 0x40
                answers += 1
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port, kept(new_session(quick(port), owner.events)):
        await until(lambda: answers == 20)
        assert owner.lost == []
    assert [message.oversized for message in owner.messages] == [3 << 20, 0] * 10

"""Brokers that send what they should not, or more than they should."""

from __future__ import annotations

import asyncio
import socket

import pytest

from agent.mqtt import dial as dialling
from agent.mqtt import inbound
from agent.mqtt.events import Events, Message
from agent.mqtt.failure import Cause
from tests.broker import Owner, kept, new_session, quick, until
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

"""The session against brokers that no real broker can be made to be: old, broken, hostile."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time

import pytest

from agent.mqtt import dial as dialling
from agent.mqtt.events import Message, Outcome
from agent.mqtt.failure import Cause
from tests.broker import Owner, both_loops, ended, kept, new_session, quick, until
from tests.fault.fake_broker import CONNACK_V4, CONNACK_V5, PINGRESP, Peer, serving


@pytest.mark.parametrize("refusal", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"])
async def test_a_broker_that_refuses_version_5_is_remembered(refusal):
    versions = []

    async def script(peer: Peer) -> None:
        versions.append(await peer.connect())
        await peer.say(refusal if versions[-1] == 5 else CONNACK_V4)
        if len(versions) < 4:
            return
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port), owner.events)
        async with kept(session):
            await until(lambda: owner.connects == 3)
    assert versions == [5, 4, 4, 4]
    assert session.stats.failures[Cause.VERSION] == 1


async def test_a_broker_that_hangs_up_on_version_5_is_tried_with_the_older():
    versions = []

    async def script(peer: Peer) -> None:
        versions.append(await peer.connect())
        if versions[-1] == 4:
            await peer.say(CONNACK_V4)
            await peer.packet()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port), owner.events)
        async with kept(session):
            for connects in (1, 2):  # the hang-up may have had another reason: 5 comes first again
                await until(lambda connects=connects: owner.connects == connects)
                assert session.publish("t", b"", token=connects)
    assert versions == [5, 4, 5, 4]


async def test_a_hang_up_does_not_lose_version_5_for_good():
    versions = []

    async def script(peer: Peer) -> None:
        versions.append(await peer.connect())
        if len(versions) >= 3:
            await peer.say(CONNACK_V5)
            await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port, kept(new_session(quick(port), owner.events)):
        await until(lambda: owner.connects == 1)
    assert versions == [5, 4, 5]


@both_loops
async def test_acknowledgements_in_crumbs_and_in_heaps():
    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5)
        acks = b""
        for _ in range(10):
            packet = await peer.packet()
            acks += b"\x40\x02" + packet[4:6]
        for byte in acks[:18]:
            await peer.say(bytes((byte,)))
            await asyncio.sleep(0)
        await peer.say(acks[18:] + acks[:4] + PINGRESP)
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port), owner.events)
        async with kept(session):
            await until(lambda: session.connected)
            for token in range(10):
                assert session.publish("t", b"", token=token)
            await until(lambda: session.stats.stray_acknowledgements == 1)
            assert owner.acknowledged == list(range(10))
            assert session.connected


async def test_a_broker_that_pings_but_never_acknowledges_is_left():
    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5)
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port, keepalive_s=1, inflight=2), owner.events)
        async with kept(session):
            await until(lambda: session.connected)
            assert session.publish("t", b"", token=4)
            await until(lambda: len(owner.lost) == 1)
            assert owner.lost[0].cause is Cause.STALLED
            assert owner.unacknowledged == [4]


async def test_a_slow_path_is_not_a_frozen_broker():
    payload = bytes(1 << 20)

    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5)
        for _ in range(28):  # 3 seconds, while nothing comes back
            await peer.reader.readexactly(1 << 18)
            await asyncio.sleep(0.11)
        read = 28 << 18
        while read < 20 << 20:
            read += len(await peer.reader.read(1 << 20))
        await peer.say(b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in range(1024, 1044)))
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port, keepalive_s=1), owner.events)
        async with kept(session):
            await until(lambda: session.connected)
            for token in range(20):
                assert session.publish("t", payload, token=token)
            await until(lambda: len(owner.acknowledged) == 20)
            assert owner.lost == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\xff\xff\xff\x7f",  # a packet of 256 MB
        b"\x30\xff\xff\xff\xff\xff",  # a length without end
        b"\x00\x00",
        b"\x30\x00",  # PUBLISH without a topic
        b"\x30\x05\x00\x02\xff\xfe\x00",  # a topic that is no UTF-8
        b"\x30\x07\x00\x01t\x7f\x01\x01\x01",  # properties beyond the packet
        b"\x40\x01\x00",  # PUBACK without a packet id
        b"\x90\x03\x00\x01\x00",  # SUBACK without a reason
        b"\x20\x02\x00",  # half a packet, then silence and the end
        b"\xe0\x01\x8b",  # DISCONNECT: server shutting down
        b"\xe0\x00",
        b"\xe0\x01\x55",  # DISCONNECT with an unknown reason
        b"\xf0\x02\x18\x00",  # AUTH, which nobody asked for
        b"\x20\x02\x00\x00",  # CONNACK in the words of 3.1.1
        CONNACK_V5 * 2,
        b"\x30\x05\x00\x01t\x00!" + CONNACK_V5 * 2,  # a message before the CONNACK
    ],
    ids=lambda data: data[:6].hex(),
)
@pytest.mark.parametrize("greeting", [b"", CONNACK_V5], ids=["before-connack", "after"])
async def test_garbage_costs_one_connection_at_most(greeting, garbage):
    connections = 0

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        version = await peer.connect()
        if connections == 1:
            await peer.say(greeting + garbage)
            await asyncio.sleep(0.02)
            return
        await peer.say(CONNACK_V5 if version == 5 else CONNACK_V4)
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port), owner.events)
        async with kept(session):
            await until(lambda: connections == 2 and session.connected)
    assert session.stats.callback_errors == 0
    assert session.stats.failures[Cause.INTERNAL] == 0
    assert owner.connects == session.stats.connects == len(owner.lost)


async def test_what_comes_before_the_connack_is_not_heard():
    async def script(peer: Peer) -> None:
        await peer.connect()
        message = b"\x30\x05\x00\x01t\x00!"
        await peer.say(message + CONNACK_V5 + message)
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port), owner.events)
        async with kept(session):
            await until(lambda: session.connected)
            assert [message.payload for message in owner.messages] == [b"!"]


async def test_the_brokers_own_words_are_repeated():
    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5 + b"\xe0\x0c\x8b\x0a\x1f\x00\x07upgrade"[:14])
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port, kept(new_session(quick(port), owner.events)):
        await until(lambda: len(owner.lost) > 0)
    assert owner.lost[0].cause is Cause.CLOSED
    assert "shutting down" in owner.lost[0].detail
    assert "upgrade" in owner.lost[0].detail


@pytest.mark.parametrize(
    ("properties", "cause"),
    [(b"\x24\x00", Cause.REFUSED), (b"\x21\x00\x03\x27\x00\x00\x00\x40", None)],
    ids=["no-qos-1", "limits"],
)
async def test_what_the_connack_grants_is_kept_to(properties, cause):
    async def script(peer: Peer) -> None:
        await peer.connect()
        body = b"\x00\x00" + bytes((len(properties),)) + properties
        await peer.say(b"\x20" + bytes((len(body),)) + body)
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port), owner.events)
        async with kept(session):
            if cause is not None:
                await until(lambda: session.stats.failures[cause] > 0)
                assert owner.connects == 0
                return
            await until(lambda: session.connected)
            assert session.window == 3
            assert session.publish("t", bytes(64), token=1) is Outcome.TOO_LARGE
            assert session.publish("t", bytes(40), token=2) is Outcome.SENT


async def test_a_client_id_in_use_elsewhere_is_named_and_not_fought_over():
    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5 + b"\xe0\x01\x8e")

    owner = Owner()
    async with serving(script) as port:
        mqtt = quick(port, reconnect_min_s=0.01, reconnect_max_s=60)
        async with kept(new_session(mqtt, owner.events)):
            await until(lambda: len(owner.lost) == 1)
            assert owner.lost[0].cause is Cause.TAKEN_OVER
            await asyncio.sleep(0.1)
            assert owner.connects == 1


async def test_a_refused_subscription_is_said(caplog):
    caplog.set_level(logging.ERROR)

    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5)
        packet = await peer.packet()
        await peer.say(b"\x90\x05" + packet[1:3] + b"\x00\x01\x87")
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port:
        session = new_session(quick(port), owner.events)
        session.subscribe(["mine", "secret/#"])
        async with kept(session):
            await until(lambda: session.stats.subscriptions_refused == 1)
            assert session.connected
    assert "secret/#" in caplog.text
    assert "mine" not in caplog.text


async def test_request_properties_come_along():
    properties = b"\x08\x00\x05reply\x09\x00\x02\x01\x02"
    body = b"\x00\x03cmd" + bytes((len(properties),)) + properties + b"do"

    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5 + b"\x31" + bytes((len(body),)) + body)
        await peer.answer_pings()

    owner = Owner()
    async with serving(script) as port, kept(new_session(quick(port), owner.events)):
        await until(lambda: len(owner.messages) == 1)
    assert owner.messages == [
        Message("cmd", b"do", 0, retain=True, response_topic="reply", correlation=b"\x01\x02")
    ]


async def test_dead_name_servers_hold_up_neither_the_loop_nor_a_stop(monkeypatch):
    asked, release = threading.Event(), threading.Event()

    def hang(_host: str, _port: int) -> OSError:
        asked.set()
        release.wait(20)
        return OSError("too late")

    monkeypatch.setattr(dialling, "_lookup", hang)
    session = new_session(quick(1, host="broker.invalid"), Owner().events)
    task = asyncio.create_task(session.run())
    await until(asked.is_set)
    began = time.monotonic()
    await ended(task)
    assert time.monotonic() - began < 0.5
    release.set()


async def test_a_name_of_several_addresses_is_tried_through(monkeypatch):
    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5)
        await peer.answer_pings()

    async with serving(script) as port:
        addresses = [
            (socket.AF_INET6, ("::1", port)),  # nobody listens there
            (socket.AF_INET, ("127.0.0.1", port)),
        ]
        monkeypatch.setattr(dialling, "_lookup", lambda _host, _port: addresses)
        session = new_session(quick(port, host="broker.invalid"), Owner().events)
        async with kept(session):
            await until(lambda: session.connected)
            assert session.stats.attempts == 1


async def test_an_address_that_swallows_packets_hides_no_other(monkeypatch):
    async def script(peer: Peer) -> None:
        await peer.connect()
        await peer.say(CONNACK_V5)
        await peer.answer_pings()

    async def connect_to(family: int, address: tuple[str, int]) -> socket.socket:
        if address[0] == "192.0.2.1":
            await asyncio.Event().wait()
        return await reach(family, address)

    reach = dialling._connect_to
    monkeypatch.setattr(dialling, "_connect_to", connect_to)
    async with serving(script) as port:
        addresses = [(socket.AF_INET, (host, port)) for host in ("192.0.2.1", "127.0.0.1")]
        monkeypatch.setattr(dialling, "_lookup", lambda _host, _port: addresses)
        session = new_session(quick(port, connect_timeout_s=0.5), Owner().events)
        async with kept(session):
            await until(lambda: session.connected)
            assert session.stats.attempts == 1


async def test_an_unknown_name_is_retried():
    session = new_session(quick(1, host=("x" * 64) + ".invalid"), Owner().events)
    async with kept(session):
        await until(lambda: session.stats.failures[Cause.UNREACHABLE] >= 2)

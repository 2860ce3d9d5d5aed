"""The session against a real mosquitto that is absent, killed, frozen, strict and back again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
import time
from pathlib import Path

import pytest

from agent.mqtt.events import Message, Outcome
from agent.mqtt.failure import Cause
from agent.mqtt.settings import SessionSettings, Statement
from tests.broker import (
    Broker,
    Owner,
    both_loops,
    connected,
    ended,
    kept,
    new_session,
    quick,
    running,
    until,
    watching,
)

STATUS = "node/status"


@pytest.fixture
def broker(tmp_path: Path):
    with running(tmp_path) as broker:
        yield broker


async def deliver(session, owner: Owner, count: int, payload: bytes = b"x" * 1200) -> None:
    """Publish as the publisher does: as much as the window takes, then more per PUBACK."""
    for token in range(count):
        if session.window == 0:
            await until(lambda: session.window > 0)
        assert session.publish(f"t/{token}", payload, token=token)
    await until(lambda: len(owner.acknowledged) == count)


async def deliver_when_connected(session, owner: Owner) -> None:
    """One message to the broker and back to us: what was waiting has come before it."""
    session.subscribe(["echo"])
    await until(lambda: session.connected)
    assert session.publish("echo", b"", token=1)
    await until(lambda: any(message.topic == "echo" for message in owner.messages))
    owner.messages[:] = [message for message in owner.messages if message.topic != "echo"]


@both_loops
async def test_a_thousand_messages_arrive_in_order_and_every_token_comes_back(broker):
    async with (
        watching(broker.port, "t/#") as seen,
        connected(quick(broker.port)) as (session, owner),
    ):
        await deliver(session, owner, 1000)
        assert owner.acknowledged == list(range(1000))
        await until(lambda: len(seen) == 1000)
    assert [message.topic for message in seen] == [f"t/{token}" for token in range(1000)]
    assert {message.payload for message in seen} == {b"x" * 1200}


@both_loops
async def test_large_payloads_pass_in_pieces(broker):
    payload = bytes(range(256)) * 8192  # 2 MiB: more than a socket buffer takes
    async with (
        watching(broker.port, "t/#") as seen,
        connected(quick(broker.port), inbound_limit=4 << 20) as (session, owner),
    ):
        assert session.publish("t/big", payload, token=1)
        assert session.publish("t/small", b"after", token=2)
        await until(lambda: len(owner.acknowledged) == 2)
        await until(lambda: len(seen) == 2)
        # The observer's limit is lower.
        assert [message.oversized for message in seen] == [len(payload), 0]
        assert [message.payload for message in seen] == [b"", b"after"]
        session.subscribe(["u/#"])
        assert session.publish("u/big", payload, token=3)
        await until(lambda: len(owner.messages) == 1)
        assert owner.messages[0].payload == payload


async def test_the_window_bounds_what_is_unacknowledged(broker):
    async with connected(quick(broker.port, inflight=5)) as (session, owner):
        assert session.window == 5
        outcomes = [session.publish("t", b"", token=token) for token in range(6)]
        assert outcomes == [Outcome.SENT] * 5 + [Outcome.FULL]
        assert session.window == 0
        await until(lambda: len(owner.acknowledged) == 5)
        assert session.window == 5


async def test_the_brokers_receive_maximum_shrinks_the_window(tmp_path):
    with running(tmp_path, "max_inflight_messages 7") as broker:
        async with connected(quick(broker.port)) as (session, _):
            assert session.window == 7


async def test_a_message_too_large_for_the_broker_is_refused_here(tmp_path):
    with running(tmp_path, "max_packet_size 2000") as broker:
        async with connected(quick(broker.port)) as (session, owner):
            head = len(b"\x32\xcd\x0f") + len(b"\x00\x01t") + len(b"\x04\x00") + 1
            assert session.publish("t", bytes(2001 - head), token=1) is Outcome.TOO_LARGE
            assert session.publish("t", bytes(2000 - head), token=2) is Outcome.SENT
            await until(lambda: owner.acknowledged == [2])
            assert session.stats.too_large == 1
            assert owner.lost == []


async def test_offline_takes_nothing():
    owner = Owner()
    session = new_session(quick(1), owner.events)
    assert session.publish("t", b"", token=1) is Outcome.OFFLINE
    assert not session.connected
    assert session.window == 0


@both_loops
async def test_an_absent_broker_is_waited_for(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    broker, owner = Broker(tmp_path), Owner()
    session = new_session(quick(broker.port), owner.events)
    async with kept(session):
        await until(lambda: session.stats.failures[Cause.UNREACHABLE] >= 3)
        broker.start()
        await until(lambda: session.connected)
    broker.stop()
    complaints = [record for record in caplog.records if "unreachable" in record.getMessage()]
    assert len(complaints) == 1


@both_loops
async def test_a_killed_broker_gives_the_tokens_back_and_is_found_again(broker):
    async with connected(quick(broker.port)) as (session, owner):
        session.subscribe(["cmd/+"])
        broker.freeze()
        for token in range(3):
            assert session.publish("t", b"", token=token)
        broker.kill()
        await until(lambda: len(owner.lost) == 1)
        assert owner.lost[0].cause is Cause.CLOSED
        assert owner.unacknowledged == [0, 1, 2]
        assert not session.connected
        broker.start()
        await until(lambda: owner.connects == 2)
        assert session.window == 20
        assert session.publish("cmd/1", b"again", token=9)
        await until(lambda: len(owner.messages) == 1)
        assert owner.acknowledged == [9]


@both_loops
async def test_a_frozen_broker_is_noticed_while_the_loop_runs_on(broker):
    async with connected(quick(broker.port, keepalive_s=1)) as (session, owner):
        broker.freeze()
        assert session.publish("t", b"", token=7)
        began = last = time.monotonic()
        longest = 0.0
        while not owner.lost:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        assert owner.lost[0].cause is Cause.FROZEN
        assert 1.5 < time.monotonic() - began < 4
        assert longest < 0.5
        assert owner.unacknowledged == [7]
        broker.thaw()
        await until(lambda: owner.connects == 2)


async def test_a_broker_that_never_answers_connect_is_given_up(broker):
    broker.freeze()  # the kernel still completes the TCP handshake
    owner = Owner()
    session = new_session(quick(broker.port, connect_timeout_s=0.2), owner.events)
    async with kept(session):
        await until(lambda: session.stats.failures[Cause.TIMEOUT] >= 2)
        broker.thaw()
        await until(lambda: session.connected)
        assert owner.lost == []  # it never was connected before


@both_loops
async def test_a_stop_says_farewell_and_the_will_stays_unsent(broker):
    words = {
        "will": lambda: Statement(STATUS, b"died"),
        "farewell": lambda: Statement(STATUS, b"left"),
    }
    async with watching(broker.port, STATUS) as seen:
        async with connected(quick(broker.port), **words) as (session, owner):
            assert session.publish(STATUS, b"here", token=1, retain=True)
        assert [lost.cause for lost in owner.lost] == [Cause.STOPPED]
        await until(lambda: len(seen) == 2)
        assert [message.payload for message in seen] == [b"here", b"left"]
    async with watching(broker.port, STATUS) as seen:
        await until(lambda: len(seen) > 0)
        assert seen == [Message(STATUS, b"left", qos=1, retain=True)]


async def test_a_farewell_waits_for_room_in_the_window(broker):
    async with watching(broker.port, STATUS) as seen:
        farewell = lambda: Statement(STATUS, b"left")  # noqa: E731
        async with connected(quick(broker.port, inflight=1), farewell=farewell) as (session, owner):
            assert session.publish("t", b"", token=1)
            assert session.window == 0
        await until(lambda: len(seen) == 1)
        assert owner.acknowledged == [1]


@both_loops
async def test_a_stop_under_a_frozen_broker_is_quick_and_leaves_the_will(broker):
    owner = Owner()
    session = new_session(
        quick(broker.port),
        owner.events,
        will=lambda: Statement(STATUS, b"died"),
        farewell=lambda: Statement(STATUS, b"left"),
        farewell_timeout_s=0.5,
    )
    task = asyncio.create_task(session.run())
    await until(lambda: session.connected)
    broker.freeze()
    session.publish("t", b"", token=3)
    began = time.monotonic()
    await ended(task)
    assert 0.5 <= time.monotonic() - began < 1
    assert not session.publish("t", b"", token=4)
    assert owner.unacknowledged == [3]
    broker.thaw()
    async with watching(broker.port, STATUS) as seen:
        await until(lambda: any(message.payload == b"died" for message in seen))


def test_a_stop_takes_less_than_three_seconds():
    settings = SessionSettings(mqtt=quick(1), client_id="any", clean=True)
    assert settings.farewell_timeout_s <= 2


async def test_a_stop_between_attempts_is_immediate(tmp_path):
    session = new_session(quick(1, reconnect_min_s=60, reconnect_max_s=60), Owner().events)
    task = asyncio.create_task(session.run())
    await until(lambda: session.stats.failures[Cause.UNREACHABLE] == 1)
    began = time.monotonic()
    await ended(task)
    assert time.monotonic() - began < 0.5


def with_passwords(directory: Path, **accounts: str) -> tuple[str, ...]:
    path = directory / "passwords"
    path.touch()
    for name, password in accounts.items():
        subprocess.run(["mosquitto_passwd", "-b", str(path), name, password], check=True)
    path.chmod(0o644)  # mosquitto drops its privileges before it reads
    return (f"password_file {path}",)


async def test_a_wrong_password_is_said_once_and_a_rotated_one_is_read(tmp_path, caplog):
    secret = tmp_path / "secret"
    secret.write_text("sesame-1\n")
    mqtt_keys = {"username": "stoker", "password_file": str(secret)}
    options = with_passwords(tmp_path, stoker="sesame-2")
    owner = Owner()
    with running(tmp_path, *options, anonymous=False) as broker:
        session = new_session(quick(broker.port, **mqtt_keys), owner.events)
        async with kept(session):
            await until(lambda: session.stats.failures[Cause.DENIED] >= 3)
            secret.unlink()
            await until(lambda: session.stats.failures[Cause.CREDENTIALS] >= 2)
            secret.write_text("sesame-2\n")
            await until(lambda: session.connected)
    said = [record.getMessage() for record in caplog.records]
    assert sum("denied" in line for line in said) == 1
    assert sum("credentials" in line for line in said) == 1
    assert not any("sesame" in line for line in said)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_refused_publish_is_told(tmp_path, version):
    (tmp_path / "acl").write_text("topic write allowed/#\ntopic read allowed/#\n")
    with running(tmp_path, f"acl_file {tmp_path / 'acl'}") as broker:
        async with connected(quick(broker.port, version=version)) as (session, owner):
            assert session.publish("forbidden", b"", token=1)
            assert session.publish("allowed/x", b"", token=2)
            await until(lambda: 2 in owner.acknowledged)
            if version == "5":  # 3.1.1 cannot tell
                assert owner.refused == [(1, 0x87)]
                assert owner.acknowledged == [2]


@both_loops
async def test_a_persistent_session_gets_what_came_meanwhile(broker):
    keys = {"client_id": "control", "clean": False}
    for version, round_ in itertools.product(("5", "3.1.1"), range(2)):
        mqtt, owner = quick(broker.port, version=version), Owner()
        session = new_session(mqtt, owner.events, **keys)
        session.subscribe([f"cmd/{version}/+"])
        async with kept(session):
            await deliver_when_connected(session, owner)
            if round_ == 1:
                assert [message.payload for message in owner.messages] == [b"while you were away"]
        async with connected(quick(broker.port)) as (other, told):
            other.publish(f"cmd/{version}/1", b"while you were away", token=1)
            await until(lambda: told.acknowledged == [1])


async def test_a_clean_session_does_not(broker):
    for _ in range(2):
        owner = Owner()
        session = new_session(quick(broker.port), owner.events, client_id="telemetry")
        session.subscribe(["cmd/+"])
        async with kept(session):
            await deliver_when_connected(session, owner)
            assert owner.messages == []
        async with connected(quick(broker.port)) as (other, told):
            other.publish("cmd/1", b"", token=1)
            await until(lambda: told.acknowledged == [1])


async def test_a_version_3_1_1_session_works(broker):
    async with connected(quick(broker.port, version="3.1.1")) as (session, owner):
        session.subscribe(["t/#"])
        await deliver(session, owner, 50)
        await until(lambda: len(owner.messages) == 50)


async def test_owners_errors_are_counted_and_end_nothing(broker, caplog):
    class Clumsy(Owner):
        def _on_connect(self) -> None:
            super()._on_connect()
            raise RuntimeError("on connect")

    def fail(*_):
        raise RuntimeError("later")

    owner = Clumsy()
    events = type(owner.events)(
        on_connect=owner._on_connect, on_puback=fail, on_message=fail, on_disconnect=fail
    )
    session = new_session(quick(broker.port), events)
    session.subscribe(["t"])
    async with kept(session):
        await until(lambda: owner.connects == 1)
        for token in range(3):
            session.publish("t", b"", token=token)
        await until(lambda: session.stats.callback_errors == 1 + 3 + 3)
        assert session.connected
    assert session.stats.callback_errors == 8
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 4  # each callback's first


async def test_a_will_that_cannot_be_told_leaks_nothing_and_is_tried_again(broker, caplog):
    tries = []

    def will() -> Statement:
        tries.append(1)
        if len(tries) < 3:
            raise RuntimeError("not yet")
        return Statement(STATUS, b"died")

    async with connected(quick(broker.port), will=will) as (session, _):
        assert session.stats.failures[Cause.INTERNAL] == 2


async def test_a_bad_filter_is_refused_before_it_is_remembered(broker):
    async with connected(quick(broker.port)) as (session, owner):
        with pytest.raises(ValueError, match="a/#/b"):
            session.subscribe(["good", "a/#/b"])
        session.subscribe(["good"])
        session.publish("good", b"", token=1)
        await until(lambda: len(owner.messages) == 1)


async def test_messages_carry_retain_and_the_empty_payload(broker):
    async with connected(quick(broker.port)) as (session, owner):
        session.publish("alarm/1", b"hot", token=1, retain=True)
        await until(lambda: owner.acknowledged == [1])
        session.subscribe(["alarm/+"])
        await until(lambda: len(owner.messages) == 1)
        assert owner.messages[0].retain
        session.publish("alarm/1", b"", token=2, retain=True)
        await until(lambda: len(owner.messages) == 2)
    async with watching(broker.port, "alarm/+") as seen:
        assert seen == []


async def test_packet_ids_wrap_and_skip_what_is_in_flight(broker):
    async with connected(quick(broker.port, inflight=1000)) as (session, owner):
        session._link._mid = 65_500
        await deliver(session, owner, 1000, b"")
        owner.acknowledged.clear()
        for token in range(3):
            session._link._mid = 65_535
            assert session.publish("t", b"", token=token)
        assert list(session._link._unacknowledged) == [65_535, 1024, 1025]
        await until(lambda: owner.acknowledged == [0, 1, 2])
        assert session.stats.stray_acknowledgements == 0

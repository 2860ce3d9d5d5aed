"""The demo's broker, and the session against it: rumqttd is not mosquitto."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("iotcore", reason="the demo extra is not installed")

from agent.cli.embedded_broker import EmbeddedBroker, EmbeddedBrokerError
from agent.mqtt.settings import Statement
from tests.broker import both_loops, connected, free_port, quick, until, watching


@pytest.fixture
def broker():
    with EmbeddedBroker() as broker:
        yield broker


@both_loops
async def test_a_thousand_messages_arrive(broker):
    async with (
        watching(broker.port, "t/#") as seen,
        connected(quick(broker.port)) as (session, owner),
    ):
        for token in range(1000):
            if session.window == 0:
                await until(lambda: session.window > 0)
            assert session.publish(f"t/{token}", b"x" * 1200, token=token)
        await until(lambda: len(owner.acknowledged) == 1000)
        await until(lambda: len(seen) == 1000)
        assert sorted(owner.acknowledged) == list(range(1000))
        assert {message.topic for message in seen} == {f"t/{token}" for token in range(1000)}


async def test_retained_messages_large_payloads_and_the_farewell(broker):
    words = {
        "will": lambda: Statement("status", b"died"),
        "farewell": lambda: Statement("status", b"left"),
    }
    async with (
        watching(broker.port, "big") as seen,
        connected(quick(broker.port), **words) as (session, owner),
    ):
        assert session.publish("status", b"here", token=1, retain=True)
        assert session.publish("big", bytes(200_000), token=2)
        await until(lambda: sorted(owner.acknowledged) == [1, 2])
        await until(lambda: len(seen) == 1)
        assert len(seen[0].payload) == 200_000
        async with watching(broker.port, "status") as status:
            await until(lambda: [message.payload for message in status] == [b"here"])
            assert status[0].retain
    async with watching(broker.port, "status") as status:
        await until(lambda: [message.payload for message in status] == [b"left"])


async def test_the_will_is_sent_for_a_session_that_dies(broker):
    will = {"will": lambda: Statement("status", b"died")}
    async with (
        watching(broker.port, "status") as seen,
        connected(quick(broker.port), **will) as (session, _),
    ):
        session._link._pipe.close()  # as a cut cable
        await until(lambda: [message.payload for message in seen] == [b"died"])


async def test_a_session_survives_a_restart_of_the_broker():
    broker = EmbeddedBroker()
    broker.start()
    try:
        async with connected(quick(broker.port)) as (session, owner):
            broker.stop()
            await until(lambda: len(owner.lost) == 1)
            broker.start()
            await until(lambda: owner.connects == 2)
            assert session.publish("t", b"", token=1)
            await until(lambda: owner.acknowledged == [1])
    finally:
        broker.stop()


def test_it_ends_cleanly_and_twice():
    broker = EmbeddedBroker()
    broker.start()
    assert broker.running
    broker.stop()
    broker.stop()
    assert not broker.running


def test_a_port_in_use_is_said(broker):
    with pytest.raises(EmbeddedBrokerError, match=str(broker.port)):
        EmbeddedBroker(broker.port).start()


def test_the_wanted_port_is_used():
    port = free_port()
    with EmbeddedBroker(port) as broker:
        assert broker.port == port


def test_ctrl_c_does_not_reach_it_and_it_dies_with_its_parent():
    script = (
        "import signal, sys\n"
        "from agent.cli.embedded_broker import EmbeddedBroker\n"
        "broker = EmbeddedBroker()\n"
        "broker.start()\n"
        "print(broker._process.pid, flush=True)\n"
        "signal.pause()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert os.getpgid(child) != os.getpgid(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while _alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

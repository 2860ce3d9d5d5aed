"""The broker absent, killed, frozen and back, while the agent goes on polling."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.harness import Node, Subscriber, simulated, wait_until

COUNT = 20
ADDRESSES = f"127.22.0.1-127.22.0.{COUNT}"
SIM = ("--network", "127.22.0.0/16", "--count", str(COUNT), "--delay-scale", "0")


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[tuple[int, int]]:
    with simulated(tmp_path, *SIM) as (rpc_port, web_port, _):
        yield rpc_port, web_port


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[Broker]:
    """A broker that keeps what was retained over a restart."""
    broker = Broker(
        tmp_path,
        "max_queued_messages 0",
        "persistence true",
        f"persistence_location {tmp_path}/",
        "autosave_interval 1",
    )
    yield broker
    if broker.running:
        broker.stop()


def node_for(tmp_path: Path, broker: Broker, ports: tuple[int, int]) -> Node:
    return Node(
        tmp_path,
        broker_port=broker.port,
        addresses=ADDRESSES,
        rpc_port=ports[0],
        web_port=ports[1],
    )


def polls(node: Node) -> int:
    return int(node.status()["polls"]["outcomes"].get("ok", 0))


def goes_on_polling(node: Node) -> None:
    before = polls(node)
    wait_until(lambda: polls(node) > before + 2 * COUNT, 15, "polls while the broker is away")


def backlog(node: Node) -> int:
    return int(node.status()["delivery"]["telemetry"]["backlog"]["readings"])


def is_connected(node: Node) -> bool:
    return all(way["connected"] for way in node.status()["delivery"].values())


def test_absent_at_start(tmp_path: Path, lasting: Broker, ports: tuple[int, int]) -> None:
    with node_for(tmp_path, lasting, ports) as node:
        node.await_devices(COUNT)
        goes_on_polling(node)
        assert not is_connected(node)
        lasting.start()
        wait_until(lambda: is_connected(node), 10, "connected")
        with Subscriber(lasting.port) as subscriber:
            subscriber.wait_for(lambda: subscriber.on("/node/n1/status"))
            assert subscriber.on("/node/n1/status")[-1]["state"] == "online"
            subscriber.wait_for(lambda: len(subscriber.by_device) >= COUNT)


def test_killed_and_back(tmp_path: Path, lasting: Broker, ports: tuple[int, int]) -> None:
    lasting.start()
    with node_for(tmp_path, lasting, ports) as node:
        node.await_devices(COUNT)
        wait_until(lambda: is_connected(node), 10, "connected")
        for round_ in range(1, 4):
            lasting.kill()
            wait_until(lambda: not is_connected(node), 10, "noticed")
            goes_on_polling(node)
            lasting.start()
            wait_until(lambda: is_connected(node), 10, "connected again")
            for way in node.status()["delivery"].values():
                assert way["connects"] == 1 + round_
        with Subscriber(lasting.port) as subscriber:
            subscriber.wait_for(lambda: subscriber.on("/node/n1/status"))
            assert subscriber.on("/node/n1/status")[-1]["state"] == "online"


def test_frozen_and_back(tmp_path: Path, lasting: Broker, ports: tuple[int, int]) -> None:
    lasting.start()
    with node_for(tmp_path, lasting, ports) as node, Subscriber(lasting.port) as subscriber:
        node.await_devices(COUNT)
        wait_until(lambda: is_connected(node), 10, "connected")
        lasting.freeze()
        # The keepalive of the test is 5 s: twice that without a sign of life is too long.
        wait_until(lambda: not is_connected(node), 25, "frozen broker noticed")
        goes_on_polling(node)
        lasting.thaw()
        wait_until(lambda: is_connected(node), 15, "connected again")
        before = sum(subscriber.by_device.values())
        subscriber.wait_for(lambda: sum(subscriber.by_device.values()) > before + 3 * COUNT)
        # The Will of the connection that was given up comes late: the last word must be right.
        subscriber.wait_for(lambda: subscriber.on("/node/n1/status")[-1]["state"] == "online")


def test_what_was_measured_meanwhile_is_delivered(
    tmp_path: Path, lasting: Broker, ports: tuple[int, int]
) -> None:
    lasting.start()
    with node_for(tmp_path, lasting, ports) as node:
        node.await_devices(COUNT)
        with Subscriber(lasting.port):
            wait_until(lambda: is_connected(node), 10, "connected")
        lasting.kill()
        goes_on_polling(node)
        assert backlog(node) >= 2 * COUNT
        lasting.start()
        with Subscriber(lasting.port) as subscriber:
            wait_until(lambda: is_connected(node), 10, "connected again")
            wait_until(lambda: backlog(node) < 3 * COUNT, 20, "drained")
            assert not node.status()["delivery"]["telemetry"]["spool"]["lost"]
            subscriber.wait_for(lambda: subscriber.on("/telemetry/hist"))
            subscriber.wait_for(lambda: len(subscriber.readings()) >= COUNT)

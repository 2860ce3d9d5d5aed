"""The main job from end to end: simulated miners, the agent, mosquitto, a subscriber."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from tests.broker import Broker
from tests.harness import Node, Subscriber, simulated, wait_until

ADDRESSES = "127.20.0.1-127.20.0.60"


def answers(log: Path, port: int, commands: set[str]) -> Counter[str]:
    """Complete answers by address, of the commands that make a reading."""
    found: Counter[str] = Counter()
    before: dict[str, str] = {}
    for line in log.read_text().splitlines():
        said = json.loads(line)
        former, before[said["address"]] = before.get(said["address"]), said["command"]
        if (former, said["command"]) == ("version", "stats"):
            continue  # the probe's: it looks for the words of a firmware
        # A refused joined request is complete, too, but says no rate.
        told = said["complete"] and said["ghs"] is not None
        if told and said["port"] == port and said["command"] in commands:
            found[said["address"]] += 1
    return found


def test_every_complete_answer_arrives(tmp_path: Path, broker: Broker) -> None:
    log = tmp_path / "answers.jsonl"
    options = ("--network", "127.20.0.0/16", "--count", "60", "--log", str(log))
    with (
        simulated(tmp_path, *options, "--delay-scale", "0.2") as (rpc_port, web_port, sim),
        Subscriber(broker.port) as subscriber,
        Node(
            tmp_path,
            broker_port=broker.port,
            addresses=ADDRESSES,
            rpc_port=rpc_port,
            web_port=web_port,
        ) as node,
    ):
        node.await_devices(60)
        subscriber.wait_for(lambda: len(subscriber.readings()) > 60 * 5)
        assert node.process
        node.process.stop()
        sim.stop()
        polls = answers(log, rpc_port, {"stats", "summary+devs+pools+stats", "stats+pools"})
        address_of = {
            device["identity"]["id"]: device["address"]
            for page in subscriber.on("/inventory/n1/")
            for device in page["devices"]
        }
        seen: Counter[str] = Counter()
        for reading in subscriber.readings():
            seen[address_of[reading["device_id"]]] += 1
    assert sum(seen.values()) > 300
    for address, count in polls.items():
        # An agent that stops may leave one poll of each device unread.
        assert count - 1 <= seen[address] <= count, address


def test_status_inventory_and_summary(tmp_path: Path, broker: Broker) -> None:
    options = ("--network", "127.20.0.0/16", "--count", "60", "--delay-scale", "0")
    with (
        simulated(tmp_path, *options) as (rpc_port, web_port, _),
        Node(
            tmp_path,
            broker_port=broker.port,
            addresses=ADDRESSES,
            rpc_port=rpc_port,
            web_port=web_port,
        ) as node,
    ):
        node.await_devices(60)
        wait_until(lambda: node.status()["totals"]["devices"] >= 60, 10, "60 miners")
        with Subscriber(broker.port) as late:
            late.wait_for(
                lambda: any(
                    m["devices"] >= 61
                    for m in late.on("/inventory/n1")
                    if isinstance(m.get("devices"), int)
                )
            )
            status = late.on("/node/n1/status")[-1]
            assert status["state"] == "online"
            assert status["control"] == "observe only"
            late.wait_for(lambda: late.on("/summary/n1"))
            totals = late.on("/summary/n1")[-1]["totals"]
            assert totals["by_state"]["mining"] == 60
            assert totals["power_reported_w"] == 0  # stock miners say no watts: none are invented
            assert totals["without_power"] == 60
            late.wait_for(late.readings)
            assert node.process
            node.process.stop()
            late.wait_for(lambda: late.on("/node/n1/status")[-1]["state"] == "offline")
            assert (tmp_path / "run.err").read_text().count("Traceback") == 0


def test_a_restarted_agent_knows_its_devices(tmp_path: Path, broker: Broker) -> None:
    options = ("--network", "127.20.0.0/16", "--count", "20", "--delay-scale", "0")
    with simulated(tmp_path, *options) as (rpc_port, web_port, _):
        node = Node(
            tmp_path,
            broker_port=broker.port,
            addresses="127.20.0.1-127.20.0.20",
            rpc_port=rpc_port,
            web_port=web_port,
        )
        with node:
            node.await_devices(20)
        first = node.status() if node.process and node.process.popen.poll() is None else None
        assert first is None
        with node:
            node.await_devices(20)
            events = node.status()["events"]
            stock = node.status()["events"].get("device.found", 0)
            assert "device.replaced" not in events
            assert "device.moved" not in events
            assert stock < 20  # only those without a MAC are found anew
            assert node.status()["status"]["epoch"] == 2

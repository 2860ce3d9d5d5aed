"""Every dialect from end to end: simulated machines of every type, the agent, mosquitto."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from drivers.registry import DRIVERS
from drivers.sim.models import load_models
from tests.broker import Broker
from tests.harness import Node, Subscriber, simulated, wait_until

COUNT = 240
ADDRESSES = f"127.27.0.1-127.27.0.{COUNT}"


def test_every_dialect_reaches_the_broker(tmp_path: Path, broker: Broker) -> None:
    mix = ",".join(f"{name}=1" for name in load_models())
    options = ("--network", "127.27.0.0/16", "--count", str(COUNT), "--mix", mix)
    with (
        simulated(tmp_path, *options, "--delay-scale", "0.2") as (_, _, sim),
        Subscriber(broker.port) as subscriber,
        Node(
            tmp_path,
            broker_port=broker.port,
            addresses=ADDRESSES,
            interval_s=3.0,
            deadline_s=2.5,
            **sim.ports,
        ) as node,
    ):
        node.await_devices(COUNT, timeout_s=60)
        devices = wait_until(lambda: _listed(subscriber), 30, "every device in the inventory")
        by_driver: dict[str, list[dict[str, Any]]] = defaultdict(list)
        subscriber.wait_for(lambda: len(_last(subscriber)) >= COUNT)
        for device_id, reading in _last(subscriber).items():
            by_driver[devices[device_id]].append(reading)
        events = subscriber.on("/event/n1")
    assert set(by_driver) == set(DRIVERS)
    for driver, readings in by_driver.items():
        states = {reading["state"] for reading in readings}
        # Proto Rigs show what they do to nobody without a password.
        assert states == ({"unknown"} if driver == "proto" else {"mining"}), (driver, states)
        assert all(reading["boards"] for reading in readings), driver
        assert driver == "proto" or all(reading["hashrate_ths"] for reading in readings), driver
    assert {event["name"] for event in events} == {"device.found"}


def _listed(subscriber: Subscriber) -> dict[str, str] | None:
    pages = {page["page"]: page for page in subscriber.on("/inventory/n1/")}
    devices = [device for page in pages.values() for device in page["devices"]]
    found = {device["identity"]["id"]: device["driver"] for device in devices}
    found = {device_id: driver for device_id, driver in found.items() if driver in DRIVERS}
    return found if len(found) >= COUNT else None


def _last(subscriber: Subscriber) -> dict[str, dict[str, Any]]:
    return {reading["device_id"]: reading for reading in subscriber.readings()}

"""One kill of the agent that meets every step of many changes, and what comes of it.

Every step has a simulated machine of its own. A gate stops each machine at its step; when all have
come that far, the agent is killed, and the one that is started next is watched.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from agent.local import client
from drivers.sim.site import Site
from tests.broker import running
from tests.e2e.gate import Gate, Stop, When
from tests.e2e.steps import POOLS, Change, Seen, Step, steps_of
from tests.harness import Node, Subscriber, simulated, wait_until

NETWORK, COUNT, ADDRESSES = "127.29.0.0/16", 500, "127.29.0.1-127.29.1.244"
STOPPED_S = 9.0
"""Drivers wait 10 s and longer for an answer: all machines have to stand at their step at once."""
RIGHT_S = 90.0
PARAMS: dict[str, dict[str, Any]] = {
    "pools.set": {"pools": POOLS},
    "power.limit": {"watts": 2400},
}
CONTROL = """\
[control]
starts_per_minute = 100000
starts_per_group_per_minute = 100000
[[control.allow]]
[[control.allow]]
drivers = ["hiveon", "mskminer", "sealminer"]
[locations]
file = "{racks}"
"""


def walk(directory: Path, changes: Sequence[Change], *, again: bool = False) -> list[Seen]:
    """Kill the agent at all steps of these changes, and see what the next one makes of it.

    `again` kills also the next one, after the first write by which it puts a machine right.
    """
    mix = {change.model: 0.0 for change in changes}
    for change in changes:
        mix[change.model] += 2 * change.steps + 3
    seen = _placed(mix, [step for change in changes for step in steps_of(change)])
    with _site(directory, mix, seen) as (node, gate, subscriber):
        one = _Walk(seen, node, gate, subscriber)
        one.begin()
        one.kill()
        if again:
            one.kill_again()
        one.put_right()
    return seen


def _placed(mix: dict[str, float], steps: list[Step]) -> list[Seen]:
    site = Site(1, NETWORK, COUNT, mix=mix)
    free: dict[str, list[str]] = defaultdict(list)
    for address in site.addresses():
        model = site.model_at(address)
        assert model
        free[model.name].append(address)
    return [Seen(free[step.change.model].pop(), step) for step in steps]


@contextmanager
def _site(
    directory: Path, mix: dict[str, float], seen: list[Seen]
) -> Iterator[tuple[Node, Gate, Subscriber]]:
    racks = directory / "racks.csv"
    rows = [f"{each.address},{each.step.rack}" for each in seen]
    racks.write_text("\n".join(["range,rack", *rows, ""]))
    models = ",".join(f"{model}={weight:g}" for model, weight in mix.items())
    options = ("--network", NETWORK, "--count", str(COUNT), "--delay-scale", "0.02", "--mix")
    with ExitStack() as stack:
        broker = stack.enter_context(running(directory, "max_queued_messages 0"))
        _, _, sim = stack.enter_context(simulated(directory, *options, models))
        addresses = [each.address for each in seen]
        gate = stack.enter_context(Gate(addresses, sim.ports))
        subscriber = stack.enter_context(Subscriber(broker.port))
        node = Node(
            directory,
            broker_port=broker.port,
            addresses=ADDRESSES,
            more=CONTROL.format(racks=racks),
            **gate.ports,
        )
        yield stack.enter_context(node), gate, subscriber


class _Walk:
    def __init__(self, seen: list[Seen], node: Node, gate: Gate, subscriber: Subscriber) -> None:
        self._seen = seen
        self._killed = [each for each in seen if each.step.number is not None]
        self._spare = [each for each in seen if each.step.number is None]
        self._node = node
        self._gate = gate
        self._subscriber = subscriber
        self._orders: list[threading.Thread] = []
        self._boots: list[str] = []

    def begin(self) -> None:
        """Wait until every machine is known and mines."""
        self._boots.append(self._node.status()["status"]["boot_id"])
        self._subscriber.wait_for(lambda: len(self._devices()) == len(self._seen), 60)
        devices = self._devices()
        for each in self._seen:
            device = devices[each.address]
            each.device_id, each.driver = device["identity"]["id"], device["driver"]
        wait_until(self._all_mine, 60, "all machines mine")
        for each in self._seen:
            each.pools_before = each.pools

    def _devices(self) -> dict[str, dict[str, Any]]:
        pages = self._subscriber.on("/inventory/n1/")
        devices = [device for page in pages for device in page["devices"]]
        return {each["address"]: each for each in devices if each["address"]}

    def _all_mine(self) -> bool:
        self._look()
        return all(each.state == "mining" for each in self._seen)

    def kill(self) -> None:
        """Order all changes, and kill the agent when each stands at its step."""
        stops = self._watch(self._killed)
        self._order(self._killed)
        wait_until(lambda: all(each.reached for each in stops), STOPPED_S, "all at their steps")
        self._kill()
        self._end_orders()

    def kill_again(self) -> None:
        """Start it again, and kill it when all have been written to, or needed no write."""
        watch = self._gate.watch
        pairs = [
            (each, watch(each.address, each.step.change.writes, 1, When.AFTER))
            for each in self._killed
        ]
        self._start()
        until = time.monotonic() + STOPPED_S
        while time.monotonic() < until:
            self._look()
            if all(stop.reached or each.is_over for each, stop in pairs):
                break
            time.sleep(0.2)
        for each, stop in pairs:
            each.killed_twice = stop.reached
        self._kill()

    def put_right(self) -> None:
        """Start it again, have machines changed that nobody touched, and wait for all of them.

        What does not come in time is left to whoever looks at what was seen.
        """
        self._start()
        self._look()
        wait_until(self._spare_are_read, 60, "readings of the spare machines")
        counts = self._watch(self._spare)
        self._order(self._spare)
        until = time.monotonic() + RIGHT_S
        while time.monotonic() < until and not all(each.is_over for each in self._seen):
            time.sleep(0.5)
            self._look()
        self._end_orders()
        for each, count in zip(self._spare, counts, strict=True):
            each.writes = count.sent

    def _spare_are_read(self) -> bool:
        self._look()
        return all(each.readings for each in self._spare)

    def _start(self) -> None:
        self._node.start()
        self._boots.append(self._node.status()["status"]["boot_id"])

    def _kill(self) -> None:
        assert self._node.process
        self._node.process.kill()
        self._gate.open()

    def _look(self) -> None:
        readings: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for reading in self._subscriber.readings():
            if reading["boot_id"] == self._boots[-1]:
                readings[reading["device_id"]].append(reading)
        events: dict[str, list[str]] = defaultdict(list)
        for event in self._subscriber.on("/event/"):
            if event["boot_id"] in self._boots[1:] and event["device_id"]:
                events[event["device_id"]].append(event["name"])
        for each in self._seen:
            each.readings, each.events = readings[each.device_id], events[each.device_id]

    def _watch(self, machines: list[Seen]) -> list[Stop]:
        steps = [(each.address, each.step) for each in machines]
        watch = self._gate.watch
        return [watch(at, step.change.writes, step.number, step.when) for at, step in steps]

    # --- orders, each followed by a thread -------------------------------------------------

    def _order(self, machines: list[Seen]) -> None:
        by_address = {each.address: each for each in machines}
        for rack, verb in {(each.step.rack, each.step.change.verb) for each in machines}:
            thread = threading.Thread(target=self._follow, args=(rack, verb, by_address))
            thread.start()
            self._orders.append(thread)

    def _follow(self, rack: str, verb: str, by_address: dict[str, Seen]) -> None:
        params = PARAMS.get(verb, {})
        request = {"op": "act", "target": f"rack={rack}", "verb": verb, "params": params}
        with contextlib.suppress(OSError):  # the agent is killed
            for line in client.stream(self._node.socket, **request):
                if "result" in line:
                    result = line["result"]
                    seen = by_address[result["address"]]
                    seen.verdict, seen.words = result["verdict"], result["words"]

    def _end_orders(self) -> None:
        for thread in self._orders:
            thread.join(20)
            assert not thread.is_alive()
        self._orders.clear()

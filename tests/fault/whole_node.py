"""A whole node with everything around it, for faults that are to be seen from outside.

A simulated site, `stoker run`, a proxy, mosquitto and a consumer, each on its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.answered import AT_RISK_S, MIX, polls_of
from tests.broker import Broker, running
from tests.consumer import Consumer
from tests.fault.proxy import Proxy
from tests.harness import Node, Process, simulated, wait_until
from tests.ledger import Ledger, Number, Verdict, compare, holes_in, seconds

SAID_S = 0.2
"""An answer that was complete so long before a SIGTERM has been read."""


class Witness(Consumer):
    """A consumer that also keeps events and summaries, each with the time at which it came."""

    def __init__(self, port: int) -> None:
        self.events: list[dict[str, Any]] = []
        self.summaries: list[tuple[float, dict[str, Any]]] = []
        super().__init__(port)

    def _contents(self, topic: str, payload: bytes) -> list[dict[str, Any]]:
        contents = super()._contents(topic, payload)
        if "/event/" in topic:
            self.events += contents
        elif "/summary/" in topic:
            self.summaries += [(time.time(), content) for content in contents]
        return contents

    def told(self, name: str) -> list[dict[str, Any]]:
        """What events of a name say, repeats included."""
        return [event for event in list(self.events) if event["name"] == name]

    def readings(self) -> int:
        """How many different readings have come."""
        return self._of("telemetry")

    def _of(self, stream: str) -> int:
        with self._lock:
            return sum(number.stream == stream for number in self.ledger.by_number)


class Whole:
    """Everything, started. A test strikes at its parts, then asks for a verdict."""

    def __init__(
        self,
        *,
        node: Node,
        broker: Broker,
        proxy: Proxy,
        consumer: Witness,
        sim: Process,
        log: Path,
        count: int,
    ) -> None:
        self.node = node
        self.broker = broker
        self.proxy = proxy
        self.consumer = consumer
        self.count = count
        self.kills: list[float] = []
        self._ends: list[float] = []
        """When SIGTERM or SIGKILL were sent."""
        self._sim = sim
        self._log = log

    @property
    def spool(self) -> Path:
        """Where the agent keeps what it has not delivered."""
        return self.node.directory / "state" / "spool"

    def telemetry(self) -> dict[str, Any]:
        """What the status says of the way of readings and events."""
        found: dict[str, Any] = self.node.status()["delivery"]["telemetry"]
        return found

    def backlog(self) -> int:
        """Readings that the spool still keeps."""
        return int(self.telemetry()["backlog"]["readings"])

    def connected(self) -> list[bool]:
        """Whether each of the two connections stands, control first."""
        delivery = self.node.status()["delivery"]
        return [delivery[way]["connected"] for way in ("control", "telemetry")]

    def receives(self, more: int, timeout_s: float = 15.0) -> None:
        """Wait until so many more readings have come."""
        before = self.consumer.readings()
        wait_until(lambda: self.consumer.readings() >= before + more, timeout_s, f"{more} more")

    def goes_on_polling(self) -> None:
        """Wait until every machine was read twice more."""
        before = self._polls()
        wait_until(lambda: self._polls() > before + 2 * self.count, 15, "polls")

    def _polls(self) -> int:
        return int(self.node.status()["polls"]["outcomes"].get("ok", 0))

    def fills_its_window(self, inflight: int) -> None:
        """Wait until as many messages are under way as may be."""
        wait_until(lambda: self.telemetry()["uplink"]["under_way"] == inflight, 10, "a full window")

    def stop(self) -> float:
        """SIGTERM; how many seconds the end took. All that was read before it is owed."""
        assert self.node.process
        self._ends.append(time.time())
        began = time.monotonic()
        assert self.node.process.stop() == 0
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL."""
        assert self.node.process
        self.kills.append(time.time())
        self._ends.append(self.kills[-1])
        self.node.process.kill()

    def starts(self) -> None:
        """Start the agent again, and wait until it reads what it knows."""
        self.node.start()
        self.goes_on_polling()

    def drains(self, timeout_s: float = 30.0) -> None:
        """Wait until nothing waits that is older than what goes live."""

        def drained() -> bool:
            way = self.telemetry()
            oldest = way["backlog"]["oldest_at"].values()
            return bool(way["connected"]) and all(time.time() - seconds(at) < 2 for at in oldest)

        wait_until(drained, timeout_s, "the backlog to be gone")

    def ends(self) -> Ledger:
        """Deliver what is there, stop, and wait until the consumer has it all."""
        self.drains()
        self.receives(1)
        time.sleep(0.35)  # readings go out in bunches: let the next one be nearly full
        self.stop()
        self.consumer.until_quiet(0.5, 20.0)
        assert not self.consumer.problems, self.consumer.problems[:3]
        return self.consumer.ledger

    def verdict(self) -> Verdict:
        """The oracle's word; without a kill, what was read in the last second counts as well."""
        self._sim.stop()
        polls = polls_of(self._log, self._ends, AT_RISK_S if self.kills else SAID_S)
        return compare(polls, self.consumer.ledger, self.kills)

    def missing(self, stream: str) -> set[int]:
        """Numbers of the one run so far, below the highest, that never came."""
        seqs = {each.seq for each in self.consumer.ledger.by_number if each.stream == stream}
        return set(range(1, max(seqs))) - seqs

    def unnamed(self) -> list[Number]:
        """Numbers that are missing and in no gap record."""
        return holes_in(self.consumer.ledger, self.kills)


def configured(text: str, section: str, keys: str) -> str:
    """A configuration with keys of a section set anew."""
    for line in keys.splitlines():
        key = line.partition("=")[0].strip()
        text = re.sub(rf"(?m)^{key} = .*\n", "", text)
    return text.replace(f"[{section}]\n", f"[{section}]\n{keys}\n", 1)


@contextmanager
def whole(
    directory: Path,
    *,
    network: int,
    count: int,
    mix: str = MIX,
    telemetry: str = "",
    mqtt: str = "",
    **values: Any,
) -> Iterator[Whole]:
    """Everything that a node has around it; `network` is the second number of its addresses."""
    log = directory / "answers.jsonl"
    addresses = f"127.{network}"
    site = ("--network", f"{addresses}.0.0/16", "--count", str(count), "--mix", mix)
    with ExitStack() as stack:
        queue = ("max_queued_messages 0", "max_inflight_messages 200")
        broker = stack.enter_context(running(directory, *queue))
        _, _, sim = stack.enter_context(
            simulated(directory, *site, "--delay-scale", "0", "--log", str(log))
        )
        proxy = stack.enter_context(Proxy(broker.port))
        consumer = stack.enter_context(Witness(broker.port))
        node = Node(
            directory,
            broker_port=proxy.port,
            addresses=f"{addresses}.0.1-{addresses}.0.{count}",
            **{**sim.ports, **values},
        )
        text = configured(node.config.read_text(), "telemetry", telemetry)
        node.config.write_text(configured(text, "mqtt", mqtt))
        stack.enter_context(node)
        node.await_devices(count)
        # What a reading is of, the oracle finds in the inventory.
        wait_until(lambda: len(consumer.ledger.addresses) >= count, 15, "the inventory")
        yield Whole(
            node=node,
            broker=broker,
            proxy=proxy,
            consumer=consumer,
            sim=sim,
            log=log,
            count=count,
        )

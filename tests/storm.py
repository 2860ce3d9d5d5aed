"""Rounds of faults upon a whole node at work, and the oracle's word at the end.

A simulated site, the agent, a proxy, mosquitto and a consumer, each on its own. In every round
the agent is killed, the broker frozen or killed, the link cut or half-opened, alone or together,
at moments that a seed chooses.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from agent.config.schema import Telemetry
from tests.answered import MIX, polls_of
from tests.broker import Broker, running
from tests.consumer import Consumer
from tests.fault.proxy import Proxy
from tests.harness import Node, simulated, wait_until
from tests.ledger import Verdict, compare

INTERVAL_S = 1.0
DRAIN_TIMEOUT_S = 180.0
CALM = "calm"
LASTING_BROKER = ("persistence true", "autosave_interval 3600")
"""A broker that keeps its sessions over an orderly restart, and loses messages by kill -9."""

HAS_SPOOL = "spool_limit_gb" in {each.name for each in msgspec.structs.fields(Telemetry)}
"""Without a spool the agent loses at kill -9 what the broker had not taken."""


class Plan(msgspec.Struct, frozen=True):
    """What a storm is made of."""

    rounds: int
    seed: int
    encoding: str = "json"
    acknowledged: bool = False
    """A consumer's marks, and only they, let the agent forget; the broker is killed, too."""
    count: int = 200
    network: int = 60
    """The second number of the site's addresses."""


def configured(text: str, plan: Plan) -> str:
    """The node's configuration with what this plan asks for. All keys of delivery stand here."""
    if not HAS_SPOOL:
        return text
    keys = {
        "encoding": plan.encoding,
        "acknowledged_by": "consumer" if plan.acknowledged else "broker",
    }
    lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    return text.replace("[telemetry]\n", f"[telemetry]\n{lines}", 1)


def is_drained(delivery: dict[str, Any], newest: int) -> bool:
    """Whether the agent has found the broker again, and no more than the newest waits there."""
    way = delivery["telemetry"] if HAS_SPOOL else delivery
    waiting = way["backlog"]["readings"] if HAS_SPOOL else way["waiting"]
    return bool(way["connected"]) and waiting <= newest


class Storm:
    """One storm; `run` it, then ask for the `verdict`."""

    def __init__(
        self,
        plan: Plan,
        directory: Path,
        *,
        node: Node,
        broker: Broker,
        proxy: Proxy,
        consumer: Consumer,
    ) -> None:
        self.plan = plan
        self.kills: list[float] = []
        self.told: Counter[str] = Counter()
        """How often each fault struck."""
        self._directory = directory
        self._node = node
        self._broker = broker
        self._proxy = proxy
        self._consumer = consumer
        self._rng = random.Random(plan.seed)
        self._faults: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "freeze": (broker.freeze, broker.thaw),
            "cut": (proxy.cut, lambda: None),
            "hang up": (lambda: proxy.cut(reset=False), lambda: None),
            "break": (proxy.break_link, proxy.heal),
            "half-open": (proxy.half_open, proxy.heal),
        }
        if plan.acknowledged:
            self._faults["kill broker"] = (broker.kill, broker.start)

    def run(self) -> None:
        """All rounds, then calm until the backlog is gone, then an orderly end."""
        self._node.await_devices(self.plan.count)
        for round_ in range(1, self.plan.rounds + 1):
            self._round()
            if round_ % 10 == 0:
                print(f"round {round_}: {dict(self.told)}, {self._consumer.count()} received")
        self._calm()
        self.kills.append(time.time())
        assert self._node.process
        assert self._node.process.stop() == 0
        self._consumer.until_quiet(2.0, DRAIN_TIMEOUT_S)

    @property
    def repeats(self) -> int:
        """Readings and events that came once more under their number."""
        return self._consumer.ledger.repeats

    def verdict(self, log: Path) -> Verdict:
        """What the oracle says, once the simulator has ended."""
        assert not self._consumer.problems, self._consumer.problems[:3]
        return compare(polls_of(log, self.kills), self._consumer.ledger, self.kills)

    def _round(self) -> None:
        rng = self._rng
        time.sleep(rng.uniform(0.2, 3.0))
        name = rng.choice([*self._faults, CALM])
        begin, end = self._faults.get(name, (lambda: None, lambda: None))
        self._note(name)
        begin()
        try:
            time.sleep(rng.uniform(0.0, 3.0))
            if name == CALM or rng.random() < 0.6:
                self._kill_agent()
                time.sleep(rng.uniform(0.0, 1.0))
        finally:
            self._note(CALM)
            end()

    def _note(self, what: str) -> None:
        """Count a fault, and write down when it struck, for whoever looks for a lost reading."""
        if what != CALM:
            self.told[what] += 1
        with (self._directory / "diary.txt").open("a") as diary:
            print(f"{time.time():.3f} {what}", file=diary)

    def _kill_agent(self) -> None:
        """End it without a word, and start it again."""
        assert self._node.process
        self._note("kill agent")
        self.kills.append(time.time())
        self._node.process.kill()
        shutil.copy(self._node.process.log, self._directory / f"run-{len(self.kills)}.err")
        self._node.start()

    def _calm(self) -> None:
        """Wait until the backlog is gone."""
        newest = int(2 * self.plan.count / INTERVAL_S)
        for _ in range(2):  # what was sent may yet come back
            wait_until(
                lambda: is_drained(self._node.status()["delivery"], newest),
                DRAIN_TIMEOUT_S,
                "the backlog to be gone",
            )
            time.sleep(3.0)


@contextmanager
def brewing(plan: Plan, directory: Path) -> Iterator[tuple[Storm, Callable[[], Verdict]]]:
    """Everything that a storm needs, started; the call ends the simulator and gives the verdict."""
    log = directory / "answers.jsonl"
    network = f"127.{plan.network}"
    site = ("--network", f"{network}.0.0/16", "--count", str(plan.count), "--mix", MIX)
    more = ("--seed", str(plan.seed), "--delay-scale", "0", "--log", str(log))
    lasting = (*LASTING_BROKER, f"persistence_location {directory}/")
    queue = ("max_queued_messages 0", "max_inflight_messages 200")
    with ExitStack() as stack:
        broker = stack.enter_context(running(directory, *queue, *lasting))
        rpc_port, web_port, sim = stack.enter_context(simulated(directory, *site, *more))
        proxy = stack.enter_context(Proxy(broker.port, seed=plan.seed))
        store = directory / "consumer.db" if plan.acknowledged else None
        consumer = stack.enter_context(Consumer(broker.port, store=store))
        node = Node(
            directory,
            broker_port=proxy.port,
            interval_s=INTERVAL_S,
            addresses=f"{network}.0.1-{network}.0.{plan.count}",
            rpc_port=rpc_port,
            web_port=web_port,
        )
        node.config.write_text(configured(node.config.read_text(), plan))
        stack.enter_context(node)
        storm = Storm(plan, directory, node=node, broker=broker, proxy=proxy, consumer=consumer)

        def judged() -> Verdict:
            sim.stop()
            return storm.verdict(log)

        yield storm, judged

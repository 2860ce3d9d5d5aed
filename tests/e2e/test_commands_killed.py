"""The agent is killed at every step in the life of a command, and the next one takes it up.

The simulator's own log says what reached a machine: never the same order twice.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.broker import Broker, running
from tests.commands import Sender, Signer, claims
from tests.harness import Node, simulated, wait_until

pytestmark = pytest.mark.timeout(300)

NETWORK, COUNT = "127.32.0.0/16", 60
CONFIG = """
[control]
starts_per_minute = 60000
starts_per_group_per_minute = 60000
[[control.allow]]
[commands]
clock = "trusted"
"""
OPS = Signer("ops")
BOOK, JOURNAL = "agent.remote.book:Book", "agent.store.journal:Journal"


class Step(NamedTuple):
    """Where the agent dies."""

    part: str
    when: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.when} {self.part.rpartition(':')[2]} ({self.number})"


STEPS = (
    Step("agent.remote.inbox:Inbox.on_message", "after"),
    Step("agent.remote.judge:Judge.judge", "after"),
    Step(f"{JOURNAL}.put", "before"),
    Step(f"{JOURNAL}.put", "after"),
    Step("agent.store.audit:AuditLog.write", "after"),
    Step("agent.remote.reporter:Reporter.tell", "before"),
    Step("agent.remote.life:Lives.begin", "before"),
    Step("agent.remote.life:Lives.begin", "after"),
    Step("agent.mqtt.events:Message.acknowledge", "before"),
    Step("agent.mqtt.events:Message.acknowledge", "after"),
    Step("agent.remote.runner:Runner.run", "before"),
    Step("agent.command.control:Control.submit", "after"),
    Step(f"{JOURNAL}.mark", "before"),
    Step(f"{JOURNAL}.mark", "after"),
    Step(f"{JOURNAL}.mark", "after", 2),
    Step("agent.command.prover:Prover.prove", "before"),
    Step("agent.command.prover:Prover.prove", "after"),
    Step(f"{JOURNAL}.note_result", "before"),
    Step(f"{JOURNAL}.note_result", "after"),
    Step(f"{JOURNAL}.note_result", "after", 2),
    Step("agent.remote.runner:Runner.end", "before"),
    Step(f"{BOOK}.close", "before"),
    Step(f"{JOURNAL}.put", "before", 2),
    Step(f"{JOURNAL}.put", "after", 2),
    Step("agent.remote.reporter:Reporter.tell", "after", 3),
    Step(f"{BOOK}.close", "after"),
)


class Site:
    """Machines, a broker, a sender, and an agent that is killed and started again."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.directory = directory
        self.broker: Broker = stack.enter_context(running(directory, "max_queued_messages 0"))
        options = ("--network", NETWORK, "--count", str(COUNT), "--mix", "Antminer S21=1")
        self.log = directory / "sim.log"
        more = ("--log", str(self.log), "--delay-scale", "0.02")
        _, _, sim = stack.enter_context(simulated(directory, *options, *more))
        self.node = Node(
            directory,
            broker_port=self.broker.port,
            addresses=f"127.32.0.1-127.32.0.{COUNT}",
            more=CONFIG + OPS.table("per_minute = 10000"),
            **sim.ports,
        )
        stack.enter_context(self.node)
        self.node.await_devices(COUNT)
        wait_until(lambda: self.node.status()["totals"]["by_state"].get("mining") == COUNT, 30)
        self.sender = Sender(self.broker.port)
        stack.callback(self.sender.close)
        locate = self.node.act("all", "locate", on=False)
        self.ids = {each["address"]: each["device_id"] for each in locate}
        assert self.node.process
        self.node.process.stop()

    def die_at(self, step: Step, token: bytes, command_id: str) -> None:
        """Start an agent that will die, and send the command."""
        program = [sys.executable, "-P", "-m", "tests.e2e.dying_agent"]
        words = [str(self.node.config), step.part, step.when, str(step.number)]
        with (self.directory / f"dying-{command_id}.err").open("wb") as errors:
            dying = subprocess.Popen(
                [*program, *words], stderr=errors, cwd=Path(__file__).parents[2]
            )
        try:
            self.sender.send(token, command_id)
            assert dying.wait(60) == -signal.SIGKILL
        finally:
            if dying.poll() is None:
                dying.kill()
                dying.wait()

    def orders_at(self, address: str) -> int:
        """How often the machine was told to sleep, by its own account."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return sum(
            each["address"] == address and each["command"].endswith("set_miner_conf.cgi")
            for each in lines
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, tmp_path_factory.mktemp("killed"))


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_it_is_finished_or_reported_and_no_order_goes_out_twice(site: Site, step: Step) -> None:
    number = 2 * STEPS.index(step) + 1
    addresses = [f"127.32.0.{number}", f"127.32.0.{number + 1}"]
    said = claims("mining.pause", {"ids": [site.ids[each] for each in addresses]})
    site.die_at(step, OPS.sign(said), said["jti"])
    site.node.start()
    try:
        state: dict[str, Any] = site.sender.state(said["jti"], timeout_s=60)
        results = site.sender.results(said["jti"])
    finally:
        assert site.node.process
        site.node.process.stop()
    time.sleep(1.1)  # the simulator's log reaches its file within a second
    assert state["state"] in ("succeeded", "interrupted"), state
    assert state["done"] == state["targets"] == 2
    assert {each["device_id"] for each in results} == {site.ids[each] for each in addresses}
    for address, verdict in zip(addresses, _verdicts(site, results, addresses), strict=True):
        orders = site.orders_at(address)
        assert orders <= 1, f"{address} was told {orders} times"
        assert orders == 1 or verdict == "interrupted"


def _verdicts(site: Site, results: list[dict[str, Any]], addresses: list[str]) -> list[str]:
    by_id = {each["device_id"]: each["verdict"] for each in results}
    return [by_id[site.ids[address]] for address in addresses]

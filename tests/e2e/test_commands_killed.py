"""The agent is killed at every step in the life of a command, and the next one takes it up.

The simulator's own log says what reached a machine: never the same order twice.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.broker import Broker, running
from tests.commands import Sender, Signer, claims
from tests.harness import Node, Process, simulated, wait_until

pytestmark = pytest.mark.timeout(300)

NETWORK = "127.32.0.0/16"
CONFIG = """
[control]
starts_per_minute = 60000
starts_per_group_per_minute = 60000
[[control.allow]]
[commands]
clock = "trusted"
"""
OPS = Signer("ops")
ROOT = Path(__file__).parents[2]
AT_ONCE = 9
SETTLED_S = 200.0
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

MARKED = tuple(step for step in STEPS if step.part == f"{JOURNAL}.mark" and step.when == "after")
LOCATED = MARKED
"""Where the machine never hears of it: a light is given up at once, sleep is looked for as long as
falling asleep may take (tests/soak)."""


class Life:
    """One step with two machines and a node of its own, so that all steps are walked at once."""

    def __init__(self, number: int, step: Step) -> None:
        self.step = step
        self.name = f"k{number}"
        self.addresses = [f"127.32.0.{2 * number + 1}", f"127.32.0.{2 * number + 2}"]
        self.verb = "locate" if step in LOCATED else "mining.pause"
        self.command = ""
        self.node: Node
        self.dying: subprocess.Popen[bytes]
        self.state: dict[str, Any] = {}
        self.results: list[dict[str, Any]] = []
        self.orders: dict[str, int] = {}

    def build(self, directory: Path, broker: Broker, sim: Process) -> None:
        """A node whose devices are known from a run before."""
        own = directory / self.name
        own.mkdir()
        self.node = Node(
            own,
            broker_port=broker.port,
            addresses="-".join(self.addresses),
            more=CONFIG + OPS.table(),
            **sim.ports,
        )
        self.node.config.write_text(
            self.node.config.read_text().replace('name = "n1"', f'name = "{self.name}"')
        )

    def begin(self) -> None:
        """Start the agent that will die."""
        program = [sys.executable, "-P", "-m", "tests.e2e.dying_agent"]
        words = [str(self.node.config), self.step.part, self.step.when, str(self.step.number)]
        with (self.node.directory / "dying.err").open("wb") as errors:
            self.dying = subprocess.Popen([*program, *words], stderr=errors, cwd=ROOT)

    def die(self) -> None:
        """Wait for its end."""
        try:
            assert self.dying.wait(60) == -signal.SIGKILL, str(self.step)
        finally:
            self.end()

    def end(self) -> None:
        """Let nothing of it live on."""
        if self.dying.poll() is None:
            self.dying.kill()
            self.dying.wait()


def walk(directory: Path, steps: Sequence[Step]) -> list[Life]:
    """Every step at once: known, told, killed, started again, and seen to its end."""
    lives = [Life(number, step) for number, step in enumerate(steps)]
    log = directory / "sim.log"
    sizes = ("--network", NETWORK, "--count", str(2 * len(steps)), "--mix", "Antminer S21=1")
    with ExitStack() as stack:
        broker = stack.enter_context(running(directory, "max_queued_messages 0"))
        options = ("--log", str(log), "--delay-scale", "0.02")
        _, _, sim = stack.enter_context(simulated(directory, *sizes, *options))
        sender = Sender(broker.port)
        stack.callback(sender.close)
        for some in _bunches(lives):
            _kill_all(some, directory, broker, sim, sender)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for node in pool.map(lambda life: life.node.__enter__(), lives):
                stack.push(node)
        for life in lives:
            life.state = sender.state(life.command, timeout_s=SETTLED_S)
            life.results = sender.results(life.command)
        time.sleep(1.1)  # the simulator's log reaches its file within a second
        heard = Counter(_orders(log))
    for life in lives:
        # the first one told their ids: a light that was off was turned off
        life.orders = {address: heard[address] - 1 for address in life.addresses}
    return lives


def _bunches(lives: list[Life]) -> Iterator[list[Life]]:
    for start in range(0, len(lives), AT_ONCE):
        yield lives[start : start + AT_ONCE]


def _kill_all(
    lives: list[Life], directory: Path, broker: Broker, sim: Process, sender: Sender
) -> None:
    with ThreadPoolExecutor(len(lives)) as pool:
        found = list(pool.map(lambda life: _known(life, directory, broker, sim), lives))
    ids = dict(zip([life.name for life in lives], found, strict=True))
    for life in lives:
        params = {"params": {"on": True}} if life.verb == "locate" else {}
        target = {"ids": ids[life.name]}
        said = claims(life.verb, target, aud=f"test/{life.name}", **params)
        life.command = said["jti"]
        sender.send(OPS.sign(said), life.command, node=life.name)  # it waits at the broker
        life.begin()
    try:
        for life in lives:
            life.die()
    finally:
        for life in lives:
            life.end()


def _known(life: Life, directory: Path, broker: Broker, sim: Process) -> list[str]:
    """The ids of a node's machines, which it knows from now on."""
    life.build(directory, broker, sim)
    with life.node as node:
        node.await_devices(2)
        wait_until(lambda: node.status()["totals"]["by_state"].get("mining") == 2, 60)
        return [each["device_id"] for each in node.act("all", "locate", on=False)]


def _orders(log: Path) -> Iterator[str]:
    """The addresses of machines that were told to sleep or to blink, by their own account."""
    for line in log.read_text().splitlines():
        said = json.loads(line)
        if said["command"].endswith(("set_miner_conf.cgi", "blink.cgi")):
            yield said["address"]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[Step, Life]:
    """What became of a command at each step."""
    return {life.step: life for life in walk(tmp_path_factory.mktemp("killed"), STEPS)}


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_it_is_finished_or_reported(lives: dict[Step, Life], step: Step) -> None:
    life = lives[step]
    words = f"{life.state['state']}: {life.state['reason']}: {life.state['words']}"
    assert life.state["done"] == life.state["targets"] == len(life.results) == 2, words
    seen = "succeeded" if life.verb == "mining.pause" else "failed"  # no reading shows a light
    assert life.state["state"] in (seen, "interrupted"), words


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_no_order_goes_out_twice(lives: dict[Step, Life], step: Step) -> None:
    life = lives[step]
    assert set(life.orders.values()) <= {0, 1}, life.orders
    # an order whose answer nobody was there to hear is not in the log, but its effect was seen
    told = {each["address"]: each["verdict"] for each in life.results}
    if step in MARKED:
        assert "interrupted" in told.values()

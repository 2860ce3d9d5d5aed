"""A whole site told to sleep at once, and to wake: how fast orders go out, and what is proved."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.broker import Broker, running
from tests.harness import Node, Process, simulated

COUNT = 10_000
HUNG = 1_000
MIX = {
    "Antminer S19j Pro": 16,
    "Antminer S21": 12,
    "Whatsminer M30S+ VE40": 20,
    "Whatsminer M60S VK40": 8,
    "Antminer S19k Pro (LuxOS)": 14,
    "Antminer S21 (LuxOS)": 4,
    "Antminer S21 (Braiins OS 26.01)": 5,
    "Antminer S19j Pro (Vnish 1.2.6)": 4,
    "Avalon 1346": 9,
    "Antminer S19j Pro (ePIC)": 4,
    "SealMiner A2": 4,
}
"""Nine firmwares as a large site may have them; with stock Antminers at their web pages' cost."""
STARTS_PER_S = 200
STARTS_PER_GROUP_PER_S = 10
STARTS = (
    *("set_miner_conf.cgi", "curtail", "power_on", "restart", "ascset", "set.miner.service|start"),
    *("/miner", "actions/resume", "mining/start"),
)
"""How the dialects of the mix are told to wake: how each line of the simulator's log ends."""
WARM_S = 90.0
"""Until the tokens are there that the agent keeps ready, and every machine was polled once."""
CONTROL = """\
[control]
starts_per_minute = {all}
starts_per_group_per_minute = {group}
[[control.allow]]
[[control.allow]]
drivers = ["sealminer"]
"""


def run() -> None:
    """Pause 10,000 machines; then the same with a tenth that hangs."""
    measure("10,000 machines of nine firmwares", COUNT, 0)
    measure("the same, and a tenth of them hangs", COUNT - HUNG, HUNG)
    wake()


def measure(title: str, answering: int, hung: int) -> None:
    """Find all, let one sim stand still, pause, and print."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        broker = stack.enter_context(running(directory, "max_queued_messages 0"))
        sim = _sim(stack, directory / "a", "127.63.0.0/16", answering)
        more = CONTROL.format(all=60_000, group=60_000)
        other = None
        if hung:
            other = _sim(stack, directory / "b", "127.64.0.0/16", hung)
            more += _range("127.64.0.1", hung, other)
        node = stack.enter_context(_node(directory, broker, sim, answering, more))
        node.await_devices(answering + hung, timeout_s=180)
        time.sleep(WARM_S)
        if other is not None:
            other.popen.send_signal(signal.SIGSTOP)
        try:
            report(title, node, sim)
        finally:
            if other is not None:
                other.popen.send_signal(signal.SIGCONT)


def report(title: str, node: Node, sim: Process) -> None:
    """Pause everything, and print what it took."""
    assert node.process
    agent_s, sim_s = node.process.cpu_s(), sim.cpu_s()
    results = node.act("all", "mining.pause")
    agent_s, sim_s = node.process.cpu_s() - agent_s, sim.cpu_s() - sim_s
    done = [each for each in results if each["verdict"] == "verified"]
    proved = sorted(_proved_at(each) for each in done)
    answered = sorted(each["waited_s"] + each["answered_s"] for each in done)
    print(f"{title}: {dict(Counter(each['verdict'] for each in results))}")
    print(f"  answered          {_spread(answered)}")
    print(f"  proved asleep     {_spread(proved)}")
    if len(done) == len(results):  # else it includes the wait for those that never answer
        print(f"  CPU per machine   {agent_s / len(results) * 1e6:5.0f} us of the agent", end="")
        print(f", {sim_s / len(results) * 1e6:.0f} us of the simulator", flush=True)


def wake() -> None:
    """Put all to sleep, and count their starts as the simulator heard them."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        log = directory / "answers.jsonl"
        broker = stack.enter_context(running(directory, "max_queued_messages 0"))
        sim = _sim(stack, directory / "a", "127.63.0.0/16", COUNT, "--log", str(log))
        more = CONTROL.format(all=STARTS_PER_S * 60, group=STARTS_PER_GROUP_PER_S * 60)
        node = stack.enter_context(_node(directory, broker, sim, COUNT, more))
        node.await_devices(COUNT, timeout_s=180)
        time.sleep(WARM_S)
        node.act("all", "mining.pause")
        asleep_at = time.time()
        results = node.act("all", "mining.resume")
        print(f"woken: {dict(Counter(each['verdict'] for each in results))}")
        time.sleep(2.0)  # the log is written behind
        starts = list(_starts(log, asleep_at))
    print(f"  {len(starts)} starts heard in {starts[-1][0] - starts[0][0]:.1f} s;", end=" ")
    print(f"in any 10 s at most {_most(starts, 10.0)} ({STARTS_PER_S * 10} allowed)", end="")
    print(f", of one /24 {_most_of_one(starts, 10.0)} ({STARTS_PER_GROUP_PER_S * 10} allowed)")


def _starts(log: Path, since: float) -> Iterator[tuple[float, str]]:
    found = []
    for line in log.read_text().splitlines():
        said = json.loads(line)
        if said["t"] >= since and said["command"].endswith(STARTS):
            found.append((said["t"], said["address"].rpartition(".")[0]))
    yield from sorted(found)


def _most(starts: Sequence[tuple[float, str]], window_s: float) -> int:
    """The most starts in any window; the first counts, one a whole window later does not."""
    most, first = 0, 0
    for last, (at, _) in enumerate(starts):
        while starts[first][0] <= at - window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def _most_of_one(starts: Sequence[tuple[float, str]], window_s: float) -> int:
    groups = {group for _, group in starts}
    return max(_most([each for each in starts if each[1] == group], window_s) for group in groups)


def _proved_at(result: dict[str, Any]) -> float:
    return float(result["waited_s"] + result["proved_s"])


def _spread(seconds: list[float]) -> str:
    at = [seconds[int(len(seconds) * share)] for share in (0.5, 0.99)]
    return f"p50 {at[0]:.1f} s, p99 {at[1]:.1f} s, the last {seconds[-1]:.1f} s after the order"


def _sim(stack: ExitStack, directory: Path, network: str, count: int, *more: str) -> Process:
    directory.mkdir()
    mix = ",".join(f"{model}={weight}" for model, weight in MIX.items())
    options = ("--network", network, "--count", str(count), "--delay-scale", "0", "--mix", mix)
    return stack.enter_context(simulated(directory, *options, *more))[2]


def _node(directory: Path, broker: Broker, sim: Process, count: int, more: str) -> Node:
    return Node(
        directory,
        broker_port=broker.port,
        interval_s=60.0,
        deadline_s=5.0,
        discovery_per_s=400,
        sweep_s=3600,
        addresses=f"127.63.0.1-{_last('127.63', count)}",
        more=more,
        **sim.ports,
    )


def _range(first: str, count: int, sim: Process) -> str:
    ports = "".join(f"{name} = {port}\n" for name, port in sim.ports.items())
    return f'[[range]]\naddresses = "{first}-{_last("127.64", count)}"\n{ports}'


def _last(network: str, count: int) -> str:
    return f"{network}.{count // 256}.{count % 256}"

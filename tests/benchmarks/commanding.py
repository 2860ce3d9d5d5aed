"""One signed command for a whole site, and an urgent one for a single device in its middle."""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from drivers.sim.site import Site
from tests.benchmarks.shedding import CONTROL, COUNT, MIX, WARM_S
from tests.broker import Broker, running
from tests.commands import Sender, Signer, claims
from tests.harness import Node, Process, Subscriber, simulated

URGENT = {
    "Antminer S21": "set_miner_conf.cgi",
    "Antminer S21 (LuxOS)": "curtail",
    "Whatsminer M60S VK40": "set.miner.service|stop",
}
"""Whom the urgent commands are for, and how the simulator's log knows that one has arrived."""
FEW, FEW_COUNT = "127.64.0.0/16", 60
AFTER_S = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def run() -> None:
    """10,000 machines put to sleep by one command, and urgent commands meanwhile."""
    ops = Signer("ops")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        broker = stack.enter_context(running(directory, "max_queued_messages 0"))
        sim = _sim(stack, directory / "a", "127.63.0.0/16", COUNT, MIX)
        log = directory / "urgent.jsonl"
        more = ("--log", str(log))
        other = _sim(stack, directory / "b", FEW, FEW_COUNT, dict.fromkeys(URGENT, 1), *more)
        node = stack.enter_context(_node(directory, broker, sim, other, ops))
        node.await_devices(COUNT + FEW_COUNT, timeout_s=180)
        time.sleep(WARM_S)
        sender = Sender(broker.port)
        stack.callback(sender.close)
        _measure(node, sender, ops, log, _ids(broker))


def _node(directory: Path, broker: Broker, sim: Process, other: Process, ops: Signer) -> Node:
    last = f"127.63.{COUNT // 256}.{COUNT % 256}"
    places = directory / "places.csv"
    places.write_text(f"range,building\n127.63.0.1-{last},big\n127.64.0.1-127.64.0.255,few\n")
    ports = "".join(f"{name} = {port}\n" for name, port in other.ports.items())
    tables = (
        CONTROL.format(all=60_000, group=60_000),
        f'[[range]]\naddresses = "127.64.0.1-127.64.0.{FEW_COUNT}"\n{ports}',
        f'[locations]\nfile = "{places}"\n[commands]\nclock = "trusted"\n',
        ops.table("per_minute = 10000"),
    )
    return Node(
        directory,
        broker_port=broker.port,
        interval_s=60.0,
        deadline_s=5.0,
        discovery_per_s=400,
        sweep_s=3600,
        addresses=f"127.63.0.1-{last}",
        more="".join(tables),
        **sim.ports,
    )


def _ids(broker: Broker) -> dict[str, str]:
    """By address the ids of those that urgent commands may be for."""
    with Subscriber(broker.port, "stoker/v1/test/inventory/#") as subscriber:
        subscriber.wait_for(lambda: len(_few(subscriber)) == FEW_COUNT)
        return _few(subscriber)


def _few(subscriber: Subscriber) -> dict[str, str]:
    pages = [page for page in subscriber.on("/inventory/") if "page" in page]
    devices = [each for page in pages for each in page["devices"]]
    few = [each for each in devices if each["address"].startswith("127.64.")]
    return {each["address"]: each["identity"]["id"] for each in few}


def _measure(node: Node, sender: Sender, ops: Signer, log: Path, ids: dict[str, str]) -> None:
    assert node.process
    cpu_s = node.process.cpu_s()
    said = claims("mining.pause", {"tags": {"building": "big"}, "max_targets": COUNT})
    began = time.monotonic()
    sender.send(ops.sign(said), said["jti"])
    urgent = list(_urgent(sender, ops, began, ids))
    state = sender.state(said["jti"], timeout_s=90)
    ended = sender.seen_at[said["jti"]][-1]
    cpu_s = node.process.cpu_s() - cpu_s
    seen = [began, *sender.seen_at[said["jti"]]]
    gaps = [after - before for before, after in pairwise(seen)]
    results = sender.results(said["jti"])
    print(f"{state['state']}: {state['verdicts']}, {state['pages']} pages")
    print(f"  from publishing to the end   {ended - began:5.1f} s")
    print(f"  between states at most       {max(gaps):5.2f} s ({len(gaps)} states)")
    long = [
        f"{gap:.2f} s at {at - began:.1f} s"
        for at, gap in zip(seen[1:], gaps, strict=True)
        if gap > 0.9
    ]
    print(f"  of these above 0.9 s         {', '.join(long) or 'none'}")
    print(f"  results                      {len({each['device_id'] for each in results})} devices")
    print(f"  CPU per machine              {cpu_s / len(results) * 1e6:5.0f} us of the agent")
    time.sleep(2.0)  # the log is written behind
    for model, sent_at, address in urgent:
        arrived = _arrived(log, address, URGENT[model], sent_at)
        print(f"  urgent, {model:22} {1000 * (arrived - sent_at):5.0f} ms to its device")


def _urgent(
    sender: Sender, ops: Signer, began: float, ids: dict[str, str]
) -> Iterator[tuple[str, float, str]]:
    """Send them one by one: model, when (of the wall's clock), and whereto."""
    site = Site(1, FEW, FEW_COUNT, mix=dict.fromkeys(URGENT, 1.0))
    free: dict[str, list[str]] = defaultdict(list)
    for address in site.addresses():
        model = site.model_at(address)
        assert model
        free[model.name].append(address)
    for after_s, model in zip(AFTER_S, (*URGENT, *URGENT), strict=True):
        time.sleep(max(began + after_s - time.monotonic(), 0.0))
        address = free[model].pop()
        sent_at = time.time()
        sender.order(ops, "mining.pause", {"ids": [ids[address]]})
        yield model, sent_at, address


def _arrived(log: Path, address: str, command: str, since: float) -> float:
    lines = (json.loads(line) for line in log.read_text().splitlines())
    return min(
        float(each["t"])
        for each in lines
        if each["address"] == address and each["t"] >= since and each["command"].endswith(command)
    )


def _sim(
    stack: ExitStack, directory: Path, network: str, count: int, mix: dict[str, int], *more: str
) -> Process:
    directory.mkdir()
    models = ",".join(f"{model}={weight}" for model, weight in mix.items())
    options = ("--network", network, "--count", str(count), "--delay-scale", "0", "--mix", models)
    return stack.enter_context(simulated(directory, *options, *more))[2]

"""The agent process alone: CPU per poll from connect to published JSON, and under full load."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from tests.broker import running
from tests.harness import Node, simulated

WINDOW_S = 20.0


def run_poll() -> None:
    """3,000 polls a second of each dialect; the budget is 250 us of CPU per poll."""
    for title, mix in {
        "classic, joined commands": "CoinTerra TerraMiner=1",
        "stock Antminer S19 family": "Antminer S19=1,Antminer S19 Pro=1,Antminer S21=1",
        "default mix": "",
    }.items():
        measure(title, count=9000, interval_s=3.0, mix=mix)


def run_load() -> None:
    """30,000 known devices every 10 s: the budget is a p99 under 50 ms and 300 MB."""
    title = "30,000 devices, 3,000 polls a second"
    measure(title, count=30_000, interval_s=10.0, mix="", discovery_per_s=150)


def measure(
    title: str, *, count: int, interval_s: float, mix: str, discovery_per_s: int = 400
) -> None:
    """Let the agent find all devices, then take its figures over a window."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        network = "127.61.0.0/16"
        options = ["--network", network, "--count", str(count), "--replay", "--delay-scale", "0"]
        options += ["--mix", mix] if mix else []
        with (
            running(directory, "max_queued_messages 0", "max_inflight_messages 200") as broker,
            simulated(directory, *options) as (rpc_port, web_port, _),
            Node(
                directory,
                broker_port=broker.port,
                interval_s=interval_s,
                deadline_s=min(5.0, interval_s - 0.5),
                discovery_per_s=discovery_per_s,
                sweep_s=3600,
                addresses=f"127.61.0.1-127.61.{count // 256}.{count % 256}",
                rpc_port=rpc_port,
                web_port=web_port,
            ) as node,
        ):
            node.await_devices(count, timeout_s=300)
            time.sleep(2 * interval_s)  # let discovery's wake settle
            report(title, node)


def report(title: str, node: Node) -> None:
    """Measure over the window and print."""
    assert node.process
    before, cpu_before, began = node.status(), node.process.cpu_s(), time.monotonic()
    p99_s: list[float] = []
    for _ in range(int(WINDOW_S / 2)):
        time.sleep(2)
        p99_s.append(_lateness_p99(before, node.status()))
    after, cpu_s, passed_s = node.status(), node.process.cpu_s(), time.monotonic() - began
    polls = _polls(after) - _polls(before)
    published = after["delivery"]["acknowledged"] - before["delivery"]["acknowledged"]
    used_s = cpu_s - cpu_before
    print(f"{title}: {polls / passed_s:.0f} polls/s, {published / passed_s:.0f} acknowledged/s")
    print(f"  CPU per poll      {used_s / polls * 1e6:7.0f} us ({used_s / passed_s:.0%} of a core)")
    print(f"  timer p99         {p99_s[-1] * 1000:7.0f} ms (lateness of polls, within a step)")
    print(f"  resident memory   {node.process.usage.memory_info().rss / 1e6:7.0f} MB")
    print(
        f"  outcomes          {after['polls']['outcomes']}, dropped {after['delivery']['dropped']}"
    )
    print(f"  events            {after['events']}", flush=True)


def _polls(status: Any) -> int:
    return sum(status["polls"]["outcomes"].values())


def _lateness_p99(before: Any, after: Any) -> float:
    """p99 over what came between two looks, from the counts of each step."""
    steps = after["polls"]["lateness"]["steps"]
    was = before["polls"]["lateness"]["steps"]
    counts = {step: count - was.get(step, 0) for step, count in steps.items()}
    wanted, seen = 0.99 * sum(counts.values()), 0
    for step, count in sorted(counts.items(), key=lambda item: float(item[0])):
        seen += count
        if seen >= wanted:
            return float(step)
    return 0.0

"""10,000 miners every 10 s for five minutes: every complete answer arrives, in time.

`make soak SEED=7` repeats a run; the seed is printed. SOAK_SECONDS makes it longer.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tests.broker import running
from tests.harness import Node, Subscriber, simulated

SEED = int(os.environ.get("SOAK_SEED", "1"))
SECONDS = float(os.environ.get("SOAK_SECONDS", "300"))
COUNT = 10_000
INTERVAL_S = 10.0
JOINED = {"stats+pools", "summary+devs+pools+stats"}
FAULTS = ("refuse=0.005", "reset=0.005", "truncated=0.005", "glued=0.01", "missing-nul=0.01")


class Collected:
    """What a subscriber needs to keep of 300,000 readings: rates by device."""

    def __init__(self) -> None:
        self.rates_ghs: dict[str, Counter[int]] = defaultdict(Counter)
        self.readings = 0

    def keep(self, topic: str, content: dict[str, Any]) -> bool:
        """Count a reading; keep everything else."""
        if not topic.endswith("/telemetry"):
            return True
        self.readings += 1
        if content.get("hashrate_ths") is not None:
            self.rates_ghs[content["device_id"]][_rounded(content["hashrate_ths"] * 1000)] += 1
        return False


def test_every_complete_answer_arrives(tmp_path: Path) -> None:
    print(f"\nseed {SEED}, {COUNT} miners every {INTERVAL_S:g} s for {SECONDS:g} s")
    log = tmp_path / "answers.jsonl"
    options = ["--network", "127.30.0.0/16", "--count", str(COUNT), "--seed", str(SEED)]
    options += ["--log", str(log)] + [word for fault in FAULTS for word in ("--fault", fault)]
    collected = Collected()
    with (
        running(tmp_path, "max_queued_messages 0", "max_inflight_messages 200") as broker,
        simulated(tmp_path, *options) as (rpc_port, web_port, sim),
        Subscriber(broker.port, keep=collected.keep) as subscriber,
        Node(
            tmp_path,
            broker_port=broker.port,
            interval_s=INTERVAL_S,
            deadline_s=5.0,
            addresses=f"127.30.0.1-127.30.{COUNT // 256}.{COUNT % 256}",
            rpc_port=rpc_port,
            web_port=web_port,
            discovery_per_s=400,
            sweep_s=30,
        ) as node,
    ):
        node.await_devices(COUNT - COUNT // 20, timeout_s=180)
        time.sleep(SECONDS)
        status = node.status()
        stopped_at = time.time()
        assert node.process
        node.process.stop()
        sim.stop()
        _await_quiet(collected)
        addresses = _addresses(subscriber)
    print(json.dumps({key: status[key] for key in ("polls", "delivery", "events")}, indent=1))
    asked, missing = _compare(log, rpc_port, stopped_at, addresses, collected)
    print(f"{asked} complete answers, {collected.readings} readings, {len(missing)} missing")
    assert asked > SECONDS * COUNT / INTERVAL_S * 0.9
    (tmp_path / "missing.json").write_text(json.dumps(missing))
    assert not missing, missing[:10]
    assert not status["delivery"]["dropped"]
    assert status["polls"]["lateness"]["p99_s"] < 1.0


def _compare(
    log: Path, port: int, stopped_at: float, addresses: dict[str, set[str]], collected: Collected
) -> tuple[int, list[tuple[str, float]]]:
    """Count the log's complete answers, and name those whose rate no reading has."""
    asked, missing = 0, []
    answers = [json.loads(line) for line in log.read_text().splitlines()]
    # Machines of the classic dialect that do not join commands give their rate in `summary`.
    classic = {said["address"] for said in answers if said["command"] == "devs"}
    before: dict[str, str] = {}
    for said, following in zip(answers, _following(answers), strict=True):
        former, before[said["address"]] = before.get(said["address"]), said["command"]
        # Who looks for the words of a firmware, or for a maker, asks for reports, too.
        if (former, said["command"]) == ("version", "stats"):
            continue
        if said["command"] == "summary" and following != "devs":
            continue
        telling = "summary" if said["address"] in classic else "stats"
        if not said["complete"] or said["port"] != port:
            continue
        if said["command"] not in JOINED | {telling}:
            continue
        # What was asked in the last moment may be answered to an agent that has stopped.
        if said["ghs"] is None or said["t"] > stopped_at - 5.0:
            continue
        asked += 1
        if not _take(said["ghs"], addresses.get(said["address"], set()), collected):
            missing.append((said["address"], said["t"]))
    return asked, missing


def _following(answers: list[dict[str, Any]]) -> list[str | None]:
    """For each answer, what the same machine was asked next."""
    after: dict[str, str] = {}
    found: list[str | None] = []
    for said in reversed(answers):
        found.append(after.get(said["address"]))
        after[said["address"]] = said["command"]
    return found[::-1]


def _take(ghs: float, device_ids: set[str], collected: Collected) -> bool:
    """Find and use up one reading of the device with this rate."""
    for device_id in device_ids:
        rates = collected.rates_ghs[device_id]
        rate = _rounded(ghs)
        for near in (rate, rate - 1, rate + 1):  # GH/s rounded as TH/s may fall to either side
            if rates[near] > 0:
                rates[near] -= 1
                return True
    return False


def _rounded(ghs: float) -> int:
    return round(ghs * 100)


def _addresses(subscriber: Subscriber) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for page in subscriber.on("/inventory/n1/"):
        for device in page["devices"]:
            found[device["address"]].add(device["identity"]["id"])
    for address, ids in found.items():
        ids.add(f"asic-at-{address}")  # a reading in doubt that nobody confirmed
    return found


def _await_quiet(collected: Collected) -> None:
    before = -1
    while before != collected.readings:
        before = collected.readings
        time.sleep(2)

"""Orders from a person on the host: simulated miners, the agent, its socket, mosquitto."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.errors import AgentError
from agent.local import client
from tests.broker import Broker
from tests.harness import STOKER, Node, Subscriber, simulated, wait_until

COUNT = 12
NETWORK = "127.28.0.0/16"
FIRST = "127.28.0.1"
ALLOW = "[[control.allow]]\n"
FAST = "[control]\nstarts_per_minute = 6000\nstarts_per_group_per_minute = 6000\n" + ALLOW
RACKS = "range,rack\n127.28.0.1-127.28.0.6,B7\n127.28.0.7-127.28.0.12,B8\n"


@contextmanager
def site(
    directory: Path, broker: Broker, *, more: str, mix: str = "Antminer S21=1", options: Any = ()
) -> Iterator[Node]:
    """Twelve machines in two racks, found and read."""
    racks = directory / "racks.csv"
    racks.write_text(RACKS)
    more += f'\n[locations]\nfile = "{racks}"\n'
    sizes = ("--network", NETWORK, "--count", str(COUNT), "--delay-scale", "0.02", "--mix", mix)
    with (
        simulated(directory, *sizes, *options) as (_, _, sim),
        Node(
            directory,
            broker_port=broker.port,
            addresses=f"{FIRST}-127.28.0.{COUNT}",
            more=more,
            **sim.ports,
        ) as node,
    ):
        node.await_devices(COUNT)
        wait_until(lambda: node.status()["totals"]["by_state"].get("mining") == COUNT, 20)
        yield node


def command(node: Node, *words: str) -> subprocess.CompletedProcess[str]:
    """One of our commands, as a person types it."""
    return subprocess.run(
        [*STOKER, *words, "--socket", str(node.socket)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def counted(results: list[dict[str, Any]]) -> Counter[str]:
    return Counter(result["verdict"] for result in results)


def test_a_technician_sees_before_receipt_and_proof(tmp_path: Path, broker: Broker) -> None:
    with site(tmp_path, broker, more=FAST) as node, Subscriber(broker.port) as subscriber:
        said = command(node, "act", FIRST, "pause")
        assert said.returncode == 0, said.stdout + said.stderr
        before, receipt, proof = (line.strip() for line in said.stdout.splitlines()[1:4])
        assert before.startswith("before   mining, ")
        assert receipt.startswith("receipt  accepted after ")
        assert proof.startswith("proof    verified after ")
        assert "sleeping, 0.0 TH/s" in proof
        told = subscriber.wait_for(lambda: subscriber.events("action.done"))[0]
        assert told["details"]["who"].startswith("local:")
        assert told["details"]["result"]["verdict"] == "verified"
        subscriber.wait_for(  # events overtake readings
            lambda: "sleeping" in {each["state"] for each in subscriber.readings(told["device_id"])}
        )


def test_the_whole_site_sleeps_and_wakes(tmp_path: Path, broker: Broker) -> None:
    with site(tmp_path, broker, more=FAST) as node:
        assert counted(node.act("all", "mining.pause")) == {"verified": COUNT}
        assert node.status()["totals"]["by_state"] == {"sleeping": COUNT}
        said = command(node, "act", "rack=B7", "resume")
        assert said.returncode == 0, said.stdout + said.stderr
        assert node.status()["totals"]["by_state"] == {"sleeping": 6, "mining": 6}


@pytest.mark.timeout(180)  # a light may take a minute to show, and is waited for that long
def test_a_machine_that_says_ok_and_does_nothing_is_found_out(
    tmp_path: Path, broker: Broker
) -> None:
    lies = ("--fault", f"does-nothing=0@{FIRST}")
    with site(tmp_path, broker, more=FAST, mix="Antminer S19j Pro=1", options=lies) as node:
        started = time.monotonic()
        said = command(node, "act", FIRST, "locate", "on")
        assert said.returncode == 3, said.stdout + said.stderr
        assert "contradicted" in said.stdout
        assert time.monotonic() - started < 90


def test_a_locked_rack_is_refused_until_it_is_unlocked(tmp_path: Path, broker: Broker) -> None:
    with site(tmp_path, broker, more=FAST) as node:
        assert command(node, "lock", "rack=B7").returncode == 1  # why?
        locked = command(node, "lock", "rack=B7", "--reason", "fans, Ana")
        assert locked.returncode == 0, locked.stderr
        again = command(node, "lock", "rack=B7", "--reason", "mine now")
        assert again.returncode == 1
        assert "fans, Ana" in again.stderr
        assert node.process
        node.process.kill()
        node.start()
        node.await_devices(COUNT)
        wait_until(lambda: node.status()["totals"]["by_state"].get("mining") == COUNT, 20)
        assert "fans, Ana" in command(node, "lock").stdout
        results = node.act("all", "device.reboot")
        refused = [result for result in results if result["verdict"] == "refused"]
        assert {result["address"] for result in refused} == {f"127.28.0.{at}" for at in range(1, 7)}
        assert all("locked by local:" in each["words"] for each in refused)
        assert all("fans, Ana" in each["words"] for each in refused)
        assert command(node, "unlock", "rack=B7").returncode == 0
        assert command(node, "unlock", "rack=B7").returncode == 1
        wait_until(lambda: node.status()["totals"]["by_state"].get("mining") == COUNT, 60)
        assert counted(node.act("rack=B7", "locate", on=True)) == {"verified": 6}


def test_observe_only_until_the_configuration_says_otherwise(
    tmp_path: Path, broker: Broker
) -> None:
    log = tmp_path / "answers.jsonl"
    with site(tmp_path, broker, more="", options=("--log", str(log))) as node:
        assert node.status()["status"]["control"] == "observe only"
        results = node.act("all", "mining.pause")
        assert counted(results) == {"refused": COUNT}
        assert "only observes" in results[0]["words"]
        assert "set_miner_conf" not in log.read_text()


def test_what_an_order_lacks_is_said(tmp_path: Path, broker: Broker) -> None:
    with site(tmp_path, broker, more=FAST) as node:
        for asked, words in (
            (("nobody", "pause"), "expected all, an id, an address"),
            (("rack=Z9", "pause"), "no device of this node"),
            ((FIRST, "limit", "much"), "limit 3000W"),
            ((FIRST, "pools", "no-url,user"), "pools.set"),
        ):
            said = command(node, "act", *asked)
            assert said.returncode == 1
            assert words in said.stderr
        with pytest.raises(AgentError, match=r"unknown verb 'coffee\.make'"):
            node.act(FIRST, "coffee.make")


def test_starts_obey_their_rate(tmp_path: Path, broker: Broker) -> None:
    log = tmp_path / "answers.jsonl"
    slow = "[control]\nstarts_per_minute = 120\nstarts_per_group_per_minute = 60\n" + ALLOW
    with site(tmp_path, broker, more=slow, options=("--log", str(log))) as node:
        assert counted(node.act("all", "mining.pause")) == {"verified": COUNT}
        time.sleep(1)  # the simulator's log is written behind
        paused = len(_writes(log))
        assert counted(node.act("all", "mining.resume")) == {"verified": COUNT}
        starts = wait_until(lambda: _writes(log)[paused:], 5)
    # 120 a minute are one every half second, 60 a minute one a second in each rack
    assert len(starts) == COUNT
    times = [at for at, _ in starts]
    assert times[-1] - times[0] >= (COUNT - 1) * 0.5 - 0.3
    for rack in (range(1, 7), range(7, 13)):
        mine = [at for at, address in starts if int(address.rpartition(".")[2]) in rack]
        assert mine[-1] - mine[0] >= (len(mine) - 1) * 1.0 - 0.3


def _writes(log: Path) -> list[tuple[float, str]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [(each["t"], each["address"]) for each in lines if "set_miner_conf" in each["command"]]


def test_passwords_come_from_their_file_and_nowhere_else(tmp_path: Path, broker: Broker) -> None:
    logins = tmp_path / "logins.toml"
    logins.write_text('[[login]]\naddresses = ["127.28.0.0/24"]\nuser = "u"\npassword = "s3cret"\n')
    logins.chmod(0o600)
    more = FAST + f'[credentials]\nfile = "{logins}"\n'
    with site(tmp_path, broker, more=more) as node, Subscriber(broker.port) as subscriber:
        # The machines have the factory's password: one counted finding, no event.
        assert counted(node.act("all", "mining.pause")) == {"verified": COUNT}
        summary = subscriber.wait_for(
            lambda: [s for s in subscriber.on("/summary/") if s["findings"]["factory_password"]]
        )[-1]
        found = {"factory_password": COUNT, "gpu_missing": 0, "gpu_unserved": 0}
        assert summary["findings"] == found
        assert node.status()["findings"] == found
        told = {event["name"] for event in subscriber.on("/event/")}
        assert not [name for name in told if "password" in name]
        everything = json.dumps(subscriber.messages, default=str)
    log = (tmp_path / "run.err").read_text()
    for text in (everything, log):
        assert "s3cret" not in text
    assert log.count("factory password") == 1


def test_what_is_asked_of_an_agent_that_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(client.NoAgent):
        list(client.stream(tmp_path / "none.sock", op="act", target="all", verb="mining.pause"))

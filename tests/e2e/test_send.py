"""`stoker send` and the example senders against the agent itself, over a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.__main__ import main
from tests.broker import Broker, running
from tests.commands import Signer
from tests.e2e.test_commands import OPS, SECOND, site
from tests.harness import Node

EXAMPLE = Path(__file__).parents[2] / "docs/examples/send.py"
POOLS = 'pools=[{"url":"stratum+tcp://pool.example.com:3333","user":"a.b"}]'


@pytest.fixture(scope="module")
def module_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, module_broker: Broker) -> Iterator[Node]:
    with site(tmp_path_factory.mktemp("send"), module_broker) as found:
        yield found


class Terminal:
    """Where commands are typed, with the key files of two people."""

    def __init__(self, directory: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
        self._directory = directory
        self.port = port
        self._capsys = capsys

    def key(self, signer: Signer) -> str:
        path = self._directory / f"{signer.key_id}.key"
        form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(signer.private.private_bytes(*form))
        path.chmod(0o600)
        return str(path)

    def send(self, *words: str, key: Signer = OPS) -> tuple[int, str]:
        """The exit code, and what was said."""
        where = ["--broker", f"127.0.0.1:{self.port}", "--site", "test", "--key", self.key(key)]
        code = main(["send", *words, *where])
        return code, self._capsys.readouterr().out


@pytest.fixture
def terminal(
    tmp_path: Path,
    node: Node,
    module_broker: Broker,
    capsys: pytest.CaptureFixture[str],
) -> Terminal:
    return Terminal(tmp_path, module_broker.port, capsys)


def test_a_rack_is_put_to_sleep_and_woken(terminal: Terminal) -> None:
    code, out = terminal.send("mining.pause", "--target", "rack=B7", "--wait")
    assert (code, "succeeded: 6 verified" in out) == (0, True), out
    code, out = terminal.send("mining.resume", "--target", "rack=B7", "--wait", "--json")
    lines: list[Any] = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["ended"]["verdicts"] == {"verified": 6}
    assert sum(len(line["results"]["results"]) for line in lines if "results" in line) >= 6
    assert code == 0


def test_a_dry_run_shows_the_watts_and_does_nothing(terminal: Terminal) -> None:
    code, out = terminal.send("mining.pause", "--target", "all", "--dry-run", "--wait")
    assert (code, "12 would" in out, " kW of " in out) == (0, True, True), out


def test_what_is_over_wide_is_rejected_with_the_figures(terminal: Terminal) -> None:
    words = ("mining.pause", "--target", "rack=B7", "--max-targets", "5", "--wait")
    code, out = terminal.send(*words)
    assert (code, "rejected (too_many_targets): 6 devices" in out) == (1, True), out


def test_a_stranger_is_told_that_nobody_knows_him(terminal: Terminal) -> None:
    words = ("mining.pause", "--target", "all", "--wait")
    code, out = terminal.send(*words, key=Signer("stranger"))
    assert (code, "(unknown_key)" in out) == (1, True), out


def test_where_some_are_locked_it_is_not_all_done(terminal: Terminal) -> None:
    lock = ("--param", "scope=rack=B8", "--param", "reason=wet", "--wait")
    assert terminal.send("lock.set", *lock)[0] == 0
    code, out = terminal.send("mining.resume", "--target", "all", "--wait")
    cleared, _ = terminal.send("lock.clear", "--param", "scope=rack=B8", "--wait")
    assert (code, cleared) == (3, 0), out
    assert "not all of it succeeded: " in out
    assert "6 verified" in out
    assert out.count(" at ") >= 6


def test_two_people_at_two_terminals(terminal: Terminal) -> None:
    words = ["send", "pools.set", "--target", "rack=B7", "--param", POOLS, "--id", "two", "--wait"]
    words += ["--broker", f"127.0.0.1:{terminal.port}", "--site", "test", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "agent", *words, "--key", terminal.key(OPS)],
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        sent = json.loads(first.stdout.readline())["sent"]
        for line in first.stdout:
            if json.loads(line).get("state", {}).get("waiting_for") == "approval":
                break
        approval = ("--param", "command=two", "--param", f"digest={sent['digest']}", "--wait")
        code, out = terminal.send("command.approve", *approval, key=SECOND)
        assert code == 0, out
        last = json.loads(first.stdout.read().splitlines()[-1])
        assert last["ended"]["exit_code"] == first.wait(30) == 0


def test_the_example_in_python_is_obeyed(terminal: Terminal) -> None:
    where = ["127.0.0.1", str(terminal.port), "test", terminal.key(OPS), "ops"]
    what = ["locate", '{"tags":{"rack":"B7"}}', '{"on":true}']
    with subprocess.Popen(
        [sys.executable, str(EXAMPLE), *where, *what], stdout=subprocess.PIPE, text=True
    ) as example:
        ends = threading.Timer(30, example.kill)
        ends.start()
        assert example.stdout is not None
        states = []
        for line in example.stdout:
            states.append(json.loads(line)["state"])
            if states[-1] == "succeeded":
                break
        ends.cancel()
        os.kill(example.pid, signal.SIGTERM)
    assert states[-1] == "succeeded"

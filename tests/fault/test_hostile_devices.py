"""One tenth of the miners misbehaves in every way we know; the others must not notice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker import Broker
from tests.harness import Node, simulated, wait_until

COUNT = 200
FAULTS = ("tarpit", "drip", "garbage", "refuse", "reset", "truncated", "bad-utf8", "http")


@pytest.mark.parametrize("fault", ["tarpit", "mixed"])
def test_the_others_are_read_in_time(tmp_path: Path, broker: Broker, fault: str) -> None:
    names = [fault] if fault != "mixed" else list(FAULTS)
    bad = [f"127.23.0.{at}" for at in range(10, COUNT, 10)]
    options = ["--network", "127.23.0.0/16", "--count", str(COUNT)]
    for at, address in enumerate(bad):
        options += ["--fault", f"{names[at % len(names)]}@{address}"]
    with (
        simulated(tmp_path, *options) as (rpc_port, web_port, _),
        Node(
            tmp_path,
            broker_port=broker.port,
            addresses=f"127.23.0.1-127.23.0.{COUNT}",
            rpc_port=rpc_port,
            web_port=web_port,
        ) as node,
    ):
        node.await_devices(COUNT - len(bad))
        wait_until(lambda: node.status()["polls"]["lateness"]["count"] > 1500, 30, "polls")
        status = node.status()
        assert status["polls"]["lateness"]["p99_s"] < 1.0
        assert status["polls"]["outcomes"]["ok"] > 1400
        assert "DriverFault" not in status["polls"]["outcomes"]
        assert (tmp_path / "run.err").read_text().count("Traceback") == 0


def test_miners_that_turn_bad_delay_nobody(tmp_path: Path, broker: Broker) -> None:
    """The harder case: they are known, polled on the fast lane, and then all hang at once."""
    # `refuse=...` and the like are rates per answer: a tenth of all answers never ends.
    options = ("--network", "127.23.0.0/16", "--count", str(COUNT), "--fault", "tarpit=0.1")
    with (
        simulated(tmp_path, *options) as (rpc_port, web_port, _),
        Node(
            tmp_path,
            broker_port=broker.port,
            addresses=f"127.23.0.1-127.23.0.{COUNT}",
            rpc_port=rpc_port,
            web_port=web_port,
        ) as node,
    ):
        node.await_devices(COUNT * 3 // 4)
        wait_until(lambda: node.status()["polls"]["lateness"]["count"] > 1500, 30, "polls")
        assert node.status()["polls"]["lateness"]["p99_s"] < 1.0

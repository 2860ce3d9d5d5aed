"""The audit of a running agent: what is ordered stands in it, across kill -9; it can be checked."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.broker import Broker
from tests.harness import STOKER, Node, Subscriber, simulated, wait_until

COUNT = 6
NETWORK = "127.29.0.0/16"
FAST = """\
[control]
starts_per_minute = 6000
starts_per_group_per_minute = 6000
[[control.allow]]
"""


def audit(node: Node, *words: str, code: int = 0) -> str:
    """What `stoker audit` prints."""
    done = subprocess.run(
        [*STOKER, "audit", *words, "--config", str(node.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def records(node: Node, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit(node, "show", "--json", *words).splitlines()]


def test_what_is_ordered_can_be_proved_later(tmp_path: Path, broker: Broker) -> None:
    sizes = ("--network", NETWORK, "--count", str(COUNT), "--delay-scale", "0.02")
    mine = {"addresses": f"127.29.0.1-127.29.0.{COUNT}", "more": FAST}
    with (
        simulated(tmp_path, *sizes, "--mix", "Antminer S21=1") as (_, _, sim),
        Node(tmp_path, broker_port=broker.port, **mine, **sim.ports) as node,
        Subscriber(broker.port) as subscriber,
    ):
        node.await_devices(COUNT)
        ids = {result["device_id"] for result in node.act("all", "mining.pause")}
        wait_until(lambda: "order.ended" in audit(node, "show"), 20)
        begun, *results, ended = records(node)
        assert begun["who"].startswith("local:")
        assert begun["content"]["targets"] == COUNT
        assert {each for told in results for each in told["content"]["devices"]} == ids
        assert ended["content"]["verdicts"] == {"verified": COUNT}
        assert len(records(node, "--device", min(ids))) == 1
        assert "intact" in audit(node, "verify")

        told = subscriber.wait_for(lambda: subscriber.events("audit.head"))[-1]["details"]
        published = f"{told['seq']}:{told['hash']}"
        assert node.process
        node.process.kill()
        assert "intact" in audit(node, "verify", "--against", published)
        node.start()
        node.await_devices(COUNT)
        node.act("127.29.0.1", "locate", on=True)
        wait_until(lambda: "order.result" in {each["what"] for each in records(node)}, 20)
        assert "intact" in audit(node, "verify", "--against", published)

    (path,) = sorted((tmp_path / "state" / "audit").iterdir())
    path.write_bytes(path.read_bytes().replace(b"verified", b"refused_", 1))
    assert "TAMPERED: record" in audit(node, "verify", code=4)

"""GPUs told from afar: signed commands, a rival on the host, an agent that is killed in between."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.sim.nvml.control import FakeGpus
from tests.broker import Broker
from tests.commands import Sender, Signer
from tests.e2e.contract import problems
from tests.e2e.test_gpu import GPU, Log, device_id
from tests.gpu import Service, fake_gpus, service
from tests.harness import Node, wait_until

OPS, SECOND = Signer("ops"), Signer("second")
DANGEROUS = '"gpu.mig.mode", "gpu.mig.layout", "gpu.reset", "gpu.fan"'
RULES = """\
undone = "{undone}"
[control]
starts_per_minute = 6000
starts_per_group_per_minute = 6000
[[control.allow]]
[[control.allow]]
verbs = ["gpu.mig.mode"]
[commands]
clock = "trusted"
"""
KEYS = OPS.table('owner = "ann"', verbs=f'"*", {DANGEROUS}') + SECOND.table(
    'owner = "bob"', f'approves = ["*", {DANGEROUS}]', verbs='"command.approve"'
)
GPUS = {"kind": "gpu"}
MEDIUM_S, FAST_S = 0.6, 0.3
READ = "nvmlDeviceGetUtilizationRates"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGpus]:
    with fake_gpus(tmp_path, "h100-sxm*2") as gpus:
        yield gpus


class Host:
    """A host with GPUs, its node, and the sender that hears what becomes of its commands."""

    def __init__(self, fake: FakeGpus, service: Service, node: Node, sender: Sender) -> None:
        self.fake = fake
        self.service = service
        self.node = node
        self.sender = sender
        self.ids = [device_id(gpu) for gpu in fake.gpus]

    def order(self, verb: str, target: Any = GPUS, **params: Any) -> dict[str, Any]:
        """The state that a command ends in."""
        return self.sender.state(self.sender.order(OPS, verb, target, params=params))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Those of a name, each once: a kill may have one sent again."""
        found = [each for each in self.sender.events if each["name"] == name]
        return list({(each["boot_id"], each["seq"]): each for each in found}.values())

    def until_read(self, times: int) -> None:
        """Wait until every GPU was read so often again."""
        read = self.fake.calls().get(READ, 0) + times * len(self.ids)
        wait_until(lambda: self.fake.calls().get(READ, 0) >= read, 20)

    def undone(self, count: int = 1) -> list[dict[str, Any]]:
        """What was told of settings that are undone, once it is so much."""
        wait_until(lambda: len(self.events("action.undone")) >= count, 20)
        found = self.events("action.undone")
        assert not [each for event in found for each in problems(event["details"], "ActionUndone")]
        return found


@contextmanager
def site(
    directory: Path,
    broker: Broker,
    fake: FakeGpus,
    monkeypatch: pytest.MonkeyPatch,
    undone: str = "report",
) -> Iterator[Host]:
    Log(directory)  # the stand-in for journalctl lies there
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    more = GPU.format(directory=directory) + RULES.format(undone=undone) + KEYS
    values = {"addresses": "127.20.9.1", "rpc_port": 1, "web_port": 1, "more": more}
    sender = Sender(broker.port)
    try:
        with (
            service(directory, fake) as served,
            Node(directory, broker_port=broker.port, **values) as node,
        ):
            node.await_devices(len(fake))
            host = Host(fake, served, node, sender)
            host.until_read(2)
            yield host
    finally:
        sender.close()


def test_gpus_are_limited_from_afar_with_their_own_evidence(
    tmp_path: Path, broker: Broker, fake: FakeGpus, monkeypatch
) -> None:
    with site(tmp_path, broker, fake, monkeypatch) as host:
        sender = host.sender
        for gpu in fake.gpus:
            gpu.load(100)
        wait_until(lambda: host.node.status()["totals"]["gpus"]["power_reported_w"] > 1300, 20)
        dry = sender.order(OPS, "power.limit", GPUS, params={"watts": 400}, dry_run=True)
        watts = sender.state(dry)["watts"]
        assert watts["drawn_w"] > 1300
        assert watts["change_w"] == pytest.approx(800 - watts["drawn_w"], abs=1)
        limit = sender.order(OPS, "power.limit", GPUS, params={"watts": 400})
        assert sender.state(limit)["state"] == "succeeded"
        for result in sender.results(limit):
            assert problems(result, "DeviceResult") == []
            assert result["words"] == "limit 400 W"
            assert (result["before"]["power_limit_w"], result["after"]["power_limit_w"]) == (
                700.0,
                400.0,
            )
            assert result["after"]["gpu"]["power_limit_enforced_w"] == 400.0
        assert [gpu.limit_w for gpu in fake.gpus] == [400.0, 400.0]
        lock = {"min_mhz": 900, "max_mhz": 1200}
        clocks = sender.order(OPS, "gpu.clocks.lock", GPUS, params=lock)
        assert sender.state(clocks)["state"] == "succeeded"
        shown = [each["after"]["gpu"]["sm_clock_mhz"] for each in sender.results(clocks)]
        assert all(900 <= clock <= 1200 for clock in shown)
        too_much = sender.order(OPS, "power.limit", GPUS, params={"watts": 5000})
        assert sender.state(too_much)["state"] == "failed"
        assert "200 to 700 W" in sender.results(too_much)[0]["words"]
        assert host.events("action.undone") == []


def test_what_is_dangerous_wants_a_second_person_and_the_service_s_leave(
    tmp_path: Path, broker: Broker, fake: FakeGpus, monkeypatch
) -> None:
    with site(tmp_path, broker, fake, monkeypatch) as host:
        assert host.order("gpu.reset")["reason"] == "not_allowed"
        sender = host.sender
        mig = sender.order(OPS, "gpu.mig.mode", GPUS, params={"on": True})
        waiting = sender.state(mig, "scheduled")
        assert waiting["waiting_for"] == "approval"
        approval = {"command": mig, "digest": waiting["digest"]}
        sender.order(SECOND, "command.approve", params=approval)
        assert sender.state(mig)["state"] == "failed"
        words = {each["words"] for each in sender.results(mig)}
        assert words == {"mig is off: stoker-gpu was started without --allow mig"}


def test_a_limit_changed_by_another_writer_is_reported_within_one_tier(
    tmp_path: Path, broker: Broker, fake: FakeGpus, monkeypatch
) -> None:
    with site(tmp_path, broker, fake, monkeypatch) as host:
        limit = host.order("power.limit", watts=400)
        assert limit["state"] == "succeeded"
        host.until_read(4)
        assert host.events("action.undone") == []
        changed_at = time.time()
        fake[0].set_limit(650)
        (told,) = host.undone()
        # a tier, the round that it is read in, and the way to the broker
        assert time.time() - changed_at < MEDIUM_S + 2 * FAST_S + 1.0
        assert told["device_id"] == host.ids[0]
        assert (told["details"]["cause"], told["details"]["order"]) == ("changed", limit["id"])
        host.until_read(6)
        assert (fake[0].limit_w, fake[1].limit_w) == (650.0, 400.0)
        assert len(host.events("action.undone")) == 1


def test_it_is_put_back_once_and_a_rival_is_never_fought_over_kills_of_the_agent(
    tmp_path: Path, broker: Broker, fake: FakeGpus, monkeypatch
) -> None:
    with site(tmp_path, broker, fake, monkeypatch, "restore") as host:
        assert host.order("power.limit", watts=400)["state"] == "succeeded"
        host.node.process.kill()
        fake[0].set_limit(650)
        host.node.start()
        wait_until(lambda: fake[0].limit_w == 400.0, 20)
        (told,) = host.undone()
        assert (told["details"]["cause"], told["details"]["restoring"]) == ("unknown", True)
        wait_until(lambda: host.events("action.done"), 20)
        done = host.events("action.done")[-1]["details"]
        assert (done["who"], done["result"]["verdict"]) == ("agent:restore", "verified")
        fake[0].rival([650, 500], 0.5)
        assert host.undone(2)[-1]["details"]["contested"] is True
        host.until_read(2)  # what is wanted is written down within the moment
        host.node.process.kill()
        host.node.start()
        host.until_read(10)
        assert fake.calls()["nvmlDeviceSetPowerManagementLimit"] == 3  # two orders, one put back
        assert len(host.events("action.undone")) == 2


def test_gpus_are_let_go_and_taken_up_from_afar(
    tmp_path: Path, broker: Broker, fake: FakeGpus, monkeypatch
) -> None:
    with site(tmp_path, broker, fake, monkeypatch) as host:
        gone = host.order("gpu.release", None, for_s=60, reason="new driver")
        assert (gone["state"], gone["words"]) == ("succeeded", "let go for 60 s at the most")
        assert host.service.children() == []
        (told,) = wait_until(lambda: host.events("gpu.released"), 20)
        assert "new driver (key:ops)" in told["message"]
        assert host.order("power.limit", watts=400)["state"] == "failed"
        assert host.order("gpu.resume", None)["state"] == "succeeded"
        host.until_read(2)
        assert host.order("power.limit", watts=400)["state"] == "succeeded"

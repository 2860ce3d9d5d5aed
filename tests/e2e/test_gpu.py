"""GPUs of a host from end to end: fake GPUs, `stoker-gpu`, the agent, mosquitto, a subscriber."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.sim.nvml.control import FakeGpus
from drivers.sim.nvml.faults import Kind
from drivers.sim.nvml.gpu import FakeGpu
from tests.broker import Broker
from tests.e2e.contract import Recorder, problems, problems_of_message, readings_of
from tests.gpu import Service, fake_gpus, service
from tests.harness import Node, Subscriber, simulated, wait_until
from tests.unit.test_kernel_log import BOOT, Journal

CLOCKS = "nvmlDeviceGetClockInfo"
COUNT = 4
FAST_S = 0.3
GPU = """\
[gpu]
socket = "{directory}/gpu.sock"
fast_interval_s = 0.3
medium_interval_s = 0.6
slow_interval_s = 1.5
"""


class Log(Journal):
    """The kernel's log, in which lines come as they are written."""

    def say_now(self, text: str) -> None:
        """A line of the kernel."""
        self.written += 1
        now_us = int(time.time() * 1e6)
        entry = {
            "__CURSOR": f"s=1;i={self.written}",
            "__REALTIME_TIMESTAMP": str(now_us),
            "__MONOTONIC_TIMESTAMP": str(self.written * 1_000_000),
            "_BOOT_ID": BOOT,
            "MESSAGE": text,
        }
        self.write_raw(json.dumps(entry).encode() + b"\n")


def device_id(gpu: FakeGpu) -> str:
    return f"gpu-{gpu.uuid.removeprefix('GPU-').lower()}"


class Host:
    """A host with GPUs, and what is heard of it."""

    def __init__(self, directory: Path, broker: Broker, fake: FakeGpus, kernel: Log) -> None:
        self.directory = directory
        self.broker = broker
        self.fake = fake
        self.kernel = kernel
        self.ids = [device_id(gpu) for gpu in fake.gpus]
        self.subscriber: Subscriber
        self.node: Node
        self.service: Service

    def readings(self, slot: int) -> list[dict[str, Any]]:
        return [
            each
            for each in self.subscriber.on(f"/device/{self.ids[slot]}/")
            if each.get("kind") == "gpu"
        ]

    def states(self, slot: int) -> list[str]:
        return [each["state"] for each in self.readings(slot)]

    def events(self, name: str, slot: int | None = None) -> list[dict[str, Any]]:
        found = self.subscriber.events(name)
        return [each for each in found if slot is None or each["device_id"] == self.ids[slot]]

    def inventory(self) -> dict[str, dict[str, Any]]:
        page = self.subscriber.on("/inventory/n1/0")[-1]
        return {each["identity"]["id"]: each for each in page["devices"]}

    def summary(self) -> dict[str, Any]:
        return self.subscriber.on("/summary/n1")[-1]

    def until(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        return self.subscriber.wait_for(condition, timeout_s)

    def until_read(self, slot: int, more: int = 2) -> None:
        wanted = len(self.readings(slot)) + more
        self.until(lambda: len(self.readings(slot)) >= wanted)

    def all_read(self) -> None:
        for slot in range(len(self.ids)):
            self.until(lambda slot=slot: self.states(slot).count("ok") >= 2)
        self.until(lambda: self.subscriber.on("/summary/n1"))


@contextmanager
def running(
    directory: Path,
    broker: Broker,
    fake: FakeGpus,
    *,
    served: bool = True,
    topic: str = "stoker/v1/#",
    **node: Any,
) -> Iterator[Host]:
    host = Host(directory, broker, fake, Log(directory))
    values = {"addresses": "127.20.9.1", "rpc_port": 1, "web_port": 1, **node}
    values["more"] = GPU.format(directory=directory)
    with Subscriber(broker.port, topic) as host.subscriber:
        made = Node(directory, broker_port=broker.port, **values)
        if not served:
            with made as host.node:
                yield host
            return
        with service(directory, fake) as host.service, made as host.node:
            yield host


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGpus]:
    with fake_gpus(tmp_path, f"h100-sxm*{COUNT}") as gpus:
        yield gpus


@pytest.fixture
def host(
    tmp_path: Path, broker: Broker, fake: FakeGpus, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    # the stand-in for journalctl lies there
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with running(tmp_path, broker, fake) as started:
        started.all_read()
        yield started


def test_inventory_readings_and_totals(host: Host) -> None:
    host.fake[1].load(100)
    host.until(lambda: host.readings(1)[-1]["utilisation_percent"] == 100)
    host.until(lambda: (host.summary()["totals"]["gpus"]["utilisation_percent"] or 0) > 10)
    reading = host.readings(1)[-1]
    assert reading["power_source"] == "reported"
    assert reading["power_limit_w"] == 700.0
    assert len(reading["nvlinks"]) == 18
    assert reading["slow_age_s"] <= 1.5 + 2 * FAST_S
    entry = host.inventory()[host.ids[1]]
    assert entry["address"] == f"pci:{host.fake[1].pci_bus_id}"
    assert entry["identity"]["make"] == "NVIDIA"
    assert "limit_power" in entry["capabilities"]
    assert entry["gpu"]["driver_version"]
    assert entry["gpu"]["power_limit_max_w"] == 700.0
    assert len(host.events("device.found")) == COUNT
    totals = host.summary()["totals"]
    assert totals["gpus"]["by_state"] == {"ok": COUNT}
    assert totals["power_reported_w"] == totals["gpus"]["power_reported_w"] > 0
    assert host.node.status()["totals"]["gpus"]["devices"] == COUNT


@pytest.mark.parametrize("encoding", ["json", "json-batch", "compact"])
def test_all_that_is_said_keeps_to_the_contract_in_every_encoding(
    encoding: str,
    tmp_path: Path,
    broker: Broker,
    fake: FakeGpus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    recorder = Recorder(broker.port)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/encoding.toml").write_text(f'[telemetry]\nencoding = "{encoding}"\n')
    fake[1].load(80)
    fake[1].start(4242, 20.0, 2**30)
    # batches are for the recorder
    with running(tmp_path, broker, fake, topic="stoker/v1/+/event/#") as host:
        recorder.await_that("readings", lambda: len(gpus_in(recorder)) > 4 * COUNT)
        host.kernel.say_now(fake[0].fall_off())
        recorder.await_that("a fault", lambda: "fault" in {g["state"] for g in gpus_in(recorder)})
        recorder.await_that("an event", lambda: "gpu.missing" in str(recorder.on("event")))
        recorder.await_that("a summary", lambda: bool(recorder.on("summary")))
    recorder.close()
    for message in recorder.heard:
        assert not problems_of_message(message), message
    read = gpus_in(recorder)
    for reading in read:
        assert encoding == "compact" or not problems(reading, "GpuReading")
    whole = next(each for each in reversed(read) if each.get("processes"))
    assert [process["pid"] for process in whole["processes"]] == [4242]
    assert len(whole["nvlinks"]) == 18
    lost = next(each for each in reversed(read) if each["state"] == "fault")
    assert lost["nvlinks"] is lost["processes"] is lost["power_w"] is None
    assert lost["faults"][0]["code"] == "lost"


def gpus_in(recorder: Recorder) -> list[dict[str, Any]]:
    return [each for each in readings_of(list(recorder.heard)) if each["kind"] == "gpu"]


def test_one_that_falls_off_the_bus_is_a_fault_and_no_shorter_list(host: Host) -> None:
    line = host.fake[1].fall_off()
    host.kernel.say_now(line)
    host.until(lambda: host.events("gpu.lost", 1) and host.states(1)[-1] == "fault")
    host.until(lambda: host.events("gpu.missing"))
    host.until(lambda: host.summary()["findings"]["gpu_missing"] == 1)
    host.until_read(0)
    (fault,) = host.events("gpu.fault")
    assert fault["device_id"] == host.ids[1]
    details = fault["details"]
    assert (details["code"], details["count"], details["action"]) == ("xid-79", 1, "reboot")
    (missing,) = host.events("gpu.missing")
    assert missing["details"] == {"expected": COUNT, "seen": COUNT - 1, "missing": [host.ids[1]]}
    assert [each["code"] for each in host.readings(1)[-1]["faults"]] == ["lost", "quarantine"]
    assert host.readings(1)[-1]["power_w"] is None
    assert set(host.ids) <= host.inventory().keys()
    assert host.summary()["totals"]["gpus"]["devices"] == COUNT
    (quarantined,) = host.events("gpu.quarantined")
    assert quarantined["details"]["reasons"] == ["xid-79"]

    host.fake[1].come_back()
    host.until(lambda: host.events("gpu.back", 1) and host.states(1)[-1] == "ok")
    host.until(lambda: host.events("gpu.complete"))
    (recovered,) = host.events("gpu.recovered")
    assert (recovered["device_id"], recovered["details"]["by"]) == (host.ids[1], "back")
    assert len(host.events("gpu.fault")) == len(host.events("gpu.lost")) == 1
    assert {*host.states(0)} == {"ok"}


@pytest.mark.parametrize("kind", [Kind.HANG, Kind.HANG_IN_D], ids=lambda kind: kind.name)
def test_one_that_hangs_costs_the_others_nothing_and_holds_up_no_stop(
    kind: Kind, host: Host
) -> None:
    with host.fake.hang(CLOCKS, 2, kind=kind):
        host.until(lambda: host.states(2)[-1] == "unreachable")
        began = time.monotonic()
        for slot in (0, 1, 3):
            host.until_read(slot, 5)
        assert time.monotonic() - began < 10 * FAST_S + 2.0
        (fault,) = host.readings(2)[-1]["faults"]
        assert fault["code"] == "hung"
        host.until(lambda: host.events("gpu.hung", 2))
        began = time.monotonic()
        assert host.node.process
        assert host.node.process.stop() == 0
        assert time.monotonic() - began < 3.0
        host.node.start()
        host.until_read(0, 3)
    host.until(lambda: host.states(2)[-1] == "ok", 30)
    assert {*host.states(0)} == {"ok"}


TABLE = {
    # of each code: the GPU that it befalls, what is to be done, whether it is not used until then
    13: (3, "restart_job", False),
    31: (3, "restart_job", False),
    94: (3, "restart_job", False),
    154: (3, "ask_driver", False),
    79: (0, "reboot", True),
    48: (1, "reset", True),
    119: (2, "reset", True),
}


def test_each_code_leads_to_what_the_table_says(host: Host) -> None:
    for xid, (slot, _, _) in TABLE.items():
        host.kernel.say_now(host.fake[slot].xid(xid))
    host.until(lambda: len(host.events("gpu.fault")) == len(TABLE))
    for xid, (slot, action, quarantined) in TABLE.items():
        (event,) = [e for e in host.events("gpu.fault") if e["details"]["code"] == f"xid-{xid}"]
        assert event["device_id"] == host.ids[slot]
        assert event["address"] == f"pci:{host.fake[slot].pci_bus_id}"
        assert (event["details"]["action"], event["details"]["quarantine"]) == (action, quarantined)
    for slot, state in enumerate(("quarantined", "quarantined", "quarantined", "ok")):
        host.until_read(slot)
        host.until(lambda slot=slot, state=state: host.states(slot)[-1] == state)
    assert len(host.events("gpu.quarantined")) == 3


def test_the_same_code_twice_is_two_events_each_heard_from_both_sides(host: Host) -> None:
    for count in (1, 2):
        host.kernel.say_now(host.fake[3].xid(79))
        host.until(lambda count=count: len(host.events("gpu.fault", 3)) == count)
    host.kernel.say_now("usb 1-1: a line that says nothing of GPUs")
    host.until_read(3)
    events = host.events("gpu.fault")
    assert [each["details"]["count"] for each in events] == [1, 2]
    assert len({each["seq"] for each in events}) == 2
    assert len(host.events("gpu.quarantined")) == 1


def test_what_the_driver_misses_the_kernel_tells(host: Host) -> None:
    place = host.fake[0].pci_bus_id.rsplit(".", 1)[0]
    host.kernel.say_now(f"NVRM: Xid (PCI:{place}): 31, pid=4242, name=python3, Ch 00000008")
    host.until(lambda: host.events("gpu.fault", 0))
    (event,) = host.events("gpu.fault")
    assert event["details"]["source"] == "kernel_log"
    assert event["details"]["process"] == "4242 python3"


def test_a_quarantine_outlives_the_agent_and_ends_when_the_driver_was_loaded_anew(
    host: Host,
) -> None:
    host.fake[0].load(50)
    host.kernel.say_now(host.fake[0].xid(48))
    host.until(lambda: host.states(0)[-1] == "quarantined")
    assert host.node.process
    host.node.process.kill()
    before = len(host.readings(0))
    host.node.start()
    host.until(lambda: len(host.readings(0)) >= before + 3)
    assert {*host.states(0)[before:]} == {"quarantined"}
    energy_j = host.readings(0)[-1]["energy_j"]
    host.fake.reload_driver()
    host.fake[0].load(50)
    host.until(lambda: host.events("gpu.recovered", 0))
    host.until(lambda: host.states(0)[-1] == "ok")
    (recovered,) = host.events("gpu.recovered")
    assert recovered["details"]["by"] == "driver"
    assert recovered["details"]["reasons"] == ["xid-48"]
    assert host.readings(0)[-1]["energy_j"] >= energy_j
    assert host.readings(0)[-1]["energy_restarts"] == 1
    # neither the fault nor its quarantine were told again after the restart
    assert len(host.events("gpu.fault")) == len(host.events("gpu.quarantined")) == 1


def test_one_that_went_while_nobody_looked_is_missed(
    host: Host, tmp_path: Path, fake: FakeGpus
) -> None:
    assert host.node.process
    host.node.process.stop()
    host.service.stop()
    fake[2].fall_off()
    with service(tmp_path, fake):
        host.node.start()
        host.until(lambda: host.events("gpu.missing"))
        host.until(lambda: host.states(2)[-1] == "fault")
    assert host.events("gpu.missing")[-1]["details"]["missing"] == [host.ids[2]]
    assert host.readings(2)[-1]["faults"][0]["code"] in ("lost", "missing")
    assert host.ids[2] in host.inventory()


def test_a_service_that_is_killed_and_comes_back_soon_is_a_gap_and_nothing_else(
    host: Host, tmp_path: Path, fake: FakeGpus
) -> None:
    host.service.process.send_signal(signal.SIGKILL)
    host.service.process.wait(10)
    with service(tmp_path, fake):
        for slot in range(COUNT):
            host.until_read(slot, 3)
    for slot in range(COUNT):
        assert {*host.states(slot)} == {"ok"}
    assert not host.events("gpu.unserved")
    assert len(host.events("device.found")) == COUNT
    assert not host.events("device.state")


def test_a_service_that_stays_away_is_one_finding_and_miners_go_on(
    tmp_path: Path, broker: Broker, fake: FakeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    options = ("--network", "127.20.0.0/16", "--count", "3", "--delay-scale", "0")
    with (
        simulated(tmp_path, *options) as (rpc_port, web_port, _),
        running(
            tmp_path,
            broker,
            fake,
            addresses="127.20.0.1-127.20.0.3",
            rpc_port=rpc_port,
            web_port=web_port,
        ) as host,
    ):
        host.all_read()
        host.node.await_devices(COUNT + 3)
        host.service.stop()
        host.until(lambda: host.events("gpu.unserved"), 30)
        for slot in range(COUNT):
            host.until(lambda slot=slot: host.states(slot)[-1] == "unreachable")
        host.until(lambda: host.summary()["findings"]["gpu_unserved"] == COUNT)
        miners = len(host.subscriber.readings())
        host.until(lambda: len(host.subscriber.readings()) >= miners + 6)
        with service(tmp_path, fake):
            host.until(lambda: host.events("gpu.served"), 40)
            host.until_read(1)
            host.until(lambda: host.summary()["findings"]["gpu_unserved"] == 0)
        (unserved,) = host.events("gpu.unserved")
        assert unserved["details"] == {"error": "Unreachable", "devices": COUNT}
        assert not [each for each in host.events("device.state") if each["device_id"] in host.ids]


def test_a_host_without_gpus_says_nothing_of_them(
    tmp_path: Path, broker: Broker, fake: FakeGpus
) -> None:
    with running(tmp_path, broker, fake, served=False) as host:
        time.sleep(0.5)
        wait_until(lambda: host.node.status()["findings"]["gpu_unserved"] == 0, 5)
        host.until(lambda: len(host.subscriber.on("/summary/n1")) >= 2)
        assert host.summary()["findings"] == {
            "factory_password": 0,
            "gpu_missing": 0,
            "gpu_unserved": 0,
        }
        assert host.summary()["totals"]["gpus"]["devices"] == 0

"""`stoker gpu`, `stoker read gpu:N` and orders by number, through the agent and without one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.model_gpu import GpuReading
from tests.gpu import Service, fake_gpus, service
from tests.harness import STOKER, Node, wait_until

NOWHERE = Path("/nonexistent/agent.sock")
ALONE = {"broker_port": 1, "addresses": "127.44.0.1", "rpc_port": 9, "web_port": 9}
"""Nobody answers there."""


@pytest.fixture
def gpus(tmp_path: Path) -> Iterator[Service]:
    """Three GPUs of two models, and `stoker-gpu`."""
    with fake_gpus(tmp_path, "h100-sxm*2,rtx-3090*1") as fake, service(tmp_path, fake) as running:
        fake[1].start(4711, 80, 20 << 30)
        yield running


@contextmanager
def agent(directory: Path, gpus: Service) -> Iterator[Node]:
    """An agent that reads them every half second and has neither miners nor a broker."""
    more = f'[gpu]\nsocket = "{gpus.path}"\nfast_interval_s = 0.5\n[[control.allow]]\n'
    with Node(directory, more=more, **ALONE) as node:
        yield node


def stoker(*words: str, at: Path, gpu_socket: Path = NOWHERE) -> subprocess.CompletedProcess[str]:
    options = ("--gpu-socket", str(gpu_socket)) if words[0] in ("gpu", "read") else ()
    return subprocess.run(
        [*STOKER, *words, "--socket", str(at), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def seen(done: subprocess.CompletedProcess[str]) -> list[dict]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["gpus"]


def test_without_an_agent_stoker_gpu_is_asked(gpus):
    found = seen(stoker("gpu", "--json", at=NOWHERE, gpu_socket=gpus.path))
    assert [each["facts"]["index"] for each in found] == [0, 1, 2]
    assert [each["reading"]["power_w"] is not None for each in found] == [True] * 3
    shown = stoker("gpu", at=NOWHERE, gpu_socket=gpus.path)
    assert "RTX 3090" in shown.stdout
    assert f"told by stoker-gpu at {gpus.path}" in shown.stdout


def test_a_gpu_that_is_gone_is_in_the_table_with_the_reason(gpus):
    assert len(seen(stoker("gpu", "--json", at=NOWHERE, gpu_socket=gpus.path))) == 3
    gpus.fake[0].fall_off()

    def gone() -> dict | None:
        found = seen(stoker("gpu", "--json", at=NOWHERE, gpu_socket=gpus.path))
        lost = [each for each in found if each["problem"]]
        return lost[0] if len(found) == 3 and lost else None

    lost = wait_until(gone, 20, "the loss shows")
    assert lost["reading"] is None
    others = [
        each
        for each in seen(stoker("gpu", "--json", at=NOWHERE, gpu_socket=gpus.path))
        if not each["problem"]
    ]
    assert len(others) == 2
    assert all(each["reading"]["power_w"] for each in others)


def test_where_neither_is_there_both_are_named():
    done = stoker("gpu", at=NOWHERE, gpu_socket=Path("/nonexistent/gpu.sock"))
    assert done.returncode == 1
    assert "no agent at /nonexistent/agent.sock" in done.stderr
    assert "no stoker-gpu: /nonexistent/gpu.sock: No such file or directory" in done.stderr


def test_watching_shows_what_changes(gpus):
    watch = ("gpu", "--watch", "--json", "--interval", "0.5", "--seconds", "4")
    with subprocess.Popen(
        [*STOKER, *watch, "--socket", str(NOWHERE), "--gpu-socket", str(gpus.path)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())
        assert first["gpus"][0]["reading"]["utilisation_percent"] == 0
        gpus.fake[0].load(90)
        looks = [json.loads(line)["gpus"][0]["reading"] for line in process.stdout]
        assert process.wait(20) == 0
    assert looks[-1]["utilisation_percent"] > 50
    assert len(looks) >= 3


def test_one_gpu_by_number_place_or_id(gpus):
    found = seen(stoker("gpu", "--json", at=NOWHERE, gpu_socket=gpus.path))[1]
    names = ("gpu:1", found["address"].replace("pci:", "gpu:"), found["identity"]["id"])
    for name in (*names, found["facts"]["uuid"]):
        done = stoker("read", name, "--json", at=NOWHERE, gpu_socket=gpus.path)
        assert json.loads(done.stdout)["identity"] == found["identity"], done.stderr
    shown = stoker("read", "gpu:1", at=NOWHERE, gpu_socket=gpus.path).stdout
    assert "4711" in shown
    assert all(name in shown for name in ("power_limit_enforced_w", "nvlinks", "mig_profiles"))
    wrong = stoker("read", "gpu:9", at=NOWHERE, gpu_socket=gpus.path)
    assert (wrong.returncode, "there are gpu:0, gpu:1, gpu:2" in wrong.stderr) == (1, True)


def test_through_the_agent(gpus, tmp_path):
    with agent(tmp_path, gpus) as node:
        at = node.socket
        wait_until(lambda: len(seen_or_none(at)) == 3, 20, "all are read")
        assert "told by the agent" in stoker("gpu", at=at).stdout
        one = json.loads(stoker("read", "gpu:2", "--json", at=at).stdout)
        assert "RTX 3090" in one["identity"]["model"]
        assert one["reading"]["ecc_enabled"] is None
        assert set(one["reading"]) == set(GpuReading.__struct_fields__)
        assert "not supported" in stoker("read", "gpu:2", at=at).stdout

        done = stoker("act", "gpu:1", "power-limit", "400", at=at)
        assert (done.returncode, "verified" in done.stdout) == (0, True), done.stderr
        assert gpus.fake[1].limit_w == 400
        assert gpus.fake[0].limit_w == 700
        wait_until(lambda: "/400" in stoker("gpu", at=at).stdout, 20, "the table shows it")

        assert stoker("lock", "gpu:1", "--reason", "riser", at=at).returncode == 0
        refused = stoker("act", "gpu:1", "power-limit", "700", at=at)
        assert (refused.returncode, "riser" in refused.stdout) == (3, True)
        assert stoker("unlock", "gpu:1", at=at).returncode == 0
        assert "there is no such GPU" in stoker("act", "gpu:7", "ecc", "off", at=at).stderr

        lost, next_one = (gpus.fake[slot].uuid.replace("GPU-", "gpu-") for slot in (0, 1))
        gpus.fake[0].fall_off()
        wait_until(lambda: shown_as(at, "gpu:0") == next_one, 30, "the numbers have moved up")
        gone = [each for each in seen(stoker("gpu", "--json", at=at)) if each["gone"]]
        assert [each["identity"]["id"] for each in gone] == [lost]
        assert "quarantine: XID 79" in stoker("gpu", at=at).stdout


def test_a_person_puts_a_gpu_into_quarantine_and_ends_it(gpus, tmp_path):
    with agent(tmp_path, gpus) as node:
        at = node.socket
        wait_until(lambda: len(seen_or_none(at)) == 3, 20, "all are read")
        assert stoker("quarantine", at=at).stdout == "no GPU is in quarantine\n"
        assert "needs a reason" in stoker("quarantine", "gpu:1", at=at).stderr
        done = stoker("quarantine", "gpu:1", "--reason", "fan screams", at=at)
        assert "is in quarantine: fan screams" in done.stdout, done.stderr
        wait_until(lambda: "quarantine: fan screams" in stoker("gpu", at=at).stdout, 10)
        assert state(at, "gpu:1") == "quarantined"
        assert state(at, "gpu:0") == "ok"

        assert node.process
        node.process.kill()
        node.start()
        wait_until(lambda: state(at, "gpu:1") == "quarantined", 20, "it lasts over a restart")
        assert "fan screams" in stoker("quarantine", at=at).stdout

        assert stoker("quarantine", "gpu:1", "--lift", at=at).returncode == 0
        assert state(at, "gpu:1") == "ok"
        again = stoker("quarantine", "gpu:1", "--lift", at=at)
        assert (again.returncode, "is in no quarantine" in again.stderr) == (1, True)
        other = stoker("quarantine", "10.0.0.1", "--lift", at=at)
        assert "10.0.0.1 is no GPU of this host" in other.stderr
        audit = ("audit", "show", "--dir", str(tmp_path / "state/audit"))
        shown = subprocess.run([*STOKER, *audit], capture_output=True, text=True, check=False)
        assert "quarantine.set" in shown.stdout, shown.stderr
        assert "quarantine.lifted" in shown.stdout


def state(at: Path, name: str) -> str | None:
    """What one of them is doing."""
    done = stoker("read", name, "--json", at=at)
    return json.loads(done.stdout)["reading"]["state"] if done.returncode == 0 else None


def test_a_host_without_gpus_says_so(tmp_path):
    more = '[gpu]\nsocket = "/nonexistent/gpu.sock"\n'
    with Node(tmp_path, more=more, **ALONE) as node:
        done = stoker("gpu", at=node.socket)
        assert (done.returncode, done.stderr) == (1, "stoker: no GPUs are known on this host\n")
        assert "no GPUs are known" in stoker("read", "gpu:0", at=node.socket).stderr


def shown_as(at: Path, name: str) -> str | None:
    """Which GPU is called so now."""
    done = stoker("read", name, "--json", at=at)
    return json.loads(done.stdout)["identity"]["id"] if done.returncode == 0 else None


def seen_or_none(at: Path) -> list[dict]:
    """Those of which there is a reading."""
    done = stoker("gpu", "--json", at=at)
    if done.returncode:
        return []
    return [each for each in json.loads(done.stdout)["gpus"] if each["reading"]]

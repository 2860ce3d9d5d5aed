"""What `stoker-gpu` tells and does beside reading: events, release, reset, fans, systemd."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drivers.errors import Refused
from drivers.gpu.answers import EventKind
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import InUse, NotAllowed, Released
from drivers.gpu.wants import FanDuty, MigLayout, MigMode, Persistence, PowerLimit
from drivers.sim.nvml.control import FakeGpus
from drivers.sim.nvml.gpu import RECOVERY
from tests.gpu import FAST, Heard, Service, connected, fake_gpus, service

# --- events --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [79, 48, 13, 31, 94, 119, 154])
async def test_an_xid_is_an_event_with_code_gpu_and_number(
    code: int, running: Service, client: GpuClient, heard: Heard
) -> None:
    before = heard.events[-1].seq
    running.fake[1].xid(code)
    (event,) = await heard.until(EventKind.XID)
    assert (event.xid, event.uuid, event.seq) == (code, running.uuids[1], before + 1)
    assert event.pci_address == running.fake[1].pci_bus_id
    assert abs(event.at - time.time()) < 5


async def test_the_same_xid_twice_is_two_events(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    running.fake[1].xid(13)
    running.fake[1].xid(13)
    first, second = await heard.until(EventKind.XID, 2)
    assert second.seq == first.seq + 1


async def test_an_xid_of_an_instance_names_it(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    running.fake[1].xid(94, gpu_instance=2, compute_instance=0)
    (event,) = await heard.until(EventKind.XID)
    assert (event.gpu_instance, event.compute_instance) == (2, 0)


async def test_what_the_driver_wants_done_is_asked_when_it_changes(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    running.fake[2].recommend(1)
    (event,) = await heard.until(EventKind.RECOVERY_ACTION)
    assert (event.recovery_action, event.uuid) == ("reset", running.uuids[2])
    running.fake[2].recommend(0)
    _, over = await heard.until(EventKind.RECOVERY_ACTION, 2)
    assert over.recovery_action == "none"


async def test_an_event_of_its_own_is_enough_to_ask(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    running.fake[2].raw.recovery_action = 4
    running.fake[2].event(RECOVERY, 4)
    (event,) = await heard.until(EventKind.RECOVERY_ACTION)
    assert (event.recovery_action, event.uuid) == ("drain_and_reset", running.uuids[2])
    assert not heard.of(EventKind.XID)


async def test_a_driver_that_does_not_say_what_it_wants(tmp_path: Path) -> None:
    heard = Heard()
    with fake_gpus(tmp_path, "a100-40gb", driver="470") as fake, service(tmp_path, fake) as running:
        async with connected(running.path, heard) as client:
            await client.inventory()
            fake[0].xid(154)
            (event,) = await heard.until(EventKind.RECOVERY_ACTION)
            assert event.recovery_action is None


async def test_a_client_that_comes_late_hears_what_was(running: Service, client: GpuClient) -> None:
    running.fake[1].xid(31)
    late = Heard()
    async with connected(running.path, late):
        (event,) = await late.until(EventKind.XID)
    assert event.xid == 31


# --- letting go ----------------------------------------------------------------------------------


async def test_released_gpus_are_held_by_nobody(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    await client.release(reason="driver update")
    assert running.children() == []
    assert (await client.status()).state == "released"
    scanned = await client.scan(FAST)
    assert {each.problem.cause.value for each in scanned.gpus if each.problem} == {"released"}
    with pytest.raises(Released, match="driver update"):
        await client.set(running.uuids[0], PowerLimit(300.0))
    await client.resume()
    assert not any(each.problem for each in (await client.scan(FAST)).gpus)
    assert len(heard.of(EventKind.RELEASED)) == len(heard.of(EventKind.RESUMED)) == 1


async def test_a_release_ends_by_itself(running: Service, client: GpuClient, heard: Heard) -> None:
    await client.release(for_s=0.3)
    await heard.until(EventKind.RESUMED)
    assert not any(each.problem for each in (await client.scan(FAST)).gpus)


# --- what is off by default ----------------------------------------------------------------------


async def test_reset_mig_and_fans_are_off(running: Service, client: GpuClient) -> None:
    uuid = running.uuids[0]
    for setting in (MigMode(True), MigLayout(()), FanDuty(50.0)):
        with pytest.raises(NotAllowed, match="--allow"):
            await client.set(uuid, setting)
    with pytest.raises(NotAllowed, match="--allow reset"):
        await client.reset(uuid)
    assert len(running.children()) == 1


NVIDIA_SMI = """#!/bin/sh
echo "$@" > {directory}/asked
ls /proc/*/maps 2>/dev/null | xargs grep -l {state} 2>/dev/null > {directory}/holders
{verdict}
"""


def nvidia_smi(directory: Path, fake: FakeGpus, verdict: str) -> Path:
    """A stand-in that notes what it was asked, and who holds the GPUs at that time."""
    program = directory / "nvidia-smi"
    program.write_text(NVIDIA_SMI.format(directory=directory, state=fake.path, verdict=verdict))
    program.chmod(0o755)
    return program


async def test_a_reset_finds_the_gpus_let_go(tmp_path: Path, fake: FakeGpus) -> None:
    program = nvidia_smi(tmp_path, fake, "echo GPU was successfully reset.")
    heard = Heard()
    with service(tmp_path, fake, "--allow", "reset", "--nvidia-smi", str(program)) as running:
        async with connected(running.path, heard) as client:
            await client.inventory()
            done = await client.reset(running.uuids[1])
            assert done.words == "GPU was successfully reset."
            (event,) = await heard.until(EventKind.RESET)
            assert event.uuid == running.uuids[1]
            asked = (tmp_path / "asked").read_text().split()
            assert asked == ["--gpu-reset", "-i", running.uuids[1]]
            holders = (tmp_path / "holders").read_text()
            child, *_ = running.children() or [None]
            assert f"/proc/{running.process.pid}/" not in holders
            assert child is None or f"/proc/{child.pid}/" not in holders
            assert not any(each.problem for each in (await client.scan(FAST)).gpus)


async def test_a_reset_that_is_refused_leaves_the_gpus_in_use(
    tmp_path: Path, fake: FakeGpus
) -> None:
    program = nvidia_smi(tmp_path, fake, "echo 'GPU is in use by another client'; exit 19")
    with service(tmp_path, fake, "--allow", "reset", "--nvidia-smi", str(program)) as running:
        async with connected(running.path) as client:
            await client.inventory()
            with pytest.raises(InUse, match="another client"):
                await client.reset(running.uuids[1])
            assert not any(each.problem for each in (await client.scan(FAST)).gpus)


async def test_fans_are_given_back_when_the_child_ends_and_when_it_is_killed(
    tmp_path: Path,
) -> None:
    with (
        fake_gpus(tmp_path, "rtx-3090*2") as fake,
        service(tmp_path, fake, "--allow", "fan") as running,
    ):
        async with connected(running.path) as client:
            await client.inventory()
            await client.set(running.uuids[0], Persistence(True))  # else the driver forgets it
            done = await client.set(running.uuids[0], FanDuty(80.0))
            assert done.after["fans"][0]["duty_percent"] == 80.0
            assert fake[0].raw.fan_manual
            (child,) = running.children()
            os.kill(child.pid, signal.SIGKILL)
            async with asyncio.timeout(5):
                while fake[0].raw.fan_manual:
                    await asyncio.sleep(0.05)
            await client.set(running.uuids[0], FanDuty(80.0))
            assert fake[0].raw.fan_manual
        running.stop()
        assert not fake[0].raw.fan_manual


async def test_a_gpu_is_cut_as_it_is_told(tmp_path: Path, fake: FakeGpus) -> None:
    with service(tmp_path, fake, "--allow", "mig") as running:
        async with connected(running.path) as client:
            await client.inventory()
            uuid = running.uuids[0]
            with pytest.raises(Refused, match="not in MIG mode"):
                await client.set(uuid, MigLayout(("1g.10gb",)))
            assert (await client.set(uuid, MigMode(True))).after["mig_enabled"] is True
            done = await client.set(uuid, MigLayout(("3g.40gb", "1g.10gb", "1g.10gb")))
            kinds = [each["profile"] for each in done.after["mig_instances"]]
            assert sorted(kinds) == ["1g.10gb", "1g.10gb", "3g.40gb"]
            kept = {each["uuid"] for each in done.after["mig_instances"]}
            done = await client.set(uuid, MigLayout(("3g.40gb", "2g.20gb")))
            stayed = {each["uuid"] for each in done.after["mig_instances"]} & kept
            assert len(stayed) == 1
            fake[0].start(4242, memory=1 << 30, gpu_instance=1, compute_instance=0)
            with pytest.raises(Refused):
                await client.set(uuid, MigLayout(()))


# --- systemd -------------------------------------------------------------------------------------


def told(sock: socket.socket, word: str, within_s: float = 10.0) -> str:
    """The first message to systemd that holds a word."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        sock.settimeout(within_s)
        message = sock.recv(4096).decode()
        if word in message:
            return message
    raise AssertionError(f"systemd was not told {word}")


def test_systemd_is_told(tmp_path: Path, fake: FakeGpus) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        with service(tmp_path, fake, environment=environment) as running:
            assert "4 of 4 GPUs" in told(systemd, "READY=1")
            for _ in range(3):
                told(systemd, "WATCHDOG=1", within_s=2)
            running.process.send_signal(signal.SIGTERM)
            told(systemd, "STOPPING=1")


def test_it_is_ready_also_where_the_driver_is_not(tmp_path: Path, fake: FakeGpus) -> None:
    fake.refuse_init(9)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        with service(tmp_path, fake, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}):
            assert "not loaded" in told(systemd, "READY=1")


ACTIVATED = """
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-P", "-m", "drivers.gpu", "--socket", "/nowhere/at/all"])
"""


async def test_it_takes_the_socket_that_systemd_listens_on(tmp_path: Path, fake: FakeGpus) -> None:
    path = tmp_path / "activated.sock"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", ACTIVATED, str(path)],
        env={**os.environ, **fake.environment()},
        stderr=subprocess.DEVNULL,
    )
    try:
        async with connected(path) as client:
            assert len((await client.inventory()).gpus) == 4
    finally:
        process.terminate()
        assert process.wait(10) == 0
    assert path.exists()  # it is not ours to remove


def test_a_second_one_does_not_take_the_socket_away(running: Service, tmp_path: Path) -> None:
    asyncio.run(_served(running.path))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "drivers.gpu", "--socket", str(running.path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "another stoker-gpu is running" in done.stderr
    asyncio.run(_served(running.path))


async def _served(path: Path) -> None:
    async with connected(path) as client:
        await client.status()


async def test_persistence_keeps_a_limit_over_a_release(
    running: Service, client: GpuClient
) -> None:
    uuid = running.uuids[0]
    await client.set(uuid, Persistence(True))
    await client.set(uuid, PowerLimit(300.0))
    await client.release()
    await client.resume()
    assert (await client.set(uuid, PowerLimit(350.0))).before["power_limit_w"] == 300.0


async def test_the_supervisor_holds_no_nvml(running: Service, client: GpuClient) -> None:
    assert "libnvidia-ml" not in mapped(running.process.pid)
    (child,) = running.children()
    assert "libnvidia-ml" in mapped(child.pid)


def mapped(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()

"""What a driver and its GPUs can do to `stoker-gpu` short of hanging."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from drivers.errors import AccessDenied, OutOfRange, Unsupported
from drivers.gpu.answers import EventKind, Scanned
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import Cause, DriverNotLoaded, GpuLost, GpuUnknown, VersionMismatch
from drivers.gpu.protocol import Tier
from drivers.gpu.wants import ComputeMode, Ecc, LockedClocks, Persistence, PowerLimit
from drivers.sim.nvml.control import FakeGpus
from tests.gpu import ALL, FAST, Heard, Service, connected, fake_gpus, service


def causes(scanned: Scanned) -> list[Cause | None]:
    return [gpu.problem and gpu.problem.cause for gpu in scanned.gpus]


async def healthy(client: GpuClient, gpus: int = 4) -> None:
    async with asyncio.timeout(8):
        while causes(await client.scan(FAST)) != [None] * gpus:
            await asyncio.sleep(0.05)


async def test_the_inventory_says_what_each_gpu_is(running: Service, client: GpuClient) -> None:
    found = await client.inventory()
    assert found.driver.driver_version == "580.95.05"
    assert [gpu.uuid for gpu in found.gpus] == running.uuids
    facts = found.gpus[0].facts
    assert facts is not None
    assert facts.pci_address == running.fake[0].pci_bus_id
    assert facts.name == "NVIDIA H100 80GB HBM3"
    assert (facts.power_limit_min_w, facts.power_limit_max_w) == (200.0, 700.0)
    assert facts.nvlinks == 18
    assert "1g.10gb" in [profile.name for profile in facts.mig_profiles or ()]


# --- GPUs that go and come ---------------------------------------------------------------------


async def test_a_gpu_off_the_bus_is_lost_and_not_a_shorter_list(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    running.fake[2].fall_off()
    (xid,) = await heard.until(EventKind.XID)
    assert (xid.xid, xid.uuid) == (79, running.uuids[2])
    assert causes(await client.scan(FAST)) == [None, None, Cause.LOST, None]
    (lost,) = await heard.until(EventKind.GPU_LOST)
    assert lost.uuid == running.uuids[2]
    found = await client.inventory()
    assert [gpu.uuid for gpu in found.gpus] == running.uuids
    assert found.gpus[2].problem is not None
    with pytest.raises(GpuLost):
        await client.set(running.uuids[2], PowerLimit(300.0))
    statement = await client.status()
    assert (len(statement.expected), statement.lost) == (4, (running.uuids[2],))


async def test_a_gpu_that_is_not_listed_any_more_is_lost(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    running.fake[2].vanish()  # without an XID
    await client.release()
    await client.resume()
    found = await client.inventory()
    (lost,) = heard.of(EventKind.GPU_LOST)
    assert lost.uuid == running.uuids[2]
    assert "lists none" in lost.message
    assert [gpu.uuid for gpu in found.gpus] == running.uuids
    assert causes(await client.scan(FAST)) == [None, None, Cause.LOST, None]
    assert not heard.of(EventKind.XID)


async def test_a_lost_gpu_is_told_once(running: Service, client: GpuClient, heard: Heard) -> None:
    running.fake[2].fall_off()
    for _ in range(5):
        await client.scan(FAST)
    await client.inventory()
    assert len(heard.of(EventKind.GPU_LOST)) == 1


async def test_a_lost_gpu_that_is_there_again(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    running.fake[2].fall_off()
    await client.scan(FAST)
    running.fake[2].come_back()
    async with asyncio.timeout(5):
        while not heard.of(EventKind.GPU_BACK):
            await client.inventory()
    assert causes(await client.scan(FAST)) == [None] * 4


async def test_events_of_the_others_are_heard_after_one_fell_off(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    running.fake[2].fall_off()
    await heard.until(EventKind.EVENTS_DEAF)
    await heard.until(EventKind.EVENTS_HEARD)
    running.fake[0].xid(31)
    xids = await heard.until(EventKind.XID, 2)
    assert (xids[1].xid, xids[1].uuid) == (31, running.uuids[0])


async def test_other_numbers_are_the_same_gpus(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    await client.set(running.uuids[0], Persistence(True))  # else the limit goes with us
    await client.set(running.uuids[0], PowerLimit(300.0))
    running.fake.renumber([3, 2, 1, 0])
    await client.release()
    await client.resume()
    found = await client.inventory()
    facts = found.gpus[0].facts
    assert (found.gpus[0].uuid, facts and facts.index) == (running.uuids[0], 3)
    scanned = await client.scan((Tier.MEDIUM,), (running.uuids[0],))
    assert scanned.gpus[0].values["power_limit_w"] == 300.0
    assert not heard.of(EventKind.GPU_LOST)


async def test_a_gpu_that_nobody_ever_saw(client: GpuClient) -> None:
    scanned = await client.scan(FAST, ("GPU-none",))
    assert causes(scanned) == [Cause.UNKNOWN_GPU]
    with pytest.raises(GpuUnknown, match="GPU-none"):
        await client.set("GPU-none", PowerLimit(300.0))


# --- the driver as a whole ---------------------------------------------------------------------


async def test_a_reloaded_driver_is_opened_anew_within_the_request(
    running: Service, client: GpuClient
) -> None:
    await client.set(running.uuids[0], PowerLimit(300.0))
    running.fake.reload_driver()
    scanned = await client.scan((Tier.MEDIUM,))
    assert causes(scanned) == [None] * 4
    assert scanned.gpus[0].values["power_limit_w"] == 700.0  # the driver forgets limits
    done = await client.set(running.uuids[0], PowerLimit(300.0))
    assert done.after["power_limit_w"] == 300.0


async def test_an_order_to_a_reloaded_driver_is_carried_out_once(
    running: Service, client: GpuClient
) -> None:
    running.fake.reload_driver()
    done = await client.set(running.uuids[0], PowerLimit(300.0))
    assert done.after["power_limit_w"] == 300.0
    assert running.fake.calls()["nvmlDeviceSetPowerManagementLimit"] == 1


async def test_events_are_heard_after_a_reload(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    running.fake.reload_driver()
    await client.scan(FAST)
    running.fake[1].xid(48)
    (xid,) = await heard.until(EventKind.XID)
    assert xid.xid == 48


async def test_another_version_of_the_driver_wants_a_reboot(
    running: Service, client: GpuClient
) -> None:
    running.fake.refuse_init(18)
    running.fake.reload_driver()
    await client.scan(FAST)
    with pytest.raises(VersionMismatch, match="reboot"):
        await client.set(running.uuids[0], PowerLimit(300.0))
    problem = (await client.status()).problem
    assert problem is not None
    assert problem.cause is Cause.VERSION_MISMATCH
    running.fake.refuse_init(0)
    await healthy(client)


async def test_without_a_driver_it_says_so_and_waits(tmp_path: Path, fake: FakeGpus) -> None:
    fake.refuse_init(9)
    with service(tmp_path, fake) as running:
        async with connected(running.path) as client:
            with pytest.raises(DriverNotLoaded):
                await client.inventory()
            assert (await client.status()).state in ("waiting", "starting")
            fake.refuse_init(0)
            async with asyncio.timeout(5):
                while (await client.status()).state != "serving":
                    await asyncio.sleep(0.05)
            await healthy(client)


async def test_without_the_library_it_says_so(tmp_path: Path, fake: FakeGpus) -> None:
    nowhere = {"LD_LIBRARY_PATH": str(tmp_path)}
    with service(tmp_path, fake, environment=nowhere) as running:
        async with connected(running.path) as client:
            with pytest.raises(DriverNotLoaded, match="libnvidia-ml"):
                await client.inventory()


async def test_an_old_driver_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    with (
        fake_gpus(tmp_path, "a100-40gb*2", driver="470") as fake,
        service(tmp_path, fake) as running,
    ):
        async with connected(running.path) as client:
            found = await client.inventory()
            assert found.driver.driver_version == "470.256.02"
            (first, _) = (await client.scan(ALL)).gpus
            assert first.problem is None
            assert first.values["temp_c"] > 0
            assert first.values["processes"] == []
            assert first.absent["temp_margin_c"] == Cause.OLD_DRIVER


# --- setting -----------------------------------------------------------------------------------


async def test_settings_are_read_back(running: Service, client: GpuClient) -> None:
    uuid = running.uuids[0]
    done = await client.set(uuid, PowerLimit(350.0))
    assert (done.before["power_limit_w"], done.after["power_limit_w"]) == (700.0, 350.0)
    assert (await client.set(uuid, PowerLimit(None))).after["power_limit_w"] == 700.0
    assert (await client.set(uuid, Persistence(True))).after == {"persistence": True}
    done = await client.set(uuid, ComputeMode("exclusive_process"))
    assert done.after == {"compute_mode": "exclusive_process"}
    done = await client.set(uuid, Ecc(False))
    assert done.after == {"ecc_enabled": True, "ecc_pending": False}
    await client.set(uuid, LockedClocks(1000, 1200))
    assert running.fake[0].raw.locked_sm_max_mhz == 1200
    await client.set(uuid, LockedClocks(None, None))
    assert running.fake[0].raw.locked_sm_max_mhz == 0


async def test_a_limit_below_another_ones_is_said_to_have_no_effect(
    running: Service, client: GpuClient
) -> None:
    running.fake[0].cap(400.0)  # as a management controller does
    done = await client.set(running.uuids[0], PowerLimit(600.0))
    assert done.after == {"power_limit_w": 600.0, "power_limit_enforced_w": 400.0}
    assert "another limit holds it at 400 W" in done.words


async def test_a_driver_that_says_yes_and_does_nothing(running: Service, client: GpuClient) -> None:
    with running.fake.lie("nvmlDeviceSetPowerManagementLimit"):
        done = await client.set(running.uuids[0], PowerLimit(300.0))
    assert done.after["power_limit_w"] == 700.0
    assert "shows 700 W" in done.words


async def test_out_of_range_is_refused_before_anything_is_written(
    running: Service, client: GpuClient
) -> None:
    with pytest.raises(OutOfRange, match="200 to 700 W"):
        await client.set(running.uuids[0], PowerLimit(100.0))
    with pytest.raises(OutOfRange, match="1980 MHz"):
        await client.set(running.uuids[0], LockedClocks(1000, 5000))
    calls = running.fake.calls()
    assert "nvmlDeviceSetPowerManagementLimit" not in calls
    assert "nvmlDeviceSetGpuLockedClocks" not in calls


async def test_without_privilege_it_reads_and_does_not_set(
    running: Service, client: GpuClient
) -> None:
    running.fake.let_write("none")
    with pytest.raises(AccessDenied, match="no permission"):
        await client.set(running.uuids[0], PowerLimit(300.0))
    assert causes(await client.scan(FAST)) == [None] * 4


async def test_what_a_gpu_cannot_be_told(tmp_path: Path) -> None:
    with fake_gpus(tmp_path, "rtx-a2000") as fake, service(tmp_path, fake) as running:
        async with connected(running.path) as client:
            await client.inventory()
            with pytest.raises(Unsupported):
                await client.set(running.uuids[0], Ecc(True))


# --- the child ---------------------------------------------------------------------------------


async def test_a_killed_child_is_replaced(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    (child,) = running.children()
    os.kill(child.pid, signal.SIGKILL)
    (ended,) = await heard.until(EventKind.CHILD_ENDED)
    assert "code -9" in ended.message
    await heard.until(EventKind.CHILD_STARTED, 2)
    await healthy(client)


async def test_events_are_heard_after_a_child_was_killed_though_nobody_asks(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    (child,) = running.children()
    os.kill(child.pid, signal.SIGKILL)
    await heard.until(EventKind.CHILD_STARTED, 2)
    running.fake[3].xid(94)
    (xid,) = await heard.until(EventKind.XID)
    assert xid.xid == 94


async def test_a_gpu_on_which_the_child_crashes_is_left_alone_for_a_while(
    tmp_path: Path, fake: FakeGpus
) -> None:
    with service(tmp_path, fake, bounds={"shun_first_s": 1.5}) as running:
        async with connected(running.path) as client:
            await client.inventory()
            with running.fake.slow(0.25, "nvmlDeviceGetClockInfo", 1) as fault:
                scan = asyncio.create_task(client.scan(FAST))
                assert await asyncio.to_thread(fault.wait, 5.0)
                os.kill(running.children()[0].pid, signal.SIGSEGV)
                assert causes(await scan)[1] is Cause.RESTARTING
            async with asyncio.timeout(5):
                while causes(await client.scan(FAST)) != [None, Cause.RESTARTING, None, None]:
                    await asyncio.sleep(0.02)
            await healthy(client)

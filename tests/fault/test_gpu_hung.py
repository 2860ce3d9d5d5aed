"""A call into the driver that does not come back costs its own GPU, and nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from drivers.errors import DeviceTimeout
from drivers.gpu.answers import EventKind
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import Cause, DriverHung
from drivers.gpu.wants import PowerLimit
from drivers.sim.nvml.control import FakeGpus
from drivers.sim.nvml.faults import Kind
from tests.gpu import FAST, QUICK, Heard, Service, connected, service

CLOCKS = "nvmlDeviceGetClockInfo"
HANGS = (Kind.HANG, Kind.HANG_IN_D)


def causes(scanned: object) -> list[Cause | None]:
    return [gpu.problem and gpu.problem.cause for gpu in scanned.gpus]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", HANGS, ids=lambda kind: kind.name)
async def test_the_others_are_read_in_the_same_scan(
    kind: Kind, running: Service, client: GpuClient
) -> None:
    with running.fake.hang(CLOCKS, 1, kind=kind):
        scanned = await client.scan(FAST)
        assert causes(scanned) == [None, Cause.HUNG, None, None]
        assert all(gpu.values["sm_clock_mhz"] for gpu in scanned.gpus if gpu.problem is None)


@pytest.mark.parametrize("kind", HANGS, ids=lambda kind: kind.name)
async def test_after_that_it_costs_nothing(kind: Kind, running: Service, client: GpuClient) -> None:
    with running.fake.hang(CLOCKS, 1, kind=kind):
        await client.scan(FAST)
        began = time.monotonic()
        for _ in range(20):
            assert causes(await client.scan(FAST)) == [None, Cause.HUNG, None, None]
        assert time.monotonic() - began < QUICK["slow_s"]
        done = await client.set(running.uuids[2], PowerLimit(400.0))
        assert done.after["power_limit_w"] == 400.0
        with pytest.raises(DriverHung, match=CLOCKS):
            await client.set(running.uuids[1], PowerLimit(400.0))


async def test_an_order_that_hangs_may_be_carried_out_and_later_ones_are_not(
    running: Service, client: GpuClient
) -> None:
    with running.fake.hang("nvmlDeviceSetPowerManagementLimit", 1):
        with pytest.raises(DriverHung) as first:
            await client.set(running.uuids[1], PowerLimit(400.0))
        with pytest.raises(DriverHung) as second:
            await client.set(running.uuids[1], PowerLimit(400.0))
    assert first.value.sent
    assert not second.value.sent


async def test_an_order_whose_time_is_over_says_whether_it_was_begun(
    running: Service, client: GpuClient
) -> None:
    with running.fake.hang("nvmlDeviceSetPowerManagementLimit", 1):
        begun, waiting = await asyncio.gather(
            client.set(running.uuids[1], PowerLimit(400.0), within_s=0.2),
            client.set(running.uuids[1], PowerLimit(500.0), within_s=0.2),
            return_exceptions=True,
        )
    assert isinstance(begun, DeviceTimeout)
    assert isinstance(waiting, DeviceTimeout)
    assert (begun.sent, waiting.sent) == (True, False)


async def test_others_wait_no_longer_than_for_a_slow_call(
    running: Service, client: GpuClient
) -> None:
    with running.fake.hang(CLOCKS, 1) as fault:
        hanging = asyncio.create_task(client.scan(FAST, (running.uuids[1],)))
        assert await asyncio.to_thread(fault.wait, 5.0)
        began = time.monotonic()
        await client.set(running.uuids[0], PowerLimit(500.0))
        waited_s = time.monotonic() - began
        assert waited_s < QUICK["hung_s"]
        assert causes(await hanging) == [Cause.HUNG]


async def test_it_is_told_which_call_on_which_gpu_and_in_which_state(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    with running.fake.hang(CLOCKS, 1, kind=Kind.HANG_IN_D):
        await client.scan(FAST)
        (slow,) = await heard.until(EventKind.SLOW)
        (hung,) = await heard.until(EventKind.HUNG)
        assert slow.uuid == hung.uuid == running.uuids[1]
        assert hung.operation == CLOCKS
        assert "state D" in hung.message
        statement = await client.status()
        (stuck,) = statement.stuck
        assert (stuck.uuid, stuck.operation, stuck.kernel_state) == (
            running.uuids[1], CLOCKS, "D"
        )  # fmt: skip
        assert statement.hung == (running.uuids[1],)
        assert statement.state == "serving"


async def test_a_child_in_state_d_is_not_killed(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    with running.fake.hang(CLOCKS, 1, kind=Kind.HANG_IN_D):
        await client.scan(FAST)
        (stuck,) = (await client.status()).stuck
        await asyncio.sleep(QUICK["leave_s"] + 1.5)
        assert psutil.pid_exists(stuck.pid)
        assert not heard.of(EventKind.CHILD_ENDED)
    await heard.until(EventKind.FREED)
    assert not psutil.pid_exists(stuck.pid)


async def test_a_child_that_can_die_is_asked_first_and_killed_last(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    with running.fake.hang(CLOCKS, 1):
        await client.scan(FAST)
        hung_at = time.monotonic()
        (killed,) = await heard.until(EventKind.CHILD_ENDED)
        assert time.monotonic() - hung_at > QUICK["leave_s"] - 0.3
        assert "it is killed" in killed.message
        await heard.until(EventKind.FREED)
        assert (await client.status()).stuck == ()
        began = time.monotonic()  # it would hang again: the GPU is left alone for a while
        assert causes(await client.scan(FAST, (running.uuids[1],))) == [Cause.HUNG]
        assert time.monotonic() - began < QUICK["shun_first_s"] / 2


async def test_a_call_that_comes_back_in_time_counts(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    fault = running.fake.hang(CLOCKS, 1)
    scan = asyncio.create_task(client.scan(FAST, (running.uuids[1],)))
    await heard.until(EventKind.SLOW)
    assert causes(await client.scan(FAST, (running.uuids[0],))) == [None]
    fault.lift()
    assert causes(await scan) == [None]
    await heard.until(EventKind.FREED)
    assert causes(await client.scan(FAST)) == [None] * 4
    assert not heard.of(EventKind.HUNG)
    assert not heard.of(EventKind.CHILD_ENDED)


async def test_the_gpu_is_read_again_once_the_call_is_over(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    with running.fake.hang(CLOCKS, 1, kind=Kind.HANG_IN_D):
        await client.scan(FAST)
    await heard.until(EventKind.FREED)
    async with asyncio.timeout(5):
        while causes(await client.scan(FAST)) != [None] * 4:
            await asyncio.sleep(0.05)


async def test_a_hanging_driver_is_not_sent_ever_more_children(
    running: Service, client: GpuClient, heard: Heard
) -> None:
    with running.fake.hang(CLOCKS, kind=Kind.HANG_IN_D):  # on every GPU
        await client.scan(FAST, within_s=4)
        await heard.until(EventKind.HUNG, 2)
        began = time.monotonic()
        scanned = await client.scan(FAST)
        assert set(causes(scanned)) == {Cause.HUNG}
        assert time.monotonic() - began < QUICK["slow_s"]
        statement = await client.status()
        assert statement.state == "stuck"
        assert len(running.children()) == len(statement.stuck) == 2
        assert statement.children_started == 2
    await heard.until(EventKind.FREED, 2)
    async with asyncio.timeout(8):
        while causes(await client.scan(FAST)) != [None] * 4:
            await asyncio.sleep(0.05)


async def test_a_driver_that_hangs_while_it_is_opened(tmp_path: Path, fake: FakeGpus) -> None:
    bounds = {"opening_slow_s": 0.3, "opening_hung_s": 1.0}
    heard = Heard()
    with (
        fake.hang("nvmlInitWithFlags", kind=Kind.HANG_IN_D),
        service(tmp_path, fake, bounds=bounds) as running,
    ):
        async with connected(running.path, heard) as client:
            (hung, *_) = await heard.until(EventKind.HUNG)
            assert (hung.uuid, hung.operation) == (None, "nvmlInit")
            with pytest.raises((DriverHung, DeviceTimeout)):
                await client.inventory(within_s=2)
            assert (await client.status()).state in ("stuck", "starting", "waiting")
            began = time.monotonic()
            assert running.stop() == 0
            assert time.monotonic() - began < 4


@pytest.mark.parametrize("kind", HANGS, ids=lambda kind: kind.name)
async def test_stopping_is_not_held_up(kind: Kind, running: Service, client: GpuClient) -> None:
    with running.fake.hang(CLOCKS, 1, kind=kind):
        await client.scan(FAST)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 3.5


async def test_a_child_whose_supervisor_is_killed_ends_by_itself(
    running: Service, client: GpuClient
) -> None:
    (child,) = running.children()
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait(5)
    assert await asyncio.to_thread(_gone, child, 5.0)


def _gone(process: psutil.Process, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True

"""Orders to GPUs through the real `stoker-gpu`: held against each GPU, read back, and proved."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.clock import SystemClock
from drivers.actions import Answer, Receipt, is_denied, is_met
from drivers.capabilities import can, capabilities
from drivers.errors import AccessDenied, OutOfRange, Refused, Unreachable, Unsupported
from drivers.gpu.errors import DriverHung, GpuLost, InUse, NotAllowed, Released
from drivers.gpu.gpu import Gpu, GpuHost
from drivers.model_gpu import GpuReading
from drivers.sim.nvml.control import FakeGpus
from tests.gpu import Service, connected, fake_gpus, opened, service
from tests.harness import wait_until

ALLOWED = ("--allow=mig", "--allow=reset", "--allow=fan")
H100, A100, T4, RTX3090, RTX_A2000, K80 = range(6)
MODELS = "h100-sxm,a100-40gb,t4,rtx-3090,rtx-a2000,k80"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGpus]:
    with fake_gpus(tmp_path, MODELS) as gpus:
        yield gpus


@pytest.fixture
def resets(tmp_path: Path, fake: FakeGpus) -> Path:
    """Stands for `nvidia-smi`: leaves word that it was called, and waits until it was done."""
    program, asked = tmp_path / "nvidia-smi", tmp_path / "asked"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {asked}.new && mv {asked}.new {asked}\n'
        f"while [ -e {asked} ]; do sleep 0.02; done\n"
        'echo "GPU was successfully reset."\n'
    )
    program.chmod(0o755)
    return asked


@pytest.fixture
def running(tmp_path: Path, fake: FakeGpus, resets: Path) -> Iterator[Service]:
    with service(tmp_path, fake, *ALLOWED, f"--nvidia-smi={tmp_path / 'nvidia-smi'}") as started:
        yield started


@pytest.fixture
async def gpus(running: Service) -> AsyncIterator[list[Gpu]]:
    """The drivers, in the order of their slots, identified and read."""
    async with connected(running.path) as client:
        await opened(client)
        host = GpuHost(client, SystemClock())
        found = {gpu.uuid: gpu for gpu in await host.gpus()}
        ordered = [found[uuid] for uuid in running.uuids]
        for gpu in ordered:
            await gpu.identify()
            await read(gpu)
        yield ordered


async def read(gpu: Gpu) -> GpuReading:
    """What it shows, all of it anew."""
    gpu.refresh()
    reading = (await gpu.read()).reading
    assert isinstance(reading, GpuReading)
    return reading


async def proved(gpu: Gpu, receipt: Receipt) -> GpuReading:
    """The reading after an order that was taken, and that shows its effect."""
    assert receipt.answer is Answer.ACCEPTED
    assert receipt.expectation is not None
    after = await read(gpu)
    assert is_met(receipt.expectation, after, after)
    return after


# --- each control ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "action", "arguments", "shows"),
    [
        (H100, "limit_power", (400.0,), {"power_limit_w": 400.0}),
        (H100, "lock_clocks", (900, 1200), {"sm_clock_mhz": 1200}),
        (H100, "lock_memory_clocks", (1593, 1593), {"memory_clock_mhz": 1593}),
        (A100, "set_compute_mode", ("exclusive_process",), {"compute_mode": "exclusive_process"}),
        (A100, "set_compute_mode", ("prohibited",), {"compute_mode": "prohibited"}),
        (RTX3090, "override_fans", (80.0,), {"fan_duty_percent": 80.0}),
    ],
)
async def test_what_is_set_is_seen(slot, action, arguments, shows, fake, gpus) -> None:
    fake[slot].load(100)
    after = await proved(gpus[slot], await getattr(gpus[slot], action)(*arguments))
    assert {name: getattr(after, name) for name in shows} == shows


@pytest.mark.parametrize("on", [False, True])
async def test_persistence(on, gpus) -> None:
    for wanted in (not on, on):
        after = await proved(gpus[H100], await gpus[H100].set_persistence(on=wanted))
    assert after.persistence is on


async def test_ecc_waits_for_a_reset_and_is_seen_to_wait(fake, gpus) -> None:
    receipt = await gpus[H100].set_ecc(on=False)
    after = await proved(gpus[H100], receipt)
    assert (after.ecc_enabled, after.ecc_pending) == (True, False)
    assert "after the next reset" in receipt.words
    fake.reset(H100)
    assert (await read(gpus[H100])).ecc_enabled is False


async def test_a_clock_that_is_let_go_shows_nothing(fake, gpus) -> None:
    fake[H100].load(100)
    await gpus[H100].lock_clocks(900, 1200)
    receipt = await gpus[H100].free_clocks()
    assert (receipt.answer, receipt.expectation) == (Answer.ACCEPTED, None)
    assert (await read(gpus[H100])).sm_clock_mhz == 1980
    await gpus[H100].lock_memory_clocks(1593, 1593)
    assert (await gpus[H100].free_memory_clocks()).expectation is None
    assert (await read(gpus[H100])).memory_clock_mhz == 2619


async def test_fans_are_handed_back(gpus) -> None:
    await gpus[RTX3090].override_fans(80.0)
    receipt = await gpus[RTX3090].override_fans(None)
    assert (receipt.answer, receipt.expectation) == (Answer.ACCEPTED, None)
    assert (await read(gpus[RTX3090])).fan_duty_percent != 80.0


# --- what it cannot be told -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "action", "arguments", "words"),
    [
        (H100, "limit_power", (199.0,), "200 to 700 W"),
        (H100, "limit_power", (701.0,), "200 to 700 W"),
        (H100, "lock_clocks", (900, 1981), "up to 1980 MHz"),
        (H100, "lock_memory_clocks", (900, 9999), "up to 2619 MHz"),
        (H100, "set_compute_mode", ("exclusive_thread",), "default, exclusive_process, prohibited"),
        (RTX3090, "override_fans", (10.0,), "30 to 100 %"),
    ],
)
async def test_what_is_out_of_its_bounds_is_not_sent(
    slot, action, arguments, words, fake, gpus
) -> None:
    with pytest.raises(OutOfRange, match=words):
        await getattr(gpus[slot], action)(*arguments)
    assert not [name for name in fake.calls() if "Set" in name and "Event" not in name]


async def test_each_gpu_says_what_it_can(gpus) -> None:
    able = [set(capabilities(gpu)) for gpu in gpus]
    everything = {*able[H100], "override_fans"}
    assert {"limit_power", "set_mig_layout", "reset_gpu", "lock_clocks"} < able[H100]
    assert everything - able[H100] == {"override_fans"}
    assert everything - able[T4] >= {"set_mig_mode", "set_mig_layout", "override_fans"}
    assert "override_fans" in able[RTX3090]
    assert not {"set_ecc", "set_mig_mode"} & able[RTX3090]
    assert "limit_power" not in able[RTX_A2000]
    assert not can(gpus[K80], "set_mig_layout")


async def test_what_it_does_not_support_is_a_refusal(gpus) -> None:
    with pytest.raises(Unsupported, match="not supported"):
        await gpus[K80].lock_clocks(500, 500)


async def test_without_privilege_nothing_is_set(fake, gpus) -> None:
    fake.let_write("none")
    with pytest.raises(AccessDenied):
        await gpus[H100].limit_power(400.0)
    assert (await read(gpus[H100])).power_limit_w == 700.0


async def test_what_is_not_allowed_on_this_host_is_not_done(tmp_path: Path, fake) -> None:
    with service(tmp_path, fake) as running:
        async with connected(running.path) as client:
            gpu = (await GpuHost(client, SystemClock()).gpus())[0]
            await gpu.identify()
            for deed in (gpu.set_mig_mode(on=True), gpu.reset_gpu(), gpu.override_fans(80.0)):
                with pytest.raises(NotAllowed, match="was started without --allow"):
                    await deed


# --- what the read-back says ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "order", "words"),
    [
        (
            "nvmlDeviceSetPowerManagementLimit",
            lambda gpu: gpu.limit_power(400.0),
            "took 400 W and shows 700 W; read back: power_limit_w = 700.0",
        ),
        (
            "nvmlDeviceSetComputeMode",
            lambda gpu: gpu.set_compute_mode("prohibited"),
            "read back: compute_mode = default",
        ),
        (
            "nvmlDeviceSetEccMode",
            lambda gpu: gpu.set_ecc(on=False),
            "read back: ecc_pending = True",
        ),
        (
            "nvmlDeviceSetGpuLockedClocks",
            lambda gpu: gpu.lock_clocks(900, 1200),
            "read back: sm_clock_mhz = 1980",
        ),
    ],
)
async def test_a_driver_that_says_yes_and_does_nothing_is_found_out(
    function, order, words, fake, gpus
) -> None:
    fake[H100].load(100)
    fake.lie(function)
    receipt = await order(gpus[H100])
    assert receipt.answer is Answer.ACCEPTED
    assert words in receipt.words
    after = await read(gpus[H100])
    assert is_denied(receipt.expectation, after, after)


async def test_a_limit_that_is_rounded_by_more_than_a_watt_is_another_one(fake, gpus) -> None:
    fake[H100].round_limits(50)
    receipt = await gpus[H100].limit_power(420.0)
    assert "took 420 W and shows 400 W" in receipt.words
    after = await read(gpus[H100])
    assert is_denied(receipt.expectation, after, after)


async def test_a_limit_that_another_one_undercuts_is_said(fake, gpus) -> None:
    fake[H100].cap(300)
    receipt = await gpus[H100].limit_power(400.0)
    assert "another limit holds it at 300 W" in receipt.words
    after = await proved(gpus[H100], receipt)
    assert after.power_limit_enforced_w == 300.0


async def test_an_idle_gpu_proves_no_lock_that_its_clock_is_below(fake, gpus) -> None:
    fake.lie("nvmlDeviceSetGpuLockedClocks")
    receipt = await gpus[H100].lock_clocks(900, 1200)
    after = await read(gpus[H100])
    assert after.sm_clock_mhz is not None
    assert after.sm_clock_mhz < 900
    assert not is_met(receipt.expectation, after, after)


# --- instances ------------------------------------------------------------------------------------


async def test_a_gpu_is_cut_and_made_whole(gpus) -> None:
    gpu = gpus[H100]
    assert (await proved(gpu, await gpu.set_mig_mode(on=True))).mig_enabled is True
    for layout in (["3g.40gb", "1g.10gb", "1g.10gb"], ["1g.10gb", "2g.20gb"], []):
        after = await proved(gpu, await gpu.set_mig_layout(layout))
        assert after.mig_layout == tuple(sorted(layout))
    await gpu.set_mig_layout(["7g.80gb"])
    after = await proved(gpu, await gpu.set_mig_mode(on=False))
    assert (after.mig_enabled, after.mig_layout) == (False, ())


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (["1g.5gb"], "1g.10gb, 2g.20gb, 3g.40gb"),
        (["2g.20gb"] * 4, "4 of 2g.20gb is not possible: this machine takes up to 3"),
        (["4g.40gb", "3g.40gb", "1g.10gb"], "a layout of 8 slices"),
    ],
)
async def test_a_layout_that_it_has_no_room_for_is_not_begun(layout, words, fake, gpus) -> None:
    await gpus[H100].set_mig_mode(on=True)
    await gpus[H100].set_mig_layout(["1g.10gb"])
    before = fake.calls()
    with pytest.raises(OutOfRange, match=words):
        await gpus[H100].set_mig_layout(layout)
    made = {name: count for name, count in fake.calls().items() if "Instance" in name}
    assert {name for name, count in made.items() if count > before.get(name, 0)} <= {
        name for name in made if "Get" in name
    }
    assert (await read(gpus[H100])).mig_layout == ("1g.10gb",)


async def test_a_whole_gpu_has_no_layout(gpus) -> None:
    with pytest.raises(Refused, match="not in MIG mode"):
        await gpus[H100].set_mig_layout(["1g.10gb"])


async def test_a_layout_that_breaks_off_is_put_back(fake, gpus) -> None:
    gpu = gpus[H100]
    await gpu.set_mig_mode(on=True)
    await gpu.set_mig_layout(["3g.40gb"])
    fake.fail(4, "nvmlDeviceCreateGpuInstance", skip=1, times=1)
    receipt = await gpu.set_mig_layout(["1g.10gb", "2g.20gb"])
    assert receipt.answer is Answer.REFUSED
    assert receipt.words.endswith("it is as it was before")
    assert (await read(gpu)).mig_layout == ("3g.40gb",)


async def test_nobody_s_job_is_cut_short(fake, gpus) -> None:
    gpu = gpus[H100]
    fake[H100].start(4711)
    with pytest.raises(InUse, match=r"4711 \(compute\)"):
        await gpu.set_mig_mode(on=True)
    fake[H100].stop(4711)
    await gpu.set_mig_mode(on=True)
    await gpu.set_mig_layout(["3g.40gb", "1g.10gb"])
    (large,) = [each for each in (await read(gpu)).mig_instances if each.profile == "3g.40gb"]
    fake[H100].start(4712, gpu_instance=large.gpu_instance, compute_instance=0)
    for deed in (gpu.set_mig_layout(["1g.10gb"]), gpu.set_mig_mode(on=False)):
        with pytest.raises(InUse, match="4712"):
            await deed
    await proved(gpu, await gpu.set_mig_layout(["3g.40gb", "2g.20gb"]))  # that one stays


async def test_a_mode_that_loses_the_race_for_the_gpu_is_taken_back(fake, gpus) -> None:
    gpu = gpus[H100]
    with fake.slow(0.2, "nvmlDeviceSetMigMode", H100) as struck:
        order = asyncio.create_task(gpu.set_mig_mode(on=True))
        assert await asyncio.to_thread(struck.wait, 10)
        fake[H100].start(4711)  # after the look that came before the order
        receipt = await order
    assert receipt.answer is Answer.REFUSED
    assert "in use" in receipt.words
    after = await read(gpu)
    assert (after.mig_enabled, after.mig_pending) == (False, False)


# --- reset ----------------------------------------------------------------------------------------


async def reset(gpu: Gpu, fake: FakeGpus, resets: Path, slot: int) -> Receipt:
    """Have it reset, as `nvidia-smi` would."""
    task = asyncio.create_task(gpu.reset_gpu())
    assert await asyncio.to_thread(_asked, resets) == ["--gpu-reset", "-i", gpu.uuid]
    fake.reset(slot)
    os.remove(resets)
    return await task


def _asked(resets: Path) -> list[str]:
    wait_until(resets.exists, 10)
    return resets.read_text().split()


async def test_a_reset_is_proved_by_what_waited_for_it(fake, gpus, resets) -> None:
    gpu = gpus[H100]
    await gpu.set_ecc(on=False)
    fake[H100].remap(uncorrected=1, pending=True)
    receipt = await reset(gpu, fake, resets, H100)
    assert "successfully reset" in receipt.words
    after = await proved(gpu, receipt)
    assert (after.ecc_enabled, after.row_remap_pending) == (False, False)


async def test_a_reset_that_mends_only_a_part_is_not_proved(fake, gpus, resets) -> None:
    gpu = gpus[H100]
    await gpu.set_ecc(on=False)
    fake[H100].recommend(1)
    receipt = await reset(gpu, fake, resets, H100)
    fake[H100].recommend(1)
    after = await read(gpu)
    assert after.ecc_enabled is False
    assert not is_met(receipt.expectation, after, after)


async def test_where_nothing_waited_what_is_gone_proves_it(fake, gpus, resets) -> None:
    gpu = gpus[H100]
    await gpu.limit_power(400.0)
    after = await proved(gpu, await reset(gpu, fake, resets, H100))
    assert after.power_limit_w == 700.0


async def test_a_reset_that_leaves_no_trace_claims_none(fake, gpus, resets) -> None:
    assert (await reset(gpus[H100], fake, resets, H100)).expectation is None


async def test_a_gpu_in_use_is_not_reset(fake, gpus, resets) -> None:
    for pid in range(100, 112):
        fake[H100].start(pid)
    with pytest.raises(InUse, match=r"100 \(compute\).* and 4 more"):
        await gpus[H100].reset_gpu()
    assert not resets.exists()


# --- a driver that does not answer ----------------------------------------------------------------


async def test_a_call_that_hangs_may_have_been_obeyed(fake, gpus) -> None:
    with fake.hang("nvmlDeviceSetPowerManagementLimit", H100):
        receipt = await gpus[H100].limit_power(400.0)
        assert receipt.answer is Answer.UNANSWERED
        assert receipt.expectation is not None
        # from now on it is known to hang: an order fails at once, and others go on
        with pytest.raises(DriverHung):
            await asyncio.wait_for(gpus[H100].limit_power(300.0), 1.0)
        await proved(gpus[A100], await gpus[A100].limit_power(200.0))


async def test_a_gpu_that_fell_off_is_told_nothing(fake, gpus) -> None:
    fake[H100].fall_off()
    with pytest.raises(GpuLost):
        await gpus[H100].limit_power(400.0)


async def test_gpus_that_are_let_go_are_told_nothing(gpus) -> None:
    assert "let go" in await gpus[A100].let_go(60, "driver upgrade")
    with pytest.raises(Released, match="driver upgrade"):
        await gpus[H100].limit_power(400.0)
    assert await gpus[A100].take_up()
    await proved(gpus[H100], await gpus[H100].limit_power(400.0))


async def test_without_the_service_an_order_fails_at_once(running, gpus) -> None:
    running.stop()
    with pytest.raises(Unreachable):
        await asyncio.wait_for(gpus[H100].limit_power(400.0), 2.0)


async def test_words_say_what_was_done(gpus: list[Any]) -> None:
    assert (await gpus[H100].limit_power(400.0)).words == "limit 400 W"

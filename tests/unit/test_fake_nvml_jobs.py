"""Processes, memory and MIG of fake GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.sim.nvml.control import FakeGpus
from tests.fake_nvml import handles, site

GIB = 1 << 30
Pair = tuple[FakeGpus, Any]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with site(tmp_path, "a100-40gb,h100-sxm,l40s") as made:
        yield made


def test_processes_with_their_memory_and_kind(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].start(101, 60, 10 * GIB)
    fake[0].start(102, 30, 5 * GIB, kind="mps")
    fake[0].start(103, 0, GIB, kind="graphics")
    listed = [
        [(each.pid, each.usedGpuMemory) for each in ask(handle)]
        for ask in (
            n.nvmlDeviceGetComputeRunningProcesses_v3,
            n.nvmlDeviceGetMPSComputeRunningProcesses_v3,
            n.nvmlDeviceGetGraphicsRunningProcesses_v3,
        )
    ]
    assert listed == [[(101, 10 * GIB)], [(102, 5 * GIB)], [(103, GIB)]]
    details = n.nvmlDeviceGetRunningProcessDetailList(
        handle, n.nvmlProcessDetailList_v1, n.NVML_PROCESS_MODE_ALL
    )
    assert [each.pid for each in details] == [101, 102, 103]
    assert n.nvmlDeviceGetUtilizationRates(handle).gpu == 90
    fake[0].stop(101)
    assert n.nvmlDeviceGetComputeRunningProcesses_v3(handle) == []
    assert n.nvmlDeviceGetUtilizationRates(handle).gpu == 30


def test_memory_that_the_driver_does_not_tell(pair: Pair) -> None:
    fake, n = pair
    fake[0].start(101, 60, None)
    (process,) = n.nvmlDeviceGetComputeRunningProcesses_v3(handles(n)[0])
    assert process.usedGpuMemory is None
    assert n.nvmlDeviceGetMemoryInfo(handles(n)[0], version=n.nvmlMemory_v2).used == 0


def test_there_is_room_for_so_many_processes(pair: Pair) -> None:
    fake, n = pair
    for pid in range(1, 33):
        fake[0].start(pid, 100)
    with pytest.raises(ValueError, match="no room"):
        fake[0].start(33)
    assert len(n.nvmlDeviceGetComputeRunningProcesses_v3(handles(n)[0])) == 32
    assert n.nvmlDeviceGetUtilizationRates(handles(n)[0]).gpu == 100


def test_what_is_reserved_counts_as_used_in_the_old_form(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].start(101, memory=10 * GIB)
    fake[0].hold_memory(GIB)
    old = n.nvmlDeviceGetMemoryInfo(handle)
    new = n.nvmlDeviceGetMemoryInfo(handle, version=n.nvmlMemory_v2)
    assert new.used == 11 * GIB
    assert new.reserved == 624 << 20
    assert old.used == new.used + new.reserved
    assert old.total == new.total == old.used + old.free == new.used + new.free + new.reserved


def test_process_utilisation_since_the_last_look(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    with pytest.raises(n.NVMLError_NotFound):
        n.nvmlDeviceGetProcessUtilization(handle, 0)
    fake[0].start(101, 60)
    fake[0].start(102, 0)
    (sample,) = n.nvmlDeviceGetProcessUtilization(handle, 0)
    assert (sample.pid, sample.smUtil, sample.memUtil) == (101, 60, 27)
    with pytest.raises(n.NVMLError_NotFound):
        n.nvmlDeviceGetProcessUtilization(handle, sample.timeStamp)
    fake.advance(0.2)
    assert len(n.nvmlDeviceGetProcessUtilization(handle, sample.timeStamp)) == 1
    (info,) = n.nvmlDeviceGetProcessesUtilizationInfo(handle, 0)
    assert (info.pid, info.smUtil) == (101, 60)


def test_accounting_remembers_what_ended(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].start(100, 10)
    fake[0].stop(100)
    assert n.nvmlDeviceGetAccountingPids(handle) == []
    n.nvmlDeviceSetAccountingMode(handle, 1)
    fake[0].start(101, 60, 2 * GIB)
    fake.advance(30)
    fake[0].stop(101)
    assert n.nvmlDeviceGetAccountingPids(handle) == [101]
    stats = n.nvmlDeviceGetAccountingStats(handle, 101)
    assert (stats.gpuUtilization, stats.maxMemoryUsage, stats.isRunning) == (60, 2 * GIB, 0)
    assert stats.time == pytest.approx(30_000, abs=2)


def mig_devices(n: Any, handle: Any) -> list[Any]:
    found = []
    for index in range(n.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            found.append(n.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
        except n.NVMLError_NotFound:
            break
    return found


def test_a_layout_is_made_and_unmade_through_nvml(pair: Pair) -> None:
    _, n = pair
    handle = handles(n)[0]
    assert n.nvmlDeviceSetMigMode(handle, 1) == 0
    half = n.nvmlDeviceGetGpuInstanceProfileInfo(handle, n.NVML_GPU_INSTANCE_PROFILE_3_SLICE)
    assert (half.name, half.memorySizeMB) == ("MIG 3g.20gb", 19968)
    assert n.nvmlDeviceGetGpuInstanceRemainingCapacity(handle, half.id) == 2
    instances = [n.nvmlDeviceCreateGpuInstance(handle, half.id) for _ in range(2)]
    with pytest.raises(n.NVMLError_InsufficientResources):
        n.nvmlDeviceCreateGpuInstance(handle, half.id)
    placed = [n.nvmlGpuInstanceGetInfo(each).placement for each in instances]
    assert [(each.start, each.size) for each in placed] == [(4, 4), (0, 4)]
    computes = [n.nvmlGpuInstanceCreateComputeInstance(each, 2) for each in instances]
    with pytest.raises(n.NVMLError_InsufficientResources):
        n.nvmlGpuInstanceCreateComputeInstance(instances[0], 0)
    assert len(mig_devices(n, handle)) == 2
    with pytest.raises(n.NVMLError_InUse):
        n.nvmlGpuInstanceDestroy(instances[0])
    for compute, instance in zip(computes, instances, strict=True):
        n.nvmlComputeInstanceDestroy(compute)
        n.nvmlGpuInstanceDestroy(instance)
    assert mig_devices(n, handle) == []
    with pytest.raises(n.NVMLError_InvalidArgument):
        n.nvmlGpuInstanceGetInfo(instances[0])


def test_instances_at_a_place_of_ones_own(pair: Pair) -> None:
    _, n = pair
    handle = handles(n)[0]
    n.nvmlDeviceSetMigMode(handle, 1)
    count = n.c_uint(8)
    places = (n.c_nvmlGpuInstancePlacement_t * 8)()
    n.nvmlDeviceGetGpuInstancePossiblePlacements(handle, 14, places, n.byref(count))
    assert [(each.start, each.size) for each in places[: count.value]] == [(0, 2), (2, 2), (4, 2)]
    n.nvmlDeviceCreateGpuInstanceWithPlacement(handle, 14, n.byref(places[1]))
    with pytest.raises(n.NVMLError_InsufficientResources):
        n.nvmlDeviceCreateGpuInstanceWithPlacement(handle, 14, n.byref(places[1]))


def test_instances_are_listed_by_profile(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    assert fake.partition(0, ["3g.20gb", "2g.10gb", "1g.5gb"]) == [1, 2, 3]
    count = n.c_uint()
    found = (n.c_nvmlGpuInstance_t * 7)()
    n.nvmlDeviceGetGpuInstances(handle, 14, found, n.byref(count))
    assert [n.nvmlGpuInstanceGetInfo(each).id for each in found[: count.value]] == [2]
    instance = n.nvmlDeviceGetGpuInstanceById(handle, 1)
    computes = (n.c_nvmlComputeInstance_t * 7)()
    n.nvmlGpuInstanceGetComputeInstances(instance, 2, computes, n.byref(count))
    info = n.nvmlComputeInstanceGetInfo(computes[0])
    assert (count.value, info.id, info.placement.size) == (1, 0, 3)


def test_mig_devices_have_names_memory_and_processes_of_their_own(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake.partition(0, ["3g.20gb", "3g.20gb"])
    fake[0].start(7, 50, 3 * GIB, gpu_instance=2, compute_instance=0)
    first, second = mig_devices(n, handle)
    assert n.nvmlDeviceGetName(second) == "NVIDIA A100-SXM4-40GB MIG 3g.20gb"
    uuid = n.nvmlDeviceGetUUID(second)
    assert uuid.startswith("MIG-")
    assert uuid != n.nvmlDeviceGetUUID(first)
    again = n.nvmlDeviceGetHandleByUUID(uuid.encode())
    assert n.nvmlDeviceGetGpuInstanceId(again) == 2
    assert n.nvmlDeviceGetMemoryInfo(second).used == 3 * GIB
    assert n.nvmlDeviceGetMemoryInfo(first).used == 0
    assert [each.pid for each in n.nvmlDeviceGetComputeRunningProcesses_v3(second)] == [7]
    assert n.nvmlDeviceGetComputeRunningProcesses_v3(first) == []
    assert n.nvmlDeviceGetAttributes(second).multiprocessorCount == 42
    assert n.nvmlDeviceIsMigDeviceHandle(second).value == 1
    parent = n.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(second)
    assert n.nvmlDeviceGetUUID(parent) == fake[0].uuid


def test_under_mig_the_gpu_as_a_whole_says_less(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake.partition(0, ["1g.5gb"])
    (mig,) = mig_devices(n, handle)
    for ask in (
        n.nvmlDeviceGetUtilizationRates,
        n.nvmlDeviceGetEncoderUtilization,
        lambda each: n.nvmlDeviceGetProcessUtilization(each, 0),
        n.nvmlDeviceGetRemappedRows,
    ):
        with pytest.raises(n.NVMLError_NotSupported):
            ask(handle)
    assert n.nvmlDeviceGetPowerUsage(handle) > 0
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlDeviceGetPowerUsage(mig)


def test_gpm_of_one_instance(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[1]
    fake.partition(1, ["3g.40gb", "3g.40gb"])
    fake[1].start(7, 50, gpu_instance=2, compute_instance=0, dram_pct=20)
    samples = [n.nvmlGpmSampleAlloc() for _ in range(4)]
    for place, (instance, sample) in enumerate(zip((1, 2, 1, 2), samples, strict=True)):
        if place == 2:
            fake.advance(2)
        n.nvmlGpmMigSampleGet(handle, instance, sample)
    values = []
    for one, two in zip(samples[:2], samples[2:], strict=True):
        request = n.c_nvmlGpmMetricsGet_t(version=1, numMetrics=1, sample1=one, sample2=two)
        request.metrics[0].metricId = n.NVML_GPM_METRIC_DRAM_BW_UTIL
        values.append(round(n.nvmlGpmMetricsGet(request).metrics[0].value, 3))
    assert values == [0, 20]
    for sample in samples:
        n.nvmlGpmSampleFree(sample)


def test_mig_mode_waits_while_the_gpu_is_used(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].start(7)
    assert n.nvmlDeviceSetMigMode(handle, 1) == n.NVML_ERROR_IN_USE
    assert n.nvmlDeviceGetMigMode(handle) == [0, 1]
    fake.reset(0)
    assert n.nvmlDeviceGetMigMode(handle) == [1, 1]
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlDeviceGetMigMode(handles(n)[2])


def test_profiles_that_do_not_fit(pair: Pair) -> None:
    fake, _ = pair
    with pytest.raises(ValueError, match="do not fit"):
        fake.partition(0, ["3g.20gb", "3g.20gb", "1g.5gb"])
    with pytest.raises(ValueError, match=r"no MIG profile 9g\.99gb; there are 1g\.5gb"):
        fake.partition(0, ["9g.99gb"])

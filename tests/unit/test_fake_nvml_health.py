"""Errors, links and fabric of fake GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.sim.nvml.control import FakeGpus
from tests.fake_nvml import handles, site

ALL = 0xFFFFFFFF
Pair = tuple[FakeGpus, Any]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with site(tmp_path, "h100-sxm,t4,l40s,rtx-3090,b200") as made:
        yield made


def value(n: Any, handle: Any, number: int, scope: int = 0) -> int:
    (field,) = n.nvmlDeviceGetFieldValues(handle, [(number, scope)])
    if field.nvmlReturn:
        raise n.NVMLError(field.nvmlReturn)
    members = {1: "uiVal", 3: "ullVal", 5: "siVal"}
    return int(getattr(field.value, members[field.valueType]))


def test_ecc_errors_are_counted_until_a_reset_and_for_ever(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].ecc("dram", corrected=3)
    fake[0].ecc("sram", corrected=2, uncorrected=1)
    fake.reset(0)
    fake[0].ecc("dram", uncorrected=4)
    assert n.nvmlDeviceGetTotalEccErrors(handle, 0, 0) == 0
    assert n.nvmlDeviceGetTotalEccErrors(handle, 0, 1) == 5
    assert n.nvmlDeviceGetTotalEccErrors(handle, 1, 0) == 4
    assert n.nvmlDeviceGetTotalEccErrors(handle, 1, 1) == 5
    assert n.nvmlDeviceGetMemoryErrorCounter(handle, 1, 1, n.NVML_MEMORY_LOCATION_SRAM) == 1
    assert value(n, handle, n.NVML_FI_DEV_ECC_DBE_AGG_TOTAL) == 5
    assert value(n, handle, n.NVML_FI_DEV_ECC_DBE_VOL_DEV) == 4
    status = n.c_nvmlEccSramErrorStatus_v1_t()
    n.nvmlDeviceGetSramEccErrorStatus(handle, n.byref(status))
    assert (status.aggregateCor, status.aggregateUncSecDed) == (2, 1)


def test_older_boards_count_by_cache(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[1]
    fake[1].ecc("l2", corrected=2)
    assert n.nvmlDeviceGetMemoryErrorCounter(handle, 0, 0, n.NVML_MEMORY_LOCATION_L2_CACHE) == 2
    assert n.nvmlDeviceGetDetailedEccErrors(handle, 0, 0).l2Cache == 2
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlDeviceGetMemoryErrorCounter(handle, 0, 0, n.NVML_MEMORY_LOCATION_SRAM)


def test_without_ecc_there_are_no_counts(pair: Pair) -> None:
    _, n = pair
    handle = handles(n)[3]
    for ask in (n.nvmlDeviceGetEccMode, lambda h: n.nvmlDeviceGetTotalEccErrors(h, 0, 0)):
        with pytest.raises(n.NVMLError_NotSupported):
            ask(handle)
    with pytest.raises(n.NVMLError_NotSupported):
        value(n, handle, n.NVML_FI_DEV_ECC_CURRENT)


def test_remapped_rows_wait_for_a_reset(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].remap(corrected=1, uncorrected=2, pending=True)
    assert n.nvmlDeviceGetRemappedRows(handle) == (1, 2, 1, 0)
    assert value(n, handle, n.NVML_FI_DEV_REMAPPED_PENDING) == 1
    fake.reset(0)
    assert n.nvmlDeviceGetRemappedRows(handle) == (1, 2, 0, 0)
    assert n.nvmlDeviceGetRowRemapperHistogram(handle).max == 640
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlDeviceGetRemappedRows(handles(n)[1])


def test_retired_pages_on_boards_that_remap_no_rows(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[1]
    fake[1].retire(0xABC000, double_bit=True)
    fake[1].retire(0xDEF000, double_bit=False)
    assert n.nvmlDeviceGetRetiredPages(handle, 1) == [0xABC000]
    assert [page["address"] for page in n.nvmlDeviceGetRetiredPages_v2(handle, 0)] == [0xDEF000]
    assert n.nvmlDeviceGetRetiredPagesPendingStatus(handle) == 1
    assert value(n, handle, n.NVML_FI_DEV_RETIRED_DBE) == 1
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlDeviceGetRetiredPages(handles(n)[0], 0)


def test_a_link_that_came_up_narrow(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[3]
    assert n.nvmlDeviceGetCurrPcieLinkGeneration(handle) == 1
    fake[3].load(10)
    assert n.nvmlDeviceGetCurrPcieLinkGeneration(handle) == 4
    fake[3].pcie(width=4, generation=1, replays=7)
    assert n.nvmlDeviceGetCurrPcieLinkGeneration(handle) == 1
    assert n.nvmlDeviceGetCurrPcieLinkWidth(handle) == 4
    assert n.nvmlDeviceGetMaxPcieLinkWidth(handle) == 16
    assert n.nvmlDeviceGetPcieReplayCounter(handle) == 7
    assert value(n, handle, n.NVML_FI_DEV_PCIE_REPLAY_COUNTER) == 7


def test_pcie_traffic(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].load(50, pcie_tx_kib_s=1000, pcie_rx_kib_s=500)
    fake.advance(10)
    assert n.nvmlDeviceGetPcieThroughput(handle, 0) == 1000
    assert value(n, handle, n.NVML_FI_DEV_PCIE_COUNT_RX_BYTES) == 500 * 1024 * 10


def test_nvlink_states_and_errors(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].link(3, active=False, replay=5, crc_flit=2)
    fake[0].link(9, recovery=1)
    states = [n.nvmlDeviceGetNvLinkState(handle, link) for link in range(18)]
    assert states == [link != 3 for link in range(18)]
    assert n.nvmlDeviceGetNvLinkErrorCounter(handle, 3, n.NVML_NVLINK_ERROR_DL_REPLAY) == 5
    assert value(n, handle, n.NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY, 3) == 5
    assert value(n, handle, n.NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_L3) == 5
    assert value(n, handle, n.NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_L9) == 1
    assert value(n, handle, n.NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL) == 5
    assert value(n, handle, n.NVML_FI_DEV_NVLINK_GET_STATE, 3) == 0
    assert value(n, handle, n.NVML_FI_DEV_NVLINK_LINK_COUNT) == 18
    n.nvmlDeviceResetNvLinkErrorCounters(handle, 3)
    assert value(n, handle, n.NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL) == 0
    with pytest.raises(n.NVMLError_InvalidArgument):
        n.nvmlDeviceGetNvLinkState(handle, 18)
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlDeviceGetNvLinkState(handles(n)[2], 0)


def test_nvlink_traffic_adds_up_over_the_links(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].link(0, active=False)
    fake[0].load(50, nvlink_tx_kib_s=17_000, nvlink_rx_kib_s=34_000)
    fake.advance(10)
    tx, rx = n.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX, n.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX
    assert value(n, handle, tx, ALL) == 170_000
    assert value(n, handle, rx, ALL) == 340_000
    assert [value(n, handle, tx, link) for link in range(3)] == [0, 10_000, 10_000]


def test_counters_of_nvlink_5(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[4]
    fake[4].load(50, nvlink_tx_kib_s=1000)
    fake[4].link(2, ecc_data=9)
    fake.advance(1)
    assert value(n, handle, n.NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES, ALL) == 1000 * 1024
    assert value(n, handle, n.NVML_FI_DEV_NVLINK_COUNT_SYMBOL_ERRORS, 2) == 9
    with pytest.raises(n.NVMLError_NotSupported):
        value(n, handles(n)[0], n.NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES, ALL)


def test_fabric_in_its_versions(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    fake[0].fabric(n.NVML_GPU_FABRIC_STATE_IN_PROGRESS, health=0x15, summary=2)
    for version in (n.c_nvmlGpuFabricInfo_v2_t(), n.c_nvmlGpuFabricInfo_v3_t()):
        n.nvmlDeviceGetGpuFabricInfoV(handle, n.byref(version))
        assert (version.state, version.healthMask, version.status) == (2, 0x15, 0)
    assert version.healthSummary == 2
    old = n.c_nvmlGpuFabricInfo_t()
    n.nvmlDeviceGetGpuFabricInfo(handle, n.byref(old))
    assert old.state == 2
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlDeviceGetGpuFabricInfoV(handles(n)[2], n.byref(version))


def test_a_second_version_of_fabric_info_is_not_written_past_its_end(pair: Pair) -> None:
    _, n = pair

    class Guarded(n.Structure):
        _fields_ = (("info", n.c_nvmlGpuFabricInfo_v2_t), ("after", n.c_uint))

    guarded = Guarded(info=n.c_nvmlGpuFabricInfo_v2_t(), after=0x5A5A5A5A)
    n.nvmlDeviceGetGpuFabricInfoV(handles(n)[0], n.byref(guarded))
    assert guarded.after == 0x5A5A5A5A


def test_each_field_has_a_result_of_its_own(pair: Pair) -> None:
    _, n = pair
    fields = n.nvmlDeviceGetFieldValues(
        handles(n)[3], [n.NVML_FI_DEV_POWER_INSTANT, n.NVML_FI_DEV_MEMORY_TEMP, 5000]
    )
    assert [each.nvmlReturn for each in fields] == [0, 3, 2]
    assert all(each.timestamp > 1_600_000_000_000_000 for each in fields)


def test_fans_where_there_are_some(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[3]
    assert n.nvmlDeviceGetNumFans(handle) == 3
    fake[3].pin(temperature_c=80)
    assert n.nvmlDeviceGetFanSpeed_v2(handle, 2) == 90
    n.nvmlDeviceSetFanSpeed_v2(handle, 0, 55)
    assert n.nvmlDeviceGetFanSpeed(handle) == 55
    n.nvmlDeviceSetDefaultFanSpeed_v2(handle, 0)
    assert n.nvmlDeviceGetFanSpeed(handle) == 90
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlDeviceGetFanSpeed(handles(n)[0])

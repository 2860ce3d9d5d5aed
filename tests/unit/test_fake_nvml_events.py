"""Events of fake GPUs: every set that waits gets each of them, and the same twice is two."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.sim.nvml.control import FakeGpus
from tests.fake_nvml import handles, running, site

Pair = tuple[FakeGpus, Any]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with site(tmp_path, "h100-sxm*2,k80") as made:
        yield made


def registered(n: Any, *indices: int) -> Any:
    events = n.nvmlEventSetCreate()
    for index in indices:
        handle = handles(n)[index]
        n.nvmlDeviceRegisterEvents(handle, n.nvmlDeviceGetSupportedEventTypes(handle), events)
    return events


def taken(n: Any, events: Any) -> list[tuple[int, int, int]]:
    """All events that wait: GPU, type and data."""
    found = []
    try:
        while True:
            event = n.nvmlEventSetWait_v2(events, 0)
            index = n.nvmlDeviceGetIndex(event.device)
            found.append((index, event.eventType, event.eventData))
    except n.NVMLError_Timeout:
        return found


def test_an_xid_comes_with_its_gpu_and_the_same_again_is_another(pair: Pair) -> None:
    fake, n = pair
    events = registered(n, 0, 1)
    fake[1].xid(13)
    fake[1].xid(13)
    fake[0].xid(31)
    assert taken(n, events) == [(1, 8, 13), (1, 8, 13), (0, 8, 31)]
    assert taken(n, events) == []


def test_an_event_names_the_mig_instance_or_the_whole_gpu(pair: Pair) -> None:
    fake, n = pair
    events = registered(n, 0)
    fake[0].xid(94, gpu_instance=3, compute_instance=0)
    fake[0].xid(48)
    found = [n.nvmlEventSetWait_v2(events, 0) for _ in range(2)]
    assert [(each.gpuInstanceId, each.computeInstanceId) for each in found] == [
        (3, 0),
        (0xFFFFFFFF, 0xFFFFFFFF),
    ]


def test_what_happened_before_is_not_told(pair: Pair) -> None:
    fake, n = pair
    fake[0].xid(13)
    events = n.nvmlEventSetCreate()
    fake[0].xid(31)
    n.nvmlDeviceRegisterEvents(handles(n)[0], 8, events)
    fake[0].xid(48)
    assert taken(n, events) == [(0, 8, 48)]


def test_only_what_was_registered_comes(pair: Pair) -> None:
    fake, n = pair
    events = n.nvmlEventSetCreate()
    n.nvmlDeviceRegisterEvents(handles(n)[0], n.nvmlEventTypeDoubleBitEccError, events)
    fake[0].xid(13)
    fake[1].ecc("dram", uncorrected=1)
    fake[0].ecc("dram", corrected=5, uncorrected=1)
    assert taken(n, events) == [(0, 2, 0)]


def test_types_that_a_gpu_does_not_have(pair: Pair) -> None:
    _, n = pair
    k80 = handles(n)[2]
    events = n.nvmlEventSetCreate()
    assert not n.nvmlDeviceGetSupportedEventTypes(k80) & n.nvmlEventTypeGpuRecoveryAction
    with pytest.raises(n.NVMLError_NotSupported):
        n.nvmlDeviceRegisterEvents(k80, n.nvmlEventTypeGpuRecoveryAction, events)
    n.nvmlDeviceRegisterEvents(k80, n.nvmlEventTypeXidCriticalError, events)


def test_each_set_and_each_process_gets_each_event(pair: Pair) -> None:
    fake, n = pair
    script = """
    s = n.nvmlEventSetCreate()
    n.nvmlDeviceRegisterEvents(n.nvmlDeviceGetHandleByIndex(0), 8, s)
    print("waits", flush=True)
    print([n.nvmlEventSetWait_v2(s, 20000).eventData for _ in range(3)])
    """
    sets = [registered(n, 0), registered(n, 0)]
    with running(fake, script) as one, running(fake, script) as two:
        for process in (one, two):
            assert process.stdout
            assert process.stdout.readline() == "waits\n"
        for code in (63, 63, 154):
            fake[0].xid(code)
        for process in (one, two):
            assert process.communicate(timeout=20)[0].strip() == "[63, 63, 154]"
    for events in sets:
        assert [data for _, _, data in taken(n, events)] == [63, 63, 154]


def test_a_wait_ends_with_its_time(pair: Pair) -> None:
    _, n = pair
    events = registered(n, 0)
    before = time.monotonic()
    with pytest.raises(n.NVMLError_Timeout):
        n.nvmlEventSetWait_v2(events, 60)
    assert 0.055 < time.monotonic() - before < 2


def waiting(n: Any, events: Any) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(n.nvmlEventSetWait_v2(events, 20_000).eventData)
        except n.NVMLError as error:
            outcome.append(type(error))

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, outcome


def ended(fake: FakeGpus, n: Any, events: Any, happens: Any) -> object:
    """What a wait that has begun comes to when something happens."""
    before = fake.calls().get("nvmlEventSetWait_v2", 0)
    thread, outcome = waiting(n, events)
    while fake.calls().get("nvmlEventSetWait_v2", 0) == before:
        time.sleep(0.001)
    happens()
    thread.join(10)
    return outcome[0]


def test_a_wait_hears_of_an_event_at_once(pair: Pair) -> None:
    fake, n = pair
    events = registered(n, 0)
    assert ended(fake, n, events, lambda: fake[0].xid(119)) == 119


def test_a_lost_gpu_tells_its_last_event_and_then_fails_every_wait(pair: Pair) -> None:
    fake, n = pair
    events = registered(n, 0, 1)
    assert ended(fake, n, events, fake[0].fall_off) == 79
    for _ in range(2):
        with pytest.raises(n.NVMLError_GpuIsLost):
            n.nvmlEventSetWait_v2(events, 1000)
    rest = registered(n, 1) if n.nvmlShutdown() is None and n.nvmlInit() is None else None
    with pytest.raises(n.NVMLError_Timeout):
        n.nvmlEventSetWait_v2(rest, 0)


def test_a_gpu_that_leaves_without_an_xid(pair: Pair) -> None:
    fake, n = pair
    events = registered(n, 0, 1)
    assert ended(fake, n, events, fake[0].vanish) is n.NVMLError_GpuIsLost
    assert fake[1].vanish() == (
        "NVRM: The NVIDIA GPU 0000:43:00.0 (PCI ID: 10de:2330) installed in this system "
        "has fallen off the bus and is not responding to commands."
    )


def test_a_driver_that_goes_ends_waits(pair: Pair) -> None:
    fake, n = pair
    events = registered(n, 0)
    assert ended(fake, n, events, fake.reload_driver) is n.NVMLError_Uninitialized


def test_a_shutdown_ends_waits_of_other_threads(pair: Pair) -> None:
    fake, n = pair
    events = registered(n, 0)
    assert ended(fake, n, events, n.nvmlShutdown) is n.NVMLError_Uninitialized


def test_more_than_the_driver_keeps_is_lost_from_the_oldest(pair: Pair) -> None:
    fake, n = pair
    events = registered(n, 0)
    for code in range(1, 301):
        fake[0].xid(code)
    assert [data for _, _, data in taken(n, events)] == list(range(45, 301))


def test_a_set_that_was_freed_is_no_set(pair: Pair) -> None:
    _, n = pair
    events = n.nvmlEventSetCreate()
    n.nvmlEventSetFree(events)
    for use in (n.nvmlEventSetFree, lambda each: n.nvmlEventSetWait_v2(each, 0)):
        with pytest.raises(n.NVMLError_InvalidArgument):
            use(events)


def test_a_recovery_action_is_a_field_an_event_and_an_xid(pair: Pair) -> None:
    fake, n = pair
    events = registered(n, 0)
    line = fake[0].recommend(n.NVML_GPU_RECOVERY_ACTION_GPU_RESET)
    assert "): 154, " in line
    assert taken(n, events) == [(0, 0x8000, 1), (0, 8, 154)]
    field = n.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
    assert n.nvmlDeviceGetFieldValues(handles(n)[0], [field])[0].value.uiVal == 1
    fake.reset(0)
    assert n.nvmlDeviceGetFieldValues(handles(n)[0], [field])[0].value.uiVal == 0
    assert n.nvmlDeviceGetFieldValues(handles(n)[2], [field])[0].nvmlReturn == 3

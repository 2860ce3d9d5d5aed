"""What can go wrong with fake GPUs, as their readers see it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.sim.nvml.control import REALISTIC_COSTS_US, FakeGpus
from drivers.sim.nvml.faults import Kind
from tests.fake_nvml import handles, running, site

POWER = "nvmlDeviceGetPowerUsage"
READ_POWER = """
h = n.nvmlDeviceGetHandleByIndex(0)
print(n.nvmlDeviceGetPowerUsage(h))
"""

Pair = tuple[FakeGpus, Any]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with site(tmp_path, "h100-sxm*4") as made:
        yield made


def until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Poll what announces itself by no event: the state of another process."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def state_of(process: subprocess.Popen[str]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1][0]


def children_of(process: subprocess.Popen[str]) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(each) for each in text.split()]


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_a_slow_call(pair: Pair) -> None:
    fake, n = pair
    first, second = handles(n)[:2]
    with fake.slow(0.05, POWER, 1) as fault:
        before = time.monotonic()
        n.nvmlDeviceGetPowerUsage(first)
        assert time.monotonic() - before < 0.04
        n.nvmlDeviceGetPowerUsage(second)
        assert time.monotonic() - before >= 0.05
        assert fault.strikes == 1
    before = time.monotonic()
    n.nvmlDeviceGetPowerUsage(second)
    assert time.monotonic() - before < 0.04


def test_calls_can_cost_what_they_cost_on_real_drivers(pair: Pair) -> None:
    fake, n = pair
    fake.cost(REALISTIC_COSTS_US)
    before = time.monotonic()
    n.nvmlDeviceGetPcieThroughput(handles(n)[0], 0)
    assert time.monotonic() - before >= 0.02


def test_a_hung_call_leaves_the_others_alone(pair: Pair) -> None:
    fake, n = pair
    with fake.hang(POWER, 0) as fault, running(fake, READ_POWER) as process:
        assert fault.wait(10)
        until(lambda: state_of(process) == "S")
        assert n.nvmlDeviceGetPowerUsage(handles(n)[1]) > 0
        fault.lift()
        assert said(process) == "70000"


def test_a_hung_call_dies_with_its_process(pair: Pair) -> None:
    fake, _ = pair
    with fake.hang(POWER, 0) as fault, running(fake, READ_POWER) as process:
        assert fault.wait(10)
        process.terminate()
        assert process.wait(10) == -signal.SIGTERM


def test_a_call_hung_in_state_d(pair: Pair) -> None:
    """As a driver's wait: SIGTERM does nothing, other threads go on, SIGKILL ends it."""
    fake, n = pair
    script = """
    import threading, signal, time
    signal.signal(signal.SIGTERM, lambda *_: print("handled"))
    def beat():
        while True:
            time.sleep(0.02)
            print("beat")
    threading.Thread(target=beat, daemon=True).start()
    n.nvmlDeviceGetPowerUsage(n.nvmlDeviceGetHandleByIndex(0))
    """
    fault = fake.hang(POWER, 0, kind=Kind.HANG_IN_D)
    with running(fake, script) as process:
        assert fault.wait(10)
        until(lambda: state_of(process) == "D")
        (helper,) = children_of(process)
        process.terminate()
        assert [said(process) for _ in range(5)] == ["beat"] * 5
        assert state_of(process) == "D"
        assert n.nvmlDeviceGetPowerUsage(handles(n)[1]) > 0
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    until(lambda: not Path(f"/proc/{helper}").exists() or is_zombie(helper))


def is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_a_call_hung_in_state_d_goes_on_when_it_is_let(pair: Pair) -> None:
    fake, _ = pair
    fault = fake.hang(POWER, 0, kind=Kind.HANG_IN_D)
    with running(fake, READ_POWER) as process:
        assert fault.wait(10)
        until(lambda: state_of(process) == "D")
        fault.lift()
        assert said(process) == "70000"
        assert process.wait(10) == 0


def test_everything_can_hang_nvml_init_too(pair: Pair) -> None:
    fake, _ = pair
    with fake.hang() as fault, running(fake, READ_POWER) as process:
        assert fault.wait(10)
        assert fake.calls().get(POWER) is None
        fault.lift()
        assert said(process) == "70000"


def test_calls_fail_after_some_and_some_times(pair: Pair) -> None:
    fake, n = pair
    fake.fail(n.NVML_ERROR_RESET_REQUIRED, POWER, skip=1, times=2)
    handle = handles(n)[0]
    outcomes = []
    for _ in range(4):
        try:
            outcomes.append(n.nvmlDeviceGetPowerUsage(handle))
        except n.NVMLError_ResetRequired:
            outcomes.append(None)
    assert outcomes == [70_000, None, None, 70_000]


def test_processes_that_come_between_two_calls(pair: Pair) -> None:
    fake, n = pair
    fake[0].start(4242, memory=1 << 30)
    with (
        fake.fail(
            n.NVML_ERROR_INSUFFICIENT_SIZE, "nvmlDeviceGetComputeRunningProcesses_v3", skip=1
        ),
        pytest.raises(n.NVMLError_InsufficientSize),
    ):
        n.nvmlDeviceGetComputeRunningProcesses_v3(handles(n)[0])


def test_a_write_that_does_nothing(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    with fake.lie("nvmlDeviceSetPowerManagementLimit"):
        n.nvmlDeviceSetPowerManagementLimit(handle, 300_000)
        assert n.nvmlDeviceGetPowerManagementLimit(handle) == 700_000
    n.nvmlDeviceSetPowerManagementLimit(handle, 300_000)
    assert n.nvmlDeviceGetPowerManagementLimit(handle) == 300_000


def test_there_is_room_for_so_many_faults(pair: Pair) -> None:
    fake, _ = pair
    faults = [fake.slow(0, "nobody calls this") for _ in range(32)]
    with pytest.raises(ValueError, match="no room"):
        fake.slow(0)
    faults[0].lift()
    fake.slow(0, "nobody calls this")


def test_a_gpu_that_fell_off_the_bus(pair: Pair) -> None:
    fake, n = pair
    second = handles(n)[1]
    assert "Xid (PCI:0000:43:00): 79," in fake[1].fall_off()
    for ask in (n.nvmlDeviceGetPowerUsage, n.nvmlDeviceGetUUID):
        with pytest.raises(n.NVMLError_GpuIsLost):
            ask(second)
    assert n.nvmlDeviceGetCount() == 4
    with pytest.raises(n.NVMLError_GpuIsLost):
        n.nvmlDeviceGetHandleByIndex(1)
    n.nvmlShutdown()
    n.nvmlInit()
    uuids = [n.nvmlDeviceGetUUID(each) for each in handles(n)]
    assert uuids == [fake[slot].uuid for slot in (0, 2, 3)]
    fake[1].come_back()
    assert n.nvmlDeviceGetCount() == 3
    n.nvmlShutdown()
    n.nvmlInit()
    assert n.nvmlDeviceGetCount() == 4


def test_gpus_are_renumbered_when_a_client_starts_anew(pair: Pair) -> None:
    fake, n = pair
    fake.renumber([2, 0, 3, 1])
    assert n.nvmlDeviceGetUUID(handles(n)[0]) == fake[0].uuid
    n.nvmlShutdown()
    n.nvmlInit()
    assert [n.nvmlDeviceGetUUID(each) for each in handles(n)] == [
        fake[slot].uuid for slot in (2, 0, 3, 1)
    ]
    with pytest.raises(ValueError, match="not an order"):
        fake.renumber([0, 0, 1, 2])


def test_handles_of_before_the_last_start_are_no_longer_good(pair: Pair) -> None:
    _, n = pair
    old = handles(n)[0]
    n.nvmlShutdown()
    with pytest.raises(n.NVMLError_Uninitialized):
        n.nvmlDeviceGetPowerUsage(old)
    n.nvmlInit()
    with pytest.raises(n.NVMLError_InvalidArgument):
        n.nvmlDeviceGetPowerUsage(old)


def test_the_driver_is_reloaded(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    n.nvmlDeviceSetPersistenceMode(handle, 1)
    n.nvmlDeviceSetPowerManagementLimit(handle, 300_000)
    n.nvmlDeviceSetComputeMode(handle, 3)
    fake.advance(10)
    fake.reload_driver()
    for ask in (lambda: n.nvmlDeviceGetPowerUsage(handle), n.nvmlDeviceGetCount):
        with pytest.raises(n.NVMLError_Uninitialized):
            ask()
    n.nvmlInit()
    handle = handles(n)[0]
    assert n.nvmlDeviceGetPowerManagementLimit(handle) == 700_000
    assert n.nvmlDeviceGetPersistenceMode(handle) == 0
    assert n.nvmlDeviceGetComputeMode(handle) == 0
    assert n.nvmlDeviceGetTotalEnergyConsumption(handle) == 0


@pytest.mark.parametrize("persistence", [0, 1])
def test_settings_go_with_the_last_client_unless_persistence_is_on(
    persistence: int, pair: Pair
) -> None:
    fake, n = pair
    handle = handles(n)[0]
    n.nvmlDeviceSetPersistenceMode(handle, persistence)
    n.nvmlDeviceSetPowerManagementLimit(handle, 300_000)
    with running(fake, "print('here'); input()") as other:
        assert said(other) == "here"
        n.nvmlShutdown()
        n.nvmlInit()
        assert n.nvmlDeviceGetPowerManagementLimit(handles(n)[0]) == 300_000
    n.nvmlShutdown()
    n.nvmlInit()
    kept = n.nvmlDeviceGetPowerManagementLimit(handles(n)[0]) == 300_000
    assert kept == bool(persistence)


@pytest.mark.parametrize("error", ["LIB_RM_VERSION_MISMATCH", "DRIVER_NOT_LOADED"])
def test_nvml_does_not_start(error: str, pair: Pair) -> None:
    fake, n = pair
    code = getattr(n, f"NVML_ERROR_{error}")
    fake.refuse_init(code)
    assert n.nvmlDeviceGetCount() == 4
    n.nvmlShutdown()
    with pytest.raises(n.NVMLError) as refusal:
        n.nvmlInit()
    assert refusal.value.value == code
    fake.refuse_init(0)
    n.nvmlInit()


WRITES: dict[str, Callable[[Any, Any], object]] = {
    "power limit": lambda n, h: n.nvmlDeviceSetPowerManagementLimit(h, 300_000),
    "locked clocks": lambda n, h: n.nvmlDeviceSetGpuLockedClocks(h, 500, 900),
    "clocks let go": lambda n, h: n.nvmlDeviceResetGpuLockedClocks(h),
    "memory clocks": lambda n, h: n.nvmlDeviceSetMemoryLockedClocks(h, 1000, 2000),
    "persistence": lambda n, h: n.nvmlDeviceSetPersistenceMode(h, 1),
    "compute mode": lambda n, h: n.nvmlDeviceSetComputeMode(h, 2),
    "ecc": lambda n, h: n.nvmlDeviceSetEccMode(h, 0),
    "ecc counts": lambda n, h: n.nvmlDeviceClearEccErrorCounts(h, 0),
    "mig": lambda n, h: n.nvmlDeviceSetMigMode(h, 1),
    "accounting": lambda n, h: n.nvmlDeviceSetAccountingMode(h, 1),
    "drain": lambda n, h: n.nvmlDeviceModifyDrainState(n.nvmlDeviceGetPciInfo(h), 1),
    "links": lambda n, h: n.nvmlDeviceResetNvLinkErrorCounters(h, 0),
}


@pytest.mark.parametrize("what", WRITES)
def test_writing_needs_a_privilege(what: str, pair: Pair) -> None:
    fake, n = pair
    fake.let_write("none")
    with pytest.raises(n.NVMLError_NoPermission):
        WRITES[what](n, handles(n)[0])
    fake.let_write("all")
    WRITES[what](n, handles(n)[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give privileges up")
def test_the_privilege_is_cap_sys_admin(pair: Pair) -> None:
    fake, n = pair
    fake.let_write("privileged")
    n.nvmlDeviceSetPersistenceMode(handles(n)[0], 1)
    fake.path.chmod(0o666)
    for directory in [fake.path.parent, *fake.path.parents[1:-2]]:
        directory.chmod(directory.stat().st_mode | 0o111)
    script = """
    import os
    h = n.nvmlDeviceGetHandleByIndex(0)
    os.setresuid(65534, 65534, 65534)
    try:
        n.nvmlDeviceSetPersistenceMode(h, 0)
    except n.NVMLError_NoPermission:
        print("refused")
    """
    with running(fake, script) as process:
        assert said(process) == "refused"


def test_ecc_waits_for_a_reset(pair: Pair) -> None:
    fake, n = pair
    handle = handles(n)[0]
    n.nvmlDeviceSetEccMode(handle, 0)
    assert n.nvmlDeviceGetEccMode(handle) == [1, 0]
    fake.reset(0)
    assert n.nvmlDeviceGetEccMode(handle) == [0, 0]


def test_a_gpu_is_taken_out_and_found_again(pair: Pair) -> None:
    _, n = pair
    pci = n.nvmlDeviceGetPciInfo(handles(n)[1])
    with pytest.raises(n.NVMLError_InUse):
        n.nvmlDeviceRemoveGpu(pci)
    n.nvmlDeviceModifyDrainState(pci, 1)
    assert n.nvmlDeviceQueryDrainState(pci) == 1
    n.nvmlDeviceRemoveGpu(pci)
    n.nvmlShutdown()
    n.nvmlInit()
    assert n.nvmlDeviceGetCount() == 3
    n.nvmlDeviceDiscoverGpus(pci)
    n.nvmlShutdown()
    n.nvmlInit()
    assert n.nvmlDeviceGetCount() == 4


def test_clients_that_are_killed_in_the_middle_hold_nobody_up(pair: Pair) -> None:
    """Nearly all of this client's time is spent in the call, with the lock held."""
    fake, n = pair
    script = """
    h = n.nvmlDeviceGetHandleByIndex(0)
    fields = (n.c_nvmlFieldValue_t * 20000)()
    print("here")
    while True:
        n.nvmlLib.nvmlDeviceGetFieldValues(h, 20000, fields)
    """
    for _ in range(4):
        with running(fake, script) as process:
            assert said(process) == "here"
            until(lambda: fake.raw.field_calls[0][0] > 100_000)
    assert n.nvmlDeviceGetPowerUsage(handles(n)[0]) == 70_000

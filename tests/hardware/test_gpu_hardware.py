"""The GPUs of this host, where it has any: every value or the reason why not, and what it costs.

    pytest tests/hardware -s

Nothing is set unless STOKER_TEST_GPU_WRITES=1: then each GPU is told the power limit that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from drivers.gpu.answers import GpuScan, Inventoried
from drivers.gpu.client import GpuClient
from drivers.gpu.errors import Cause
from drivers.gpu.gpu import GpuHost
from drivers.gpu.nvml.metrics import fields_of
from drivers.gpu.protocol import Tier
from drivers.gpu.wants import PowerLimit
from drivers.model_gpu import GpuFacts, GpuReading
from tests.gpu import connected

TIERS = (Tier.FAST, Tier.MEDIUM, Tier.SLOW)
FOR_GOOD = frozenset({Cause.NOT_SUPPORTED.value, Cause.OLD_DRIVER.value})
SCAN_S = 10.0
"""A call that takes longer counts as hung; all calls of one scan together should not come near."""
APART_S = 0.5
CHILD_MB = 60.0
"""A real library maps more than the fake one; the aim for its anonymous part is 35."""
OF_THE_HOST = frozenset({"driver_version", "library_version", "cuda_version"})
"""Facts that stand with the driver."""
_LOOK = "import pynvml as n; n.nvmlInit(); print(n.nvmlDeviceGetCount())"


def _why_not() -> str | None:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK], capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return "the driver does not answer within a minute"
    if done.returncode:
        return f"no usable NVIDIA driver: {done.stderr.strip().rpartition(chr(10))[2]}"
    return None if done.stdout.strip() != "0" else "the driver has no GPU"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`stoker-gpu` on the real driver; its socket."""
    if why := _why_not():
        pytest.skip(f"no GPU here: {why}")
    directory = tmp_path_factory.mktemp("gpu")
    path = directory / "gpu.sock"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "drivers.gpu", "--socket", str(path),
         "--user", str(os.getuid())]
    )  # fmt: skip
    try:
        yield path
    finally:
        process.terminate()
        process.wait(20)


@contextlib.asynccontextmanager
async def client_of(path: Path) -> AsyncIterator[tuple[GpuClient, Inventoried]]:
    async with connected(path) as client:
        yield client, await client.inventory(60.0)


async def scanned(client: GpuClient, *tiers: Tier) -> tuple[dict[str, GpuScan], float]:
    began = time.monotonic()
    found = await client.scan(tiers, within_s=60.0)
    return {scan.uuid: scan for scan in found.gpus}, time.monotonic() - began


async def test_every_gpu_is_there_with_who_it_is(service):
    async with client_of(service) as (_, inventory):
        assert inventory.gpus
        assert inventory.driver.driver_version
        assert inventory.driver.nvml_version
        for found in inventory.gpus:
            assert found.problem is None, found.problem
            facts = found.facts
            assert facts is not None
            assert facts.uuid.startswith("GPU-")
            assert facts.name
            assert facts.pci_address
            assert facts.index is not None
            missing = [
                name
                for name in GpuFacts.__struct_fields__
                if getattr(facts, name) is None and name not in OF_THE_HOST
            ]
            print(f"\n{facts.name} {facts.pci_address}: without {', '.join(missing) or 'nothing'}")
            reasons = {name: why for name, why in facts.absent.items() if why not in FOR_GOOD}
            assert not reasons


async def test_every_value_is_there_or_null_for_a_known_reason(service):
    async with client_of(service) as (client, inventory):
        await scanned(client, *TIERS)
        await asyncio.sleep(APART_S)  # some values are means between two readings
        scans, _ = await scanned(client, *TIERS)
        for found in inventory.gpus:
            scan = scans[found.uuid]
            assert scan.problem is None, scan.problem
            unexplained = fields_of(TIERS) - scan.values.keys() - scan.absent.keys()
            assert not unexplained, f"{found.uuid}: {sorted(unexplained)}"
            reasons = {name: why for name, why in scan.absent.items() if why not in FOR_GOOD}
            assert not reasons, f"{found.uuid}: {reasons}"
            name = found.facts.name if found.facts else found.uuid
            print(f"\n{name}: {len(scan.values)} values; null: {', '.join(sorted(scan.absent))}")


async def test_values_are_what_can_be(service):
    async with client_of(service) as (client, _):
        gpus = await GpuHost(client, Clock()).gpus()
        for gpu in gpus:
            await gpu.read()
            await asyncio.sleep(APART_S)
            reading = (await gpu.read()).reading
            assert isinstance(reading, GpuReading)
            for name, holds in PLAUSIBLE.items():
                value = getattr(reading, name)
                assert value is None or holds(value), (name, value)
            limits = (reading.power_limit_min_w, reading.power_limit_w, reading.power_limit_max_w)
            known = [watts for watts in limits if watts is not None]
            assert known == sorted(known)


async def test_a_full_scan_is_timed(service, record_property):
    async with client_of(service) as (client, inventory):
        count = len(inventory.gpus)
        for tiers in ((Tier.FAST,), (Tier.MEDIUM,), (Tier.SLOW,), TIERS):
            took = sorted([(await scanned(client, *tiers))[1] for _ in range(5)])
            name = "+".join(tiers)
            print(f"\n{name}: {count} GPUs in {took[2] * 1e3:.1f} ms (most {took[-1] * 1e3:.1f})")
            record_property(f"scan_{name}_ms", round(took[2] * 1e3, 2))
            assert took[-1] < SCAN_S


async def test_the_child_stays_small(service, record_property):
    async with client_of(service) as (client, _):
        for _ in range(20):
            await scanned(client, *TIERS)
        pid = (await client.status()).child_pid
        assert pid
        memory = psutil.Process(pid).memory_full_info()
        print(f"\nchild: {memory.rss / 1e6:.1f} MB resident, {memory.uss / 1e6:.1f} MB its own")
        record_property("child_rss_mb", round(memory.rss / 1e6, 1))
        assert memory.uss / 1e6 < CHILD_MB


async def test_it_agrees_with_nvidia_smi(service):
    program = shutil.which("nvidia-smi")
    if program is None:
        pytest.skip("no nvidia-smi here")
    asked = "uuid,name,pci.bus_id,driver_version,power.limit,memory.total"
    done = subprocess.run(
        [program, f"--query-gpu={asked}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [[cell.strip() for cell in line] for line in csv.reader(io.StringIO(done.stdout))]
    rows = {line[0]: line for line in lines}
    async with client_of(service) as (client, inventory):
        scans, _ = await scanned(client, *TIERS)
        assert {found.uuid for found in inventory.gpus} == set(rows)
        for found in inventory.gpus:
            _, name, place, driver, limit, memory = rows[found.uuid]
            facts, values = found.facts, scans[found.uuid].values
            assert facts is not None
            assert facts.name == name
            assert place.lower().endswith(str(facts.pci_address).lower())
            assert inventory.driver.driver_version == driver
            if _is_number(limit) and "power_limit_w" in values:
                assert values["power_limit_w"] == pytest.approx(float(limit), abs=1.0)
            if _is_number(memory) and "memory_total_bytes" in values:
                mib = values["memory_total_bytes"] / (1 << 20)
                assert mib == pytest.approx(float(memory), rel=0.02)


async def test_energy_grows_and_agrees_with_power(service):
    async with client_of(service) as (client, _):
        before, _ = await scanned(client, Tier.FAST)
        began = time.monotonic()
        await asyncio.sleep(3.0)
        after, _ = await scanned(client, Tier.FAST)
        seconds = time.monotonic() - began
        for uuid, scan in after.items():
            if "energy_j" not in scan.values:
                continue
            joules = scan.values["energy_j"] - before[uuid].values["energy_j"]
            assert joules >= 0
            print(f"\n{uuid}: {joules / seconds:.1f} W by energy, {scan.values.get('power_w')} W")


async def test_a_limit_is_set_and_read_back(service):
    if os.environ.get("STOKER_TEST_GPU_WRITES") != "1":
        pytest.skip("STOKER_TEST_GPU_WRITES=1 lets each GPU be told the limit that it has")
    if os.geteuid() != 0:
        pytest.skip("setting needs root")
    async with client_of(service) as (client, _):
        scans, _ = await scanned(client, *TIERS)
        for uuid, scan in scans.items():
            limit_w = scan.values.get("power_limit_w")
            if limit_w is None:
                continue
            done = await client.set(uuid, PowerLimit(limit_w))
            assert done.after["power_limit_w"] == pytest.approx(limit_w, abs=1.0)


class Clock:
    """Time as it is."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def _between(least: float, most: float) -> Callable[[float], bool]:
    return lambda value: least <= value <= most


PLAUSIBLE: dict[str, Callable[[float], bool]] = {
    "utilisation_percent": _between(0, 100),
    "memory_utilisation_percent": _between(0, 100),
    "graphics_active_percent": _between(0, 100.5),
    "sm_occupancy_percent": _between(0, 100.5),
    "power_w": _between(1, 1500),
    "power_limit_enforced_w": _between(10, 1500),
    "temp_c": _between(5, 110),
    "memory_temp_c": _between(5, 120),
    "sm_clock_mhz": _between(50, 4000),
    "memory_clock_mhz": _between(50, 20_000),
    "memory_total_bytes": _between(1 << 30, 1 << 40),
    "performance_state": _between(0, 15),
    "pcie_generation": _between(1, 7),
    "pcie_width": _between(1, 16),
}


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float(text)
        return True
    return False

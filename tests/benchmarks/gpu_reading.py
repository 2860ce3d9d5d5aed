"""What reading eight fake GPUs costs `stoker-gpu`: CPU of the child at each pace, and its memory.

The driver is the fake one, whose calls take next to nothing: this is our own share alone.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import psutil

from drivers.gpu.client import GpuClient
from drivers.gpu.protocol import Tier
from tests.gpu import connected, fake_gpus, service

GPUS = 8
SCANS = 100
IDLE_S = 10.0
PACES_S = {Tier.FAST: 5.0, Tier.MEDIUM: 15.0, Tier.SLOW: 60.0}
"""How often each is read by default."""


def run() -> None:
    """Print both for the child, and CPU and memory of the supervisor beside it."""
    with (
        tempfile.TemporaryDirectory() as directory,
        fake_gpus(Path(directory), f"h100-sxm*{GPUS}") as fake,
        service(Path(directory), fake) as running,
    ):
        for number, gpu in enumerate(fake.gpus):
            for pid in (10_000, 20_000):
                gpu.start(pid + number, 40.0, 8 << 30)
        asyncio.run(_measure(running.path, running.process.pid))


async def _measure(path: Path, supervisor: int) -> None:
    async with connected(path) as client:
        await client.inventory()
        child = (await client.status()).child_pid
        assert child is not None
        share = 0.0
        for tier, pace_s in PACES_S.items():
            used_s, took_s = await _scans(client, tier, child)
            share += used_s / pace_s
            print(
                f"{tier:<7} {used_s * 1e6:7.0f} us of CPU of the child for {GPUS} GPUs,"
                f" {took_s * 1e3:5.1f} ms until they are there"
            )
        before_s = cpu_s(child)
        await asyncio.sleep(IDLE_S)
        idle = (cpu_s(child) - before_s) / IDLE_S
        print(f"idle    {idle * 1e6:7.0f} us a second")
        print(f"child   {100 * (share + idle):7.3f} % of a core at the default paces")
        print(f"child   {rss_mb(child):7.1f} MB, supervisor {rss_mb(supervisor):.1f} MB")


async def _scans(client: GpuClient, tier: Tier, child: int) -> tuple[float, float]:
    """CPU of the child and time for one scan of all GPUs."""
    await client.scan((tier,))
    before_s, began_s = cpu_s(child), time.monotonic()
    for _ in range(SCANS):
        await client.scan((tier,))
    return (cpu_s(child) - before_s) / SCANS, (time.monotonic() - began_s) / SCANS


def cpu_s(pid: int) -> float:
    """Time on a processor of all threads; the kernel's usual counters know ticks of 10 ms."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def rss_mb(pid: int) -> float:
    """Resident memory."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6
